// Package testpg starts a throw-away PostgreSQL of the machine's own package for tests and benchmarks.
package testpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// startTimeout bounds initdb and the server's start together.
const startTimeout = 60 * time.Second

// Server is a running PostgreSQL that listens on a unix socket only.
type Server struct {
	dir       string
	launch    func() error
	cmd       *exec.Cmd
	exited    chan struct{}
	databases int
	mu        sync.Mutex
}

// Start makes a new server in a temporary folder. It does not sync to disk, because its data is worth nothing, unless settings such
// as "fsync=on" say otherwise.
func Start(settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	credential, err := postgresUser()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mke-testpg-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.start(bin, credential, settings); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(bin string, credential *syscall.Credential, settings []string) error {
	if credential != nil {
		if err := os.Chown(s.dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	data := filepath.Join(s.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: credential}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	args := []string{"-D", data, "-k", s.dir}
	for _, setting := range append([]string{"listen_addresses=", "max_connections=200", "fsync=off", "synchronous_commit=off", "full_page_writes=off"}, settings...) {
		args = append(args, "-c", setting)
	}
	s.launch = func() error { return s.run(filepath.Join(bin, "postgres"), args, credential) }
	return s.launch()
}

func (s *Server) run(postgres string, args []string, credential *syscall.Credential) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var log bytes.Buffer
	s.exited = make(chan struct{})
	s.cmd = exec.Command(postgres, args...)
	s.cmd.Dir, s.cmd.Stderr = s.dir, &log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, Pdeathsig: syscall.SIGQUIT}
	if err := startOnOwnThread(s.cmd, s.exited); err != nil {
		s.cmd = nil
		return err
	}
	return s.waitReady(ctx, &log)
}

// Crash ends the server like a power cut. Its data is whole if it was started with synchronous_commit=on.
func (s *Server) Crash() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Restart starts a server again that has crashed.
func (s *Server) Restart() error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.launch() // processes of the old server may still be about to end
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// Socket is the unix socket that the server listens on.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// startOnOwnThread keeps the thread that started the command: its end is what Pdeathsig reacts to.
func startOnOwnThread(cmd *exec.Cmd, exited chan struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(exited)
		}
	}()
	return <-started
}

func (s *Server) waitReady(ctx context.Context, log *bytes.Buffer) error {
	for {
		conn, err := pgx.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("postgres ended at once: %s", log)
		case <-ctx.Done():
			return fmt.Errorf("postgres does not accept connections: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) dsn(database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s", s.dir, database)
}

// NewDatabase makes an empty database and returns its connection string.
func (s *Server) NewDatabase(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, err := pgx.Connect(ctx, s.dsn("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	s.databases++
	name := "test" + strconv.Itoa(s.databases)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	return s.dsn(name), nil
}

// Stop ends the server and removes its folder.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.exited
	}
	_ = os.RemoveAll(s.dir)
}

func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("PostgreSQL is not installed: run apt-get install postgresql")
}

// postgresUser is who the server runs as: it refuses root.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, errors.New("PostgreSQL refuses to run as root and there is no user postgres: run apt-get install postgresql")
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errUID, errGID)
}

var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Database gives a test an empty database of its own, on a server that all tests of the package share.
// The package's TestMain must call Run.
func Database(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = Start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	dsn, err := shared.server.NewDatabase(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// Run runs the tests of a package and stops the shared server after them.
func Run(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.Stop()
		}
	}()
	return m.Run()
}
