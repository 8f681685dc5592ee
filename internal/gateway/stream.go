package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// streamPatience is how long a client may not take the next part of a stream.
const streamPatience = 30 * time.Second

// streams are answers without an end (server-sent events).
func isStream(header http.Header) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "text/event-stream")
}

// streamWriter gives each part of a stream a time limit of its own, instead of the server's for a whole answer.
type streamWriter struct{ http.ResponseWriter }

func (s streamWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s streamWriter) Write(p []byte) (int, error) {
	if isStream(s.Header()) {
		_ = http.NewResponseController(s.ResponseWriter).SetWriteDeadline(time.Now().Add(streamPatience))
	}
	return s.ResponseWriter.Write(p)
}

// endWith ends a stream properly when ctx does, so that a gateway that is replaced does not wait for it: the client comes back.
func endWith(ctx context.Context, r *http.Response) {
	if isStream(r.Header) {
		body := r.Body
		stop := context.AfterFunc(ctx, func() { _ = body.Close() })
		r.Body = endingBody{body, ctx, stop}
	}
}

type endingBody struct {
	io.ReadCloser
	ctx  context.Context
	stop func() bool
}

func (b endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && b.ctx.Err() != nil {
		return n, io.EOF
	}
	return n, err
}

func (b endingBody) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}
