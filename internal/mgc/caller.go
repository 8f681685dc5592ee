package mgc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	maxBody      = 64 << 20 // a page of 1000 instances with user data fits
	maxErrorBody = 64 << 10
	maxPages     = 10_000
)

// getRetries are the pauses before a GET is sent again.
var getRetries = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond}

// caller sends the calls of one product.
type caller struct {
	base, apiKey, tenantID, userAgent string
	http                              *http.Client
}

// request is one call; in and out are JSON, nil for none.
type request struct {
	method, path string
	query        url.Values
	header       map[string]string
	in, out      any
}

// do sends r. GETs are repeated on 5xx and network errors; everything else is sent once, because only the caller knows how to
// find out whether a call with a lost answer took effect.
func (c *caller) do(ctx context.Context, r request) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body []byte
	if r.in != nil {
		var err error
		if body, err = json.Marshal(r.in); err != nil {
			return fmt.Errorf("%s %s: encode: %w", r.method, r.path, err)
		}
	}
	for attempt := 0; ; attempt++ {
		err := c.send(ctx, r, body)
		if err == nil || r.method != http.MethodGet || attempt == len(getRetries) || !retryNow(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(getRetries[attempt]):
		}
	}
}

// retryNow is true for errors that a second try within the call may cure. Rate limits are left to the caller.
func retryNow(err error) bool { return IsTransient(err) && !IsRateLimited(err) }

func (c *caller) send(ctx context.Context, r request, body []byte) error {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("X-Api-Key", c.apiKey)
	if c.tenantID != "" {
		req.Header.Set("X-Tenant-Id", c.tenantID)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return &callError{method: r.method, path: r.path, err: err}
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return decodeError(r, res)
	}
	return decodeBody(r, res)
}

func decodeBody(r request, res *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	switch {
	case err != nil:
		return &callError{method: r.method, path: r.path, err: err}
	case len(data) > maxBody:
		return fmt.Errorf("%s %s: the answer is larger than %d bytes", r.method, r.path, maxBody)
	case r.out == nil:
		return nil
	}
	if err := json.Unmarshal(data, r.out); err != nil {
		// A cut or garbled answer tells nothing about the object.
		return &callError{method: r.method, path: r.path, err: fmt.Errorf("decode the answer: %w", err)}
	}
	return nil
}

// callError is a call without a usable answer: it may or may not have taken effect.
type callError struct {
	method, path string
	err          error
}

func (e *callError) Error() string {
	var ue *url.Error // its text repeats method and URL
	if errors.As(e.err, &ue) {
		return fmt.Sprintf("%s %s: %v", e.method, e.path, ue.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.method, e.path, e.err)
}

func (e *callError) Unwrap() error { return e.err }

// created is the answer to most POSTs.
type created struct {
	ID string `json:"id"`
}

func (c *caller) create(ctx context.Context, r request) (string, error) {
	var out created
	r.method, r.out = http.MethodPost, &out
	if err := c.do(ctx, r); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", &callError{method: r.method, path: r.path, err: errors.New("the answer has no id")}
	}
	return out.ID, nil
}

func (c *caller) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, request{method: http.MethodGet, path: path, query: query, out: out})
}

func (c *caller) delete(ctx context.Context, path string, query url.Values) error {
	return c.do(ctx, request{method: http.MethodDelete, path: path, query: query})
}

// page is the published pagination frame.
type page struct {
	Page struct {
		Total int `json:"total"`
	} `json:"page"`
}

// collect reads all pages; fetch returns one page from an offset and the total (0 if the cloud did not say). A short page is
// not taken for the last one: a list that is cut must never make objects look deleted.
func collect[T any](fetch func(offset int) (items []T, total int, err error)) ([]T, error) {
	var all []T
	for range maxPages {
		items, total, err := fetch(len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if len(items) == 0 || (total > 0 && len(all) >= total) {
			return all, nil
		}
	}
	return nil, errors.New("the cloud's list does not end")
}
