package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// dialer opens the n-th connection of a load.
type dialer func(ctx context.Context, n int) (net.Conn, error)

// loaded is what a load measured.
type loaded struct {
	perSecond float64
	p50, p99  time.Duration
}

const (
	request        = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	requestTimeout = 10 * time.Second
)

// drive keeps connections busy, one request at a time on each, by as little code as possible: client and servers share the processors.
func drive(ctx context.Context, connections int, how time.Duration, dial dialer) (loaded, error) {
	times := make([][]time.Duration, connections)
	errs := make([]error, connections)
	begun := time.Now()
	var all sync.WaitGroup
	for n := range connections {
		all.Go(func() { times[n], errs[n] = oneConnection(ctx, begun.Add(how), n, dial) })
	}
	all.Wait()
	took := time.Since(begun)
	if err := errors.Join(errs...); err != nil {
		return loaded{}, err
	}
	flat := slices.Concat(times...)
	if len(flat) == 0 {
		return loaded{}, errors.New("no request was answered")
	}
	slices.Sort(flat)
	return loaded{float64(len(flat)) / took.Seconds(), flat[len(flat)/2], flat[len(flat)*99/100]}, nil
}

func oneConnection(ctx context.Context, end time.Time, n int, dial dialer) (times []time.Duration, err error) {
	conn, err := dial(ctx, n)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for ctx.Err() == nil {
		begun := time.Now()
		if begun.After(end) {
			break
		}
		if err := conn.SetDeadline(begun.Add(requestTimeout)); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(conn, request); err != nil {
			return nil, err
		}
		if err := readAnswer(reader); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	return times, ctx.Err()
}

// readAnswer reads one answer with a Content-Length; nginx gives its pages one.
func readAnswer(r *bufio.Reader) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return fmt.Errorf("the answer is %q", strings.TrimSpace(status))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line))
		if text == "" {
			break
		}
		if name, value, _ := strings.Cut(text, ":"); strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("the answer has no Content-Length")
	}
	_, err = r.Discard(length)
	return err
}
