package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/platform/management"
	"magalu.cloud/mke/test/bench/benchsite"
)

func TestUserDataIsYAML(t *testing.T) {
	pki, err := management.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	join, err := benchsite.Join{CA: pki.Certificate, Endpoint: "172.26.0.4:6443", Token: joinToken, Labels: "example.com/pool=a"}.UserData()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(join, `- {name: node-labels, value: "example.com/pool=a"}`) {
		t.Errorf("no labels in\n%s", join)
	}
	for _, text := range []string{initUserData(pki), join} {
		if !strings.HasPrefix(text, "## template: jinja\n#cloud-config\n") {
			t.Errorf("begins with %.40q", text)
		}
		var config struct {
			WriteFiles []struct{ Path, Content string } `json:"write_files"`
			RunCmd     []string                         `json:"runcmd"`
		}
		if err := yaml.Unmarshal([]byte(text), &config); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, f := range config.WriteFiles {
			if !strings.HasSuffix(f.Path, ".yaml") {
				continue
			}
			for _, doc := range strings.Split(f.Content, "---\n") {
				var v map[string]any
				if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil || v["kind"] == nil {
					t.Errorf("%v in\n%s", err, doc)
				}
			}
		}
		if len(config.RunCmd) != 1 {
			t.Errorf("commands: %v", config.RunCmd)
		}
	}
}

func TestReport(t *testing.T) {
	r := &report{}
	line := func(name string, seconds ...float64) *benchsite.Timeline {
		l := benchsite.NewTimeline()
		for _, s := range seconds {
			l.MarkAt(name, l.Start.Add(time.Duration(s*float64(time.Second))))
		}
		return l
	}
	for _, s := range []float64{30, 10, 20} {
		r.add(line(markReady, s), line(markReady, 2*s), line(markNothing, 5), []usage{{"mke cloud", 1, 2048}})
	}
	var out bytes.Buffer
	r.print(&out)
	for _, want := range []string{"RESULT create ratio=2.00 ready_s=40.00 floor_s=20.00", "RESULT delete nothing_left_s=5.00 rounds=3", "RESULT memory platform_mib=2\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}
