// Package cli is the mgc command: the user's side of Magalu Cloud, over HTTP only.
package cli

//go:generate go run ./gendocs ../../docs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/PaesslerAG/gval"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"magalu.cloud/mke/internal/cli/products"
)

// Streams are the command's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is what all commands of one run share.
type app struct {
	Streams
	getenv func(string) string
	now    func() time.Time
	opts   globalOptions
	poll   time.Duration // between two looks while waiting

	done    context.CancelFunc // ends --cli.timeout
	extract gval.Evaluable     // of --output jsonpath=; nil for other formats

	interactive func() bool // tells whether questions can be asked
	browse      func(url string) error
}

type globalOptions struct {
	serverURL  string
	apiKey     string
	region     string
	output     string
	raw        bool
	noConfirm  bool
	debug      bool
	retryUntil string
	workspace  string
	timeout    time.Duration
}

// Main runs mgc with args (without the program's name) and returns its exit code.
func Main(ctx context.Context, streams Streams, args []string) int {
	return newApp(streams, os.Getenv).main(ctx, args)
}

func newApp(streams Streams, getenv func(string) string) *app {
	return &app{
		Streams: streams, getenv: getenv, now: time.Now, poll: 500 * time.Millisecond,
		done:        func() {},
		interactive: func() bool { _, ok := terminal(streams.In); return ok },
		browse:      openBrowser,
	}
}

func (a *app) main(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	err := root.ExecuteContext(ctx)
	a.done()
	if a.opts.timeout > 0 && errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not done within --cli.timeout %s: %w", a.opts.timeout, err)
	}
	if err != nil {
		fmt.Fprintln(a.Err, "Error:", err)
	}
	return exitCode(err)
}

// NewCommand returns the whole command tree, for documentation.
func NewCommand() *cobra.Command {
	return newApp(Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Getenv).rootCommand()
}

// config returns cli.yaml with environment and flags laid over it, except for who calls, which credential decides.
func (a *app) config() (Config, error) {
	c, err := a.storedConfig()
	if err != nil {
		return c, err
	}
	c.ServerURL = firstOf(a.opts.serverURL, a.getenv("MGC_SERVERURL"), c.ServerURL)
	c.Region = firstOf(a.opts.region, a.getenv("MGC_REGION"), c.Region, defaultRegion)
	return c, nil
}

// kubernetes returns a client of the Kubernetes product.
func (a *app) kubernetes() (*client, error) { return a.client(kubernetesProduct) }

// client returns a client of a product.
func (a *app) client(p *products.Product) (*client, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	client, err := newClient(c.address(p), c.CAFile)
	if err != nil {
		return nil, err
	}
	who, err := a.credential(c, client)
	if err != nil {
		return nil, err
	}
	client.apiKey, client.token = who.key, who.token
	client.readOnly = a.opts.retryUntil != ""
	if a.opts.debug {
		client.debug = a.Err
	}
	return client, nil
}

// quiet tells that nothing but data may be written, also on stderr (errors excepted).
func (a *app) quiet() bool {
	return a.opts.raw || a.extract != nil || a.opts.output == "json" || a.opts.output == "yaml"
}

// notef writes a line for people.
func (a *app) notef(format string, args ...any) {
	if !a.quiet() {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}

func terminal(stream any) (fd int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile {
		return 0, false
	}
	return int(f.Fd()), term.IsTerminal(int(f.Fd()))
}

// terminalWidth is the width of stream in columns, 0 when it is not a terminal.
func terminalWidth(stream any) int {
	fd, ok := terminal(stream)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(fd)
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
