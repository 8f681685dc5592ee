package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"magalu.cloud/mke/internal/audit"
)

const (
	// spoolPause gathers what is delivered together.
	spoolPause = 200 * time.Millisecond
	// maxDelivered records go in one delivery.
	maxDelivered = 200
	// flushPatience is how long a gateway that ends still tries to deliver.
	flushPatience = 5 * time.Second
	// firstRetry and longestRetry are the pauses while mke-api does not take records.
	firstRetry   = 500 * time.Millisecond
	longestRetry = 15 * time.Second
	// deliveryTimeout bounds one delivery.
	deliveryTimeout = 10 * time.Second
	maxLine         = 1 << 20
)

// errUndeliverable says that a delivery can never succeed.
var errUndeliverable = errors.New("mke-api does not understand the records")

// send delivers records, one JSON object each.
type send func(ctx context.Context, records [][]byte) error

// run delivers until ctx ends, and then, for a moment, what is left.
func (s *spool) run(ctx context.Context, send send) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-s.wake:
			s.deliverPatiently(ctx, send)
			select {
			case <-ctx.Done():
			case <-time.After(spoolPause):
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushPatience)
	defer cancel()
	s.deliverPatiently(last, send)
	if files, err := s.waiting(); err != nil || len(files) > 0 {
		s.log.Error("audit records are left behind", "folder", s.dir, "files", len(files), "error", err)
	}
}

// deliverPatiently delivers everything, over and over until it succeeds or ctx ends.
func (s *spool) deliverPatiently(ctx context.Context, send send) {
	for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
		err := s.deliver(ctx, send)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			s.log.Warn("deliver audit records; they wait", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *spool) deliver(ctx context.Context, send send) error {
	files, err := s.waiting()
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := s.deliverFile(ctx, name, send); err != nil {
			return err
		}
	}
	return nil
}

// deliverFile removes the file when all of it was delivered. If that fails in between, all of it is delivered again.
func (s *spool) deliverFile(ctx context.Context, name string, send send) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	var batch [][]byte
	for more := true; more; {
		if more = lines.Scan(); more {
			batch = append(batch, slices.Clone(lines.Bytes()))
		}
		if len(batch) == maxDelivered || !more && len(batch) > 0 {
			if err := s.deliverBatch(ctx, batch, send); err != nil {
				return err
			}
			batch = nil
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong): // nothing that a gateway wrote
		lost.Inc()
		s.log.Error("a file of audit records is damaged", "file", name)
	case err != nil:
		return err
	}
	return s.remove(name, file)
}

// deliverBatch gives up only what cannot be read, here or there.
func (s *spool) deliverBatch(ctx context.Context, batch [][]byte, send send) error {
	all := len(batch)
	readable := slices.DeleteFunc(batch, func(line []byte) bool { return !json.Valid(line) })
	if n := all - len(readable); n > 0 {
		lost.Add(float64(n))
		s.log.Error("audit records were cut off when a gateway died; see the log of that time", "records", n)
	}
	if len(readable) == 0 {
		return nil
	}
	switch err := send(ctx, readable); {
	case errors.Is(err, errUndeliverable):
		lost.Add(float64(len(readable)))
		s.log.Error("audit records are lost; see the log", "records", len(readable), "error", err)
	case err != nil:
		return err
	default:
		delivered.Add(float64(len(readable)))
	}
	return nil
}

func (s *spool) remove(name string, file fs.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size -= info.Size()
	return nil
}

// sendTo delivers to mke-api.
func sendTo(api *url.URL, transport http.RoundTripper) send {
	client := &http.Client{Transport: transport, Timeout: deliveryTimeout}
	address := api.JoinPath(audit.Path).String()
	return func(ctx context.Context, records [][]byte) error {
		body := append(append([]byte(`{"records":[`), bytes.Join(records, []byte{','})...), "]}"...)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		switch res.StatusCode {
		case http.StatusNoContent:
			return nil
		case http.StatusBadRequest:
			return errUndeliverable
		}
		return fmt.Errorf("mke-api answers %s", res.Status)
	}
}
