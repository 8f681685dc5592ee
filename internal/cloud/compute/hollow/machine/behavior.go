package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Behavior is how fast and how well a machine does what it does.
type Behavior struct {
	BootMS       int  `json:"boot_ms"`        // from its start until kubeadm join begins
	BootJitterMS int  `json:"boot_jitter_ms"` // at most so much more
	NeverBoots   bool `json:"never_boots"`    // it hangs before kubeadm join
	NotReady     bool `json:"not_ready"`      // its Node says so
	Silent       bool `json:"silent"`         // the kubelet hangs: no heartbeats, no pods
	PodStartMS   int  `json:"pod_start_ms"`   // from ContainerCreating to Running
	PodJitterMS  int  `json:"pod_jitter_ms"`  // at most so much more
	PodStopMS    int  `json:"pod_stop_ms"`    // at most the pod's grace period
	PodRunMS     int  `json:"pod_run_ms"`     // how long pods run that come to an end, such as those of Jobs
	ReadyAfterMS int  `json:"ready_after_ms"` // from the registration of the Node
}

// usual is the behavior that no rule changes: about that of a VM of the driver container.
var usual = Behavior{BootMS: 2000, BootJitterMS: 1000, PodStartMS: 300, PodJitterMS: 400, PodStopMS: 200, PodRunMS: 1000}

// Rule gives machines a behavior. The first one that matches counts.
type Rule struct {
	Flavor  string `json:"flavor"`  // pattern of the machine type, such as HL2-*; empty: all
	Name    string `json:"name"`    // pattern of the VM's name; empty: all
	Percent *int   `json:"percent"` // how many of those, drawn once for each VM; missing: all
	Behavior
}

// UnmarshalJSON leaves what is not mentioned as usual.
func (r *Rule) UnmarshalJSON(data []byte) error {
	type plain Rule
	p := plain{Behavior: usual}
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*r = Rule(p)
	return nil
}

// Rules are the behaviors of all machines of a region.
type Rules struct {
	Rules []Rule `json:"rules"`
}

// Validate names the first field that is wrong.
func (r Rules) Validate() error {
	for i, rule := range r.Rules {
		for field, pattern := range map[string]string{"flavor": rule.Flavor, "name": rule.Name} {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("rules[%d].%s: %q is not a pattern such as HL2-*", i, field, pattern)
			}
		}
		if rule.Percent != nil && (*rule.Percent < 0 || *rule.Percent > 100) {
			return fmt.Errorf("rules[%d].percent: must be between 0 and 100", i)
		}
		for field, ms := range map[string]int{"boot_ms": rule.BootMS, "boot_jitter_ms": rule.BootJitterMS, "pod_start_ms": rule.PodStartMS,
			"pod_jitter_ms": rule.PodJitterMS, "pod_stop_ms": rule.PodStopMS, "pod_run_ms": rule.PodRunMS, "ready_after_ms": rule.ReadyAfterMS} {
			if ms < 0 || ms > 24*3600*1000 {
				return fmt.Errorf("rules[%d].%s: must be between 0 and %d", i, field, 24*3600*1000)
			}
		}
	}
	return nil
}

// of returns the behavior of a machine. Its draw comes from its id: it is the same for ever, and another one for the VM that replaces it.
func (r Rules) of(s Spec) Behavior {
	for i, rule := range r.Rules {
		if matches(rule.Flavor, s.MachineType) && matches(rule.Name, s.Name) && (rule.Percent == nil || draw(s.ID, i) < *rule.Percent) {
			return rule.Behavior
		}
	}
	return usual
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == "" || err == nil && ok
}

// draw is a number from 0 to 99.
func draw(id string, n int) int {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%d", id, n)
	return int(rand.New(rand.NewPCG(uint64(h.Sum32()), 0)).UintN(100))
}

func ms(fixed, jitter int) time.Duration {
	if jitter > 0 {
		fixed += rand.IntN(jitter)
	}
	return time.Duration(fixed) * time.Millisecond
}

func rulesPath(dir string) string { return filepath.Join(dir, "behavior.json") }

// SaveRules records the behaviors; a running process has to be told.
func SaveRules(dir string, r Rules) error {
	if err := r.Validate(); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return WriteFile(rulesPath(dir), data)
}

// LoadRules returns what was recorded last.
func LoadRules(dir string) (r Rules, err error) {
	data, err := os.ReadFile(rulesPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return Rules{Rules: []Rule{}}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}
