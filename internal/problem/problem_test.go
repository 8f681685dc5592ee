package problem

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestCatalogueIsComplete(t *testing.T) {
	slug := regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)*$`)
	verbs := regexp.MustCompile(`%[a-z]`)
	seen := map[string]bool{}
	for _, k := range All() {
		if !slug.MatchString(k.Slug) || seen[k.Slug] {
			t.Errorf("slug %q is malformed or used twice", k.Slug)
		}
		seen[k.Slug] = true
		if k.Status < 400 || k.Status > 599 {
			t.Errorf("%s: status %d", k.Slug, k.Status)
		}
		if k.Message.EN == "" || k.Message.PT == "" || (k.Hint.EN == "") != (k.Hint.PT == "") {
			t.Errorf("%s: a translation is missing", k.Slug)
		}
		if en, pt := verbs.FindAllString(k.Message.EN, -1), verbs.FindAllString(k.Message.PT, -1); strings.Join(en, "") != strings.Join(pt, "") {
			t.Errorf("%s: arguments differ: %v and %v", k.Slug, en, pt)
		}
	}
}

func TestOneProblemKeepsItsSlug(t *testing.T) {
	e := New(ClusterExists, "c1")
	if e.GetStatus() != http.StatusConflict {
		t.Errorf("status %d", e.GetStatus())
	}
	body := e.In(Portuguese)
	if body.Slug != "cluster_already_exists" || body.Message != `já existe um cluster chamado "c1"` || body.Details != nil {
		t.Errorf("%+v", body)
	}
}

func TestSeveralProblems(t *testing.T) {
	var l List
	l.Add("node_pools[0].replicas", InvalidReplicas, 2000)
	l.Add("name", InvalidName)
	l.Add("name", ClusterExists, "x")
	l.Add("node_pools[0].replicas.deep", RequiredField)
	var e *Error
	if !errors.As(l.Err(), &e) || len(e.Problems) != 2 {
		t.Fatalf("%v", l.Err())
	}
	body := e.In(English)
	if body.Slug != "invalid_request" || len(body.Details) != 2 || !strings.HasPrefix(body.Message, "2 problems: name: must have") {
		t.Errorf("%+v", body)
	}
	var mixed List
	mixed.Add("name", ClusterExists, "x")
	mixed.Add("version", UnknownVersion, "v1", "v2")
	if !errors.As(mixed.Err(), &e) || e.GetStatus() != http.StatusBadRequest {
		t.Errorf("mixed problems have status %d", e.GetStatus())
	}
	var empty List
	if empty.Err() != nil {
		t.Error("an empty list is an error")
	}
}

func TestLangOf(t *testing.T) {
	for header, want := range map[string]Lang{"": English, "pt-BR,en;q=0.8": Portuguese, "en-US,pt;q=0.5": English} {
		if got := LangOf(header); got != want {
			t.Errorf("LangOf(%q) = %v", header, got)
		}
	}
}
