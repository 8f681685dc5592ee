package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
)

// confirm asks whether what may be deleted, after saying what follows, and fails unless the answer is yes.
func (a *app) confirm(ctx context.Context, what, consequences string) error {
	if a.opts.noConfirm {
		return nil
	}
	if !a.interactive() {
		return usagef("deleting needs a yes and there is no terminal to ask on; add --no-confirm to delete %s", what)
	}
	fmt.Fprintf(a.Err, "%sDelete %s? This cannot be undone. [y/N] ", consequences, what)
	text, err := a.readLine(ctx)
	if err != nil {
		return &interruptedError{"interrupted, nothing was deleted"}
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "y", "yes", "s", "sim":
		return nil
	}
	return errors.New("not confirmed, nothing was deleted")
}

// readLine reads one line, unless ctx ends first.
func (a *app) readLine(ctx context.Context) (string, error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(a.In).ReadString('\n')
		line <- text
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.Err)
		return "", ctx.Err()
	case text := <-line:
		return text, nil
	}
}
