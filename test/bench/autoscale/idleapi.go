package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// api is as much of an API server as an autoscaler that has nothing to do asks for: lists, watches on which Nodes report every five minutes as
// kubelets do, and objects that it writes. It counts what is asked.
type api struct {
	lists  map[string][]any                // by resource
	groups map[string][]metav1.APIResource // by group and version, for discovery
	beats  time.Duration                   // between two reports of Nodes, 0 for none

	mu      sync.Mutex
	calls   int
	watches int
	objects map[string]map[string]any // by path
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, resource := r.URL.Query(), path.Base(r.URL.Path)
	a.mu.Lock()
	a.calls++
	a.mu.Unlock()
	switch {
	case r.URL.Path == "/readyz":
		_, _ = w.Write([]byte("ok"))
	case r.URL.Path == "/api" || r.URL.Path == "/apis" || a.groups[strings.TrimPrefix(r.URL.Path, "/apis/")] != nil:
		a.discover(w, r.URL.Path)
	case query.Has("sendInitialEvents"): // the client lists and watches instead
		answer(w, http.StatusUnprocessableEntity, metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity})
	case query.Has("watch"):
		a.watch(w, r, resource)
	case r.Method == http.MethodGet && isList(r.URL.Path):
		answer(w, http.StatusOK, map[string]any{"metadata": map[string]any{"resourceVersion": "1"}, "items": a.lists[resource]})
	default:
		a.object(w, r)
	}
}

// isList tells collections from objects: /api/v1/nodes, /apis/g/v/daemonsets, …/namespaces/n/machines.
func isList(p string) bool {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	if parts[0] == "apis" {
		parts = parts[1:]
	}
	parts = parts[2:]
	return len(parts) == 1 || len(parts) == 3 && parts[0] == "namespaces"
}

func (a *api) watch(w http.ResponseWriter, r *http.Request, resource string) {
	a.mu.Lock()
	a.watches++
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	if resource != "nodes" || a.beats == 0 {
		<-r.Context().Done()
		return
	}
	tick := time.NewTicker(a.beats)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
		node := beating(a.lists["nodes"][i%len(a.lists["nodes"])], fmt.Sprint(2+i))
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "MODIFIED", "object": node})
		w.(http.Flusher).Flush()
	}
}

// object reads and writes single objects.
func (a *api) object(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := r.URL.Path
	stored := a.objects[key]
	if r.Method == http.MethodGet {
		if stored == nil {
			answer(w, http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
			return
		}
		answer(w, http.StatusOK, stored)
		return
	}
	body, err := decoded(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodPost {
		key = path.Join(key, body["metadata"].(map[string]any)["name"].(string))
	}
	if r.Method == http.MethodPatch {
		body = merged(stored, body)
	}
	body["metadata"].(map[string]any)["resourceVersion"] = fmt.Sprint(1_000_000 + a.calls)
	a.objects[key] = body
	answer(w, http.StatusOK, body)
}

// decoded is an object in protobuf, or anything in JSON.
func decoded(r io.Reader) (map[string]any, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var body map[string]any
	if json.Unmarshal(data, &body) == nil {
		return body, nil
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	return asMap(object), nil
}

// merged is a JSON merge patch.
func merged(into, patch map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range into {
		out[k] = v
	}
	for k, v := range patch {
		inner, isMap := v.(map[string]any)
		before, wasMap := out[k].(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isMap && wasMap:
			out[k] = merged(before, inner)
		default:
			out[k] = v
		}
	}
	return out
}

func (a *api) discover(w http.ResponseWriter, p string) {
	switch p {
	case "/api":
		answer(w, http.StatusOK, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case "/apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for gv := range a.groups {
			group, version, _ := strings.Cut(gv, "/")
			v := metav1.GroupVersionForDiscovery{GroupVersion: gv, Version: version}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
		}
		answer(w, http.StatusOK, list)
	default:
		gv := strings.TrimPrefix(p, "/apis/")
		answer(w, http.StatusOK, metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv, APIResources: a.groups[gv]})
	}
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// counted are the calls so far, and how many watches there are among them.
func (a *api) counted() (calls, watches int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls, a.watches
}
