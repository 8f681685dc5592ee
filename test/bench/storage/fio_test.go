package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFioSaysWhatFailed stands in for fio with a script.
func TestFioSaysWhatFailed(t *testing.T) {
	tests := []struct {
		name, script string
		want         []string // of the error; none: it succeeds
	}{
		{"success", `echo '{"jobs": [{"error": 0, "read": {"iops": 2.5}, "write": {"iops": 1}}]}'`, nil},
		{"a note before the result", `echo note; echo '{"jobs": [{"error": 0, "read": {"iops": 3.5}, "write": {"iops": 0}}]}'`, nil},
		{"refused", `echo 'fio: /x is not a directory' >&2; exit 1`, []string{"exit status 1", "/x is not a directory"}},
		{"full", `echo 'fio: ENOSPC on laying out file'; echo '{"jobs": []}'; echo 'func=write' >&2; exit 1`, []string{"func=write", "ENOSPC on laying out file"}},
		{"a job that failed", `echo '{"jobs": [{"error": 28}]}'`, []string{"error 28", "no space left on device"}},
		{"nothing", `true`, []string{"no result"}},
		{"not JSON", `echo '{'`, []string{"its result"}},
		{"no job", `echo '{"jobs": []}'`, []string{"0 results"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "fio"), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			iops, err := fio(t.Context(), jobs[0], "/folder", "", time.Second)
			if tt.want == nil {
				if err != nil || iops != 3.5 {
					t.Errorf("got %v, %v", iops, err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(tt.want, "fio rand_read_4k in /folder") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestControlGroupsOfAnEndedProcess(t *testing.T) {
	if _, err := controlGroups("0"); err == nil || !strings.Contains(err.Error(), "/proc/0/cgroup") {
		t.Errorf("got %v", err)
	}
}
