package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func (w *world) startServer(role string, args ...string) error {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, databaseVariable+"="+w.dsn, answerVariable+"="+filepath.Join(w.dir, "answer"))
	if *profile != "" && role != "bare" {
		cmd.Env = append(cmd.Env, profileVariable+"="+filepath.Join(*profile, role+".pprof"))
	}
	log, err := os.Create(filepath.Join(w.dir, role+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	w.processes = append(w.processes, process{name: role, pid: cmd.Process.Pid, cmd: cmd})
	return nil
}

func (w *world) stop() {
	for _, p := range w.processes {
		if p.cmd != nil {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			_ = p.cmd.Wait()
		}
	}
	if w.iam != nil {
		w.iam.Close()
	}
	if w.pool != nil {
		w.pool.Close()
	}
	if w.postgres != nil {
		w.postgres.Stop()
	}
}

func (w *world) names() (names []string) {
	for _, p := range w.processes {
		names = append(names, p.name)
	}
	return names
}

// cpu is what each process has used so far; PostgreSQL's with that of its children.
func (w *world) cpu() []time.Duration {
	used := make([]time.Duration, len(w.processes))
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		pid, parent, ticks, err := readStat(file)
		for i, p := range w.processes {
			if err == nil && (pid == p.pid || parent == p.pid && p.cmd == nil && p.pid != os.Getpid()) {
				used[i] += time.Duration(ticks) * 10 * time.Millisecond // the kernel counts for users in hundredths of a second
			}
		}
	}
	return used
}

func readStat(file string) (pid, parent, ticks int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, 0, err // it has ended
	}
	pid, err = strconv.Atoi(filepath.Base(filepath.Dir(file)))
	_, rest, _ := strings.Cut(string(text), ") ") // the name may have blanks in it
	fields := strings.Fields(rest)
	if err != nil || len(fields) < 13 {
		return 0, 0, 0, errors.New("unknown format")
	}
	parent, errParent := strconv.Atoi(fields[1])
	user, errUser := strconv.Atoi(fields[11])
	system, errSystem := strconv.Atoi(fields[12])
	return pid, parent, user + system, errors.Join(errParent, errUser, errSystem)
}

// postgresPID is the parent of every connection's process.
func (w *world) postgresPID(ctx context.Context) (int, error) {
	var backend int
	if err := w.pool.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return 0, err
	}
	_, parent, _, err := readStat(fmt.Sprintf("/proc/%d/stat", backend))
	return parent, err
}

// untilAnswer waits for gateway and mke-api, and returns the cluster that the floor repeats.
func (w *world) untilAnswer(ctx context.Context) (answer []byte, err error) {
	for range 100 {
		if answer, err = w.send(ctx, http.MethodGet, w.api+"/v0/clusters/"+w.ids[0].String(), w.keys[1000], "", http.StatusOK); err == nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, err
}

func (w *world) untilListens(ctx context.Context, address string) (err error) {
	for range 100 {
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("nobody listens at %s", address)
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0" // whoever listens there says why it cannot
	}
	defer l.Close()
	return l.Addr().String()
}

func (w *world) writeCertificate() (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots, errors.Join(os.WriteFile(filepath.Join(w.dir, "tls.crt"), certPEM, 0o600), os.WriteFile(filepath.Join(w.dir, "tls.key"), keyPEM, 0o600))
}
