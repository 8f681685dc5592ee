package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// usage is the memory of all processes of one name, shared pages counted in parts (PSS).
type usage struct {
	name      string
	processes int
	kib       int
}

// memory lists what the platform itself uses: everything of ours on the host and in the management machine, but nothing of the customer's
// machines. A process that ends meanwhile is left out.
func (r *region) memory(ctx context.Context) []usage {
	customers := map[string]bool{}
	if instances, err := r.Cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{}); err == nil {
		for _, i := range instances {
			customers[i.ID] = true
		}
	}
	byName := map[string]*usage{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if !r.ofPlatform(dir, customers) {
			continue
		}
		pss := pssOf(dir)
		if pss == 0 {
			continue
		}
		name := nameOf(dir)
		if byName[name] == nil {
			byName[name] = &usage{name: name}
		}
		byName[name].processes++
		byName[name].kib += pss
	}
	var out []usage
	for _, u := range byName {
		out = append(out, *u)
	}
	return out
}

// ofPlatform is true for the daemon, its helpers, and processes in the cgroup of a machine that is no customer's.
func (r *region) ofPlatform(dir string, customers map[string]bool) bool {
	cgroup, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return false
	}
	if _, rest, ok := bytes.Cut(cgroup, []byte("/mke/")); ok && len(rest) >= 36 {
		return !customers[string(rest[:36])]
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	words := strings.Split(string(cmdline), "\x00")
	return (len(words) > 1 && filepath.Base(words[0]) == "mke" && words[1] == "cloud") || bytes.Contains(cmdline, []byte(filepath.Join(r.data, "cloud")))
}

func pssOf(dir string) int {
	data, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return 0
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		if f := strings.Fields(scanner.Text()); len(f) > 1 && f[0] == "Pss:" {
			kib, _ := strconv.Atoi(f[1])
			return kib
		}
	}
	return 0
}

// nameOf is the program, and for ours its subcommand.
func nameOf(dir string) string {
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.Split(string(cmdline), "\x00")
	if err != nil || words[0] == "" {
		return "?"
	}
	name := strings.TrimSuffix(filepath.Base(strings.Fields(words[0])[0]), ":")
	if name == "mke" && len(words) > 1 {
		return fmt.Sprintf("mke %s", words[1])
	}
	return name
}
