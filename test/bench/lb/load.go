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

// oneConnection opens another one whenever the server has closed it, as nginx does after 1,000 requests.
func oneConnection(ctx context.Context, end time.Time, n int, dial dialer) (times []time.Duration, err error) {
	for ctx.Err() == nil && time.Now().Before(end) {
		more, err := untilClosed(ctx, end, n, dial)
		if err != nil {
			return nil, err
		}
		times = append(times, more...)
	}
	return times, ctx.Err()
}

func untilClosed(ctx context.Context, end time.Time, n int, dial dialer) (times []time.Duration, err error) {
	conn, err := dial(ctx, n)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for closing := false; !closing && ctx.Err() == nil; {
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
		if closing, err = readAnswer(reader); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	return times, ctx.Err()
}

// readAnswer reads one answer with a Content-Length; nginx gives its pages one. It tells whether the server closes the connection now.
func readAnswer(r *bufio.Reader) (closing bool, err error) {
	status, err := r.ReadString('\n')
	if err != nil {
		return false, err
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return false, fmt.Errorf("the answer is %q", strings.TrimSpace(status))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		text := strings.TrimSpace(string(line))
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Connection"):
			closing = strings.EqualFold(value, "close")
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(value); err != nil {
				return false, err
			}
		}
	}
	if length < 0 {
		return false, errors.New("the answer has no Content-Length")
	}
	_, err = r.Discard(length)
	return closing, err
}
