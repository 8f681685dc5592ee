package mkeapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswersHaveALength(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for name, c := range map[string]struct {
		handler func(http.ResponseWriter)
		status  int
		body    string
		length  int64
	}{
		"in parts":       {func(w http.ResponseWriter) { fmt.Fprint(w, "a"); fmt.Fprint(w, "b") }, 200, "ab", 2},
		"large":          {func(w http.ResponseWriter) { fmt.Fprint(w, large) }, 200, large, 100_000},
		"with a status":  {func(w http.ResponseWriter) { w.WriteHeader(404); fmt.Fprint(w, "no") }, 404, "no", 2},
		"nothing at all": {func(http.ResponseWriter) {}, 200, "", 0},
		"no content":     {func(w http.ResponseWriter) { w.WriteHeader(204) }, 204, "", 0},
		"its own length": {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "2"); fmt.Fprint(w, "ab") }, 200, "ab", 2},
		"a stream":       {func(w http.ResponseWriter) { fmt.Fprint(w, "a"); w.(http.Flusher).Flush(); fmt.Fprint(w, "b") }, 200, "ab", -1},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(whole(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.handler(w) })))
			defer web.Close()
			res, err := http.Get(web.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || string(body) != c.body || res.ContentLength != c.length {
				t.Errorf("%d, %d bytes, length %d: %v", res.StatusCode, len(body), res.ContentLength, err)
			}
		})
	}
}

// What a handler wrote before it panicked is not answered.
func TestPanicsAnswerInWhole(t *testing.T) {
	s := &Server{log: newHarness(t).server.log}
	rec := httptest.NewRecorder()
	s.recoverPanics(whole(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"half`)
		panic("bug")
	}))).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if rec.Code != http.StatusInternalServerError || !strings.HasPrefix(rec.Body.String(), `{"message"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
