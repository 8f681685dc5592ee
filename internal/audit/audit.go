// Package audit says what is recorded about a call that may change something. The gateway writes the records, mke-api keeps them and
// shows them; IAM tells the gateway whom a sign-in is about, and records those that come to it directly. Secrets, bodies and query parameters are in none of them.
package audit

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// Path is where mke-api takes records from the gateway and, in IAM, where mke-api gets those of IAM. The gateway lets no client reach
// paths with a segment "internal".
const Path = "/internal/v1/audit-records"

// Batch is the body of a delivery to Path. A record that is delivered twice is kept once.
type Batch struct {
	Records []Record `json:"records"`
}

// Waiting is the oldest of what IAM has recorded. When it is kept, what is up to Last can go.
type Waiting struct {
	Batch
	Last int64 `json:"last"`
}

// Caller is who asks, as far as it is known.
type Caller struct {
	TenantID    string `json:"tenant_id,omitempty"`
	SubjectType string `json:"subject_type,omitempty"` // user or service_account
	Subject     string `json:"subject,omitempty"`      // id
	SubjectName string `json:"subject_name,omitempty"`
	KeyID       string `json:"key_id,omitempty"` // of the API key, also of the one that an access token was got with
}

// Record is one call.
type Record struct {
	ID   uuid.UUID `json:"id"`
	Time time.Time `json:"time"` // when it came
	Caller
	Product    string   `json:"product,omitempty"`
	Operation  string   `json:"operation,omitempty"` // method and documented path; empty if there is none such
	Method     string   `json:"method"`
	Path       string   `json:"path"`
	Resources  []string `json:"resources,omitempty"` // ids in the path, then that of what was made
	DryRun     bool     `json:"dry_run,omitempty"`
	Address    string   `json:"address"`
	UserAgent  string   `json:"user_agent,omitempty"`
	RequestID  string   `json:"request_id"`
	TraceID    string   `json:"trace_id,omitempty"`
	Status     int      `json:"status"`
	Error      string   `json:"error,omitempty"` // slug
	DurationMS int64    `json:"duration_ms"`
}

// Results of calls.
const (
	Succeeded = "succeeded"
	Refused   = "refused" // for who asks, or how often
	Failed    = "failed"
)

// Result sums a status up.
func Result(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests:
		return Refused
	case status >= http.StatusBadRequest:
		return Failed
	}
	return Succeeded
}

// Bounds of what clients can put into a record.
const (
	maxText      = 256
	maxPath      = 1024
	maxResources = 8
)

// Clean bounds what clients have a say in and takes out what a database or a terminal does not like.
func (r *Record) Clean() {
	for _, text := range []*string{&r.TenantID, &r.SubjectType, &r.Subject, &r.SubjectName, &r.KeyID, &r.Product, &r.Operation, &r.Method, &r.Address,
		&r.UserAgent, &r.RequestID, &r.TraceID, &r.Error} {
		*text = clean(*text, maxText)
	}
	r.Path = clean(r.Path, maxPath)
	r.Resources = r.Resources[:min(len(r.Resources), maxResources)]
	for i := range r.Resources {
		r.Resources[i] = clean(r.Resources[i], maxText)
	}
}

func clean(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// CallerHeader is in answers of IAM to the gateway about sign-ins and tokens. The gateway takes it out.
const CallerHeader = "X-Mke-Caller"

// Encode makes the value of a CallerHeader.
func (c Caller) Encode() string {
	return url.Values{"tenant_id": {c.TenantID}, "subject_type": {c.SubjectType}, "subject": {c.Subject}, "subject_name": {c.SubjectName}, "key_id": {c.KeyID}}.Encode()
}

// ParseCaller reads the value of a CallerHeader. What cannot be read is nobody.
func ParseCaller(header string) Caller {
	v, err := url.ParseQuery(header)
	if err != nil {
		return Caller{}
	}
	return Caller{TenantID: v.Get("tenant_id"), SubjectType: v.Get("subject_type"), Subject: v.Get("subject"), SubjectName: v.Get("subject_name"), KeyID: v.Get("key_id")}
}
