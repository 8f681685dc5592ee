package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestProductCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"virtual-machine instances get":                       "web-1\t" + vmOne,
		"virtual-machine instances get 444":                   vmOne + "\tweb-1",
		"virtual-machine instances create --network.vpc.id":   vpcOne + "\tvpc_default",
		"virtual-machine instances create --network.vpc.name": "vpc_default\t" + vpcOne,
		"network vpcs subnets create":                         "vpc_default\t" + vpcOne,
		"network security-groups rules create":                "web servers\t" + sgOne,
		"load-balancer network-listeners list":                "front\tlb",
		"load-balancer network-listeners get front":           "http\tli",
		"load-balancer network-acls create lb --action":       "DENY_UNSPECIFIED",
		"iam roles delete":                                    "admin",
		"network --workspace":                                 "default",
		"network vpcs list --region":                          "br-ne1",
		"config set":                                          "region\tregion of the public cloud",
	} {
		answers := productAnswers()
		answers["GET /v0beta1/network-load-balancers?_limit=100&_offset=0"] = []reply{ok(`{"results":[{"id":"lb","name":"front"}]}`)}
		answers["GET /v0beta1/network-load-balancers/lb/listeners?_limit=100&_offset=0"] = []reply{ok(`{"results":[{"id":"li","name":"http"}]}`)}
		line := append([]string{"__complete"}, strings.Fields(args)...)
		if !strings.HasSuffix(args, " 444") {
			line = append(line, "")
		}
		got := newFakeAPI(t, answers).run(t, line...)
		if !strings.Contains("\n"+got.stdout, "\n"+want+"\n") {
			t.Errorf("%s offers:\n%s%s", args, got.stdout, got.stderr)
		}
	}
}

// TestCompletionAsksOnce, but again for another caller, and later.
func TestCompletionAsksOnce(t *testing.T) {
	home := t.TempDir()
	f := newFakeAPI(t, productAnswers())
	now, key := time.Now(), testKey
	complete := func() int {
		got := f.runWith(t, t.Context(), "", func(a *app) {
			env := a.getenv
			a.getenv = func(k string) string {
				switch k {
				case "HOME":
					return home
				case "MGC_API_KEY":
					return key
				}
				return env(k)
			}
			a.now = func() time.Time { return now }
		}, "__complete", "virtual-machine", "instances", "get", "")
		if key == testKey && !strings.Contains(got.stdout, "web-1") {
			t.Errorf("offers:\n%s", got.stdout)
		}
		return len(f.lines())
	}
	for i, want := range []int{1, 1} {
		if n := complete(); n != want {
			t.Errorf("completion %d: %d requests, want %d", i, n, want)
		}
	}
	key = "another"
	if n := complete(); n != 2 {
		t.Errorf("another caller: %d requests", n)
	}
	key, now = testKey, now.Add(time.Hour)
	if n := complete(); n != 3 {
		t.Errorf("later: %d requests", n)
	}
	files, err := filepath.Glob(filepath.Join(home, ".cache", "mgc", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || strings.Contains(string(text), testKey) {
		t.Errorf("%s %v", text, err)
	}
}
