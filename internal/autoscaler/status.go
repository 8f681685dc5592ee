package autoscaler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The status in the ConfigMap, in the form that upstream's cluster-autoscaler writes.
type statusDocument struct {
	Time             string        `json:"time"`
	AutoscalerStatus string        `json:"autoscalerStatus"`
	Message          string        `json:"message,omitempty"`
	ClusterWide      scopeStatus   `json:"clusterWide"`
	NodeGroups       []scopeStatus `json:"nodeGroups,omitempty"`
}

type scopeStatus struct {
	Name      string       `json:"name,omitempty"`
	Health    healthStatus `json:"health"`
	ScaleUp   upStatus     `json:"scaleUp"`
	ScaleDown downStatus   `json:"scaleDown"`
}

type healthStatus struct {
	Status              string     `json:"status"`
	NodeCounts          nodeCounts `json:"nodeCounts"`
	CloudProviderTarget int        `json:"cloudProviderTarget,omitempty"`
	MinSize             int        `json:"minSize,omitempty"`
	MaxSize             int        `json:"maxSize,omitempty"`
	times               `json:",inline"`
}

type nodeCounts struct {
	Registered       registered `json:"registered"`
	LongUnregistered int        `json:"longUnregistered"`
	Unregistered     int        `json:"unregistered"`
}

type registered struct {
	Total        int         `json:"total"`
	Ready        int         `json:"ready"`
	NotStarted   int         `json:"notStarted"`
	BeingDeleted int         `json:"beingDeleted,omitempty"`
	Unready      unreadyPart `json:"unready"`
}

type unreadyPart struct {
	Total           int `json:"total"`
	ResourceUnready int `json:"resourceUnready"`
}

type upStatus struct {
	Status      string   `json:"status"`
	BackoffInfo *offInfo `json:"backoffInfo,omitempty"`
	times       `json:",inline"`
}

type offInfo struct {
	ErrorCode    string `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
}

type downStatus struct {
	Status     string `json:"status"`
	Candidates int    `json:"candidates,omitempty"`
	times      `json:",inline"`
}

type times struct {
	LastProbeTime      string `json:"lastProbeTime"`
	LastTransitionTime string `json:"lastTransitionTime"`
}

// statusWriter remembers what it wrote last: what has not changed is not written again.
type statusWriter struct {
	written     string
	transitions map[string]transition
	pools       map[string]poolWritten
}

type transition struct {
	status string
	since  time.Time
}

func newStatusWriter() *statusWriter {
	return &statusWriter{transitions: map[string]transition{}, pools: map[string]poolWritten{}}
}

// statusObject is what events of the autoscaler as a whole are about.
func (a *autoscaler) statusObject() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: a.opts.StatusNamespace, Name: a.opts.StatusConfigMap},
	}
}

// writeStatus writes the ConfigMap if anything but the time of the look is new.
func (a *autoscaler) writeStatus(ctx context.Context, l *look) error {
	if !a.opts.WriteStatus {
		return nil
	}
	doc := a.document(l)
	core, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	if string(core) == a.status.written {
		return nil
	}
	stamp := l.now.UTC().Format("2006-01-02 15:04:05.999999999 -0700 MST")
	doc.stamp(stamp)
	data, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	if err := a.putStatus(ctx, stamp, string(data)); err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	a.status.written = string(core)
	return nil
}

func (a *autoscaler) putStatus(ctx context.Context, stamp, data string) error {
	maps := a.client.CoreV1().ConfigMaps(a.opts.StatusNamespace)
	cm, err := maps.Get(ctx, a.opts.StatusConfigMap, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return err
	}
	if missing {
		cm = a.statusObject()
	}
	if cm.Annotations == nil {
		cm.Annotations = map[string]string{}
	}
	cm.Annotations["cluster-autoscaler.kubernetes.io/last-updated"] = stamp
	cm.Data = map[string]string{"status": data}
	if missing {
		_, err = maps.Create(ctx, cm, metav1.CreateOptions{})
	} else {
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{})
	}
	return err
}

func (d *statusDocument) stamp(now string) {
	d.Time = now
	for _, s := range append([]*scopeStatus{&d.ClusterWide}, pointers(d.NodeGroups)...) {
		s.Health.LastProbeTime, s.ScaleUp.LastProbeTime, s.ScaleDown.LastProbeTime = now, now, now
	}
}

func pointers(in []scopeStatus) []*scopeStatus {
	out := make([]*scopeStatus, 0, len(in))
	for i := range in {
		out = append(out, &in[i])
	}
	return out
}

func (a *autoscaler) document(l *look) statusDocument {
	doc := statusDocument{AutoscalerStatus: "Running"}
	starting, candidates := 0, 0
	for i := range l.views {
		v := &l.views[i]
		g := a.groupStatus(v, l)
		doc.NodeGroups = append(doc.NodeGroups, g)
		starting += v.upcoming
		candidates += g.ScaleDown.Candidates
	}
	doc.ClusterWide = scopeStatus{
		Health:    healthStatus{Status: healthWord(l.health.safe), NodeCounts: l.health.counts.document()},
		ScaleUp:   upStatus{Status: growthWord(starting)},
		ScaleDown: downStatus{Status: candidatesWord(candidates), Candidates: candidates},
	}
	if len(l.views) == 0 {
		doc.AutoscalerStatus = "Initializing"
	}
	for _, s := range append([]*scopeStatus{&doc.ClusterWide}, pointers(doc.NodeGroups)...) {
		s.Health.LastTransitionTime = a.status.since(s.Name+"/health", s.Health.Status, l.now)
		s.ScaleUp.LastTransitionTime = a.status.since(s.Name+"/up", s.ScaleUp.Status, l.now)
		s.ScaleDown.LastTransitionTime = a.status.since(s.Name+"/down", s.ScaleDown.Status, l.now)
	}
	return doc
}

func (a *autoscaler) groupStatus(v *view, l *look) scopeStatus {
	candidates := 0
	for _, list := range [][]member{v.ready, v.unready} {
		for _, m := range list {
			if _, ok := a.down.unneeded[m.node.Name]; ok {
				candidates++
			}
		}
	}
	s := scopeStatus{
		Name: v.Name,
		Health: healthStatus{
			Status: healthWord(len(v.unready)+len(v.overdue) <= max(a.opts.OKUnreadyCount, len(v.ready))), NodeCounts: countsOf(v, a.opts, l.now).document(),
			CloudProviderTarget: v.Target, MinSize: v.Min, MaxSize: v.Max,
		},
		ScaleUp:   upStatus{Status: growthWord(v.upcoming)},
		ScaleDown: downStatus{Status: candidatesWord(candidates), Candidates: candidates},
	}
	if a.backoff.blocked(v.Name, l.now) != "" {
		f := a.backoff.groups[v.Name]
		s.ScaleUp = upStatus{Status: "Backoff", BackoffInfo: &offInfo{ErrorCode: f.code, ErrorMessage: f.reason}}
	}
	return s
}

func (c counts) document() nodeCounts {
	return nodeCounts{
		Registered: registered{
			Total: c.total, Ready: c.ready, NotStarted: c.notStarted, BeingDeleted: c.beingDeleted, Unready: unreadyPart{Total: c.unready},
		},
		LongUnregistered: c.longUnregistered, Unregistered: c.unregistered,
	}
}

func healthWord(ok bool) string {
	if ok {
		return "Healthy"
	}
	return "Unhealthy"
}

func growthWord(starting int) string {
	if starting > 0 {
		return "InProgress"
	}
	return "NoActivity"
}

func candidatesWord(n int) string {
	if n > 0 {
		return "CandidatesPresent"
	}
	return "NoCandidates"
}

// since is when a status became what it is.
func (w *statusWriter) since(key, status string, now time.Time) string {
	t, ok := w.transitions[key]
	if !ok || t.status != status {
		t = transition{status, now}
		w.transitions[key] = t
	}
	return t.since.UTC().Format(time.RFC3339)
}
