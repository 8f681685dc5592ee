package mkeapi

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
)

// maxPooled is the size up to which buffers are used again.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// whole gives answers their length. One of unknown length comes in chunks, and the gateway would pass each on by itself, which costs
// it a third of its time. Streams, and what has a length already, are not held back.
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := &wholeWriter{ResponseWriter: w, body: buffers.Get().(*bytes.Buffer)}
		next.ServeHTTP(b, r)
		b.end()
		if b.body.Cap() <= maxPooled {
			b.body.Reset()
			buffers.Put(b.body)
		}
	})
}

type wholeWriter struct {
	http.ResponseWriter
	body   *bytes.Buffer
	status int  // 0 until it is known
	passes bool // nothing is held back any more
}

// Unwrap is for http.ResponseController.
func (w *wholeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *wholeWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status = status
	if w.Header().Get("Content-Length") != "" {
		w.pass()
	}
}

func (w *wholeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.passes {
		return w.ResponseWriter.Write(p)
	}
	return w.body.Write(p)
}

// Flush is what streams call.
func (w *wholeWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	w.pass()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *wholeWriter) pass() {
	if w.passes {
		return
	}
	w.passes = true
	w.ResponseWriter.WriteHeader(w.status)
	if w.body.Len() > 0 {
		_, _ = w.ResponseWriter.Write(w.body.Bytes())
	}
}

func (w *wholeWriter) end() {
	if w.passes || w.status == 0 {
		return
	}
	if w.status != http.StatusNoContent && w.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	w.pass()
}
