package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"magalu.cloud/mke/internal/audit"
)

// maxLearned is how far into an answer the gateway looks.
const maxLearned = 64 << 10

// learned is what an answer tells about a call for its audit record.
type learned struct {
	caller audit.Caller // whom a sign-in is about
	slug   string       // of the error
	made   string       // id of what was made
}

// learn looks at an answer from behind the gateway, and takes out what is for the gateway only.
func (c *call) learn(r *http.Response) {
	if c.identity == nil && c.product == "iam" {
		c.learned.caller = audit.ParseCaller(r.Header.Get(audit.CallerHeader))
	}
	dropInternal(r.Header)
	isError := r.StatusCode >= http.StatusBadRequest
	makes := r.Request.Method == http.MethodPost && r.StatusCode < http.StatusMultipleChoices && !givesCredential(c.rest)
	if !mutates(r.Request.Method) || !isError && !makes || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return
	}
	head, _ := io.ReadAll(io.LimitReader(r.Body, maxLearned)) // if it breaks off, it does so for the client, too
	r.Body = replayed{io.MultiReader(bytes.NewReader(head), r.Body), r.Body}
	var body struct{ Slug, Error, ID, UUID any }
	if json.Unmarshal(head, &body) != nil {
		return
	}
	if isError {
		c.learned.slug = firstWord(body.Slug, body.Error) // "error" is OAuth's
		return
	}
	c.learned.made = firstWord(body.ID, body.UUID)
}

// firstWord is the first that looks like a slug or an id.
func firstWord(values ...any) string {
	for _, v := range values {
		if word, ok := v.(string); ok && sane.MatchString(word) {
			return word
		}
	}
	return ""
}

// replayed is a body whose beginning was read.
type replayed struct {
	io.Reader
	io.Closer
}
