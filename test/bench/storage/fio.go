package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// job is a job of fio.
type job struct {
	name, rw, block string
}

var jobs = []job{
	{"rand_read_4k", "randread", "4k"}, {"rand_write_4k", "randwrite", "4k"},
	{"seq_read_1m", "read", "1M"}, {"seq_write_1m", "write", "1M"},
}

const fileSize = "256M"

// fio returns operations per second in a folder. With a pid it runs in the control groups of that process, so that the limits of its
// VM hold.
func fio(ctx context.Context, j job, folder, pid string, load time.Duration) (float64, error) {
	args := []string{"--name=" + j.name, "--directory=" + folder, "--rw=" + j.rw, "--bs=" + j.block, "--size=" + fileSize, "--filename=bench",
		"--ioengine=libaio", "--direct=1", "--iodepth=32", "--time_based", fmt.Sprintf("--runtime=%.0f", load.Seconds()), "--output-format=json"}
	script := "exec fio \"$@\""
	if pid != "" {
		for _, procs := range controlGroups(pid) {
			script = "echo $$ > " + procs + " || exit 1; " + script
		}
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, "fio"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("fio %s in %s: %w", j.name, folder, err)
	}
	var result struct {
		Jobs []struct {
			Read, Write struct {
				IOPS float64 `json:"iops"`
			}
		}
	}
	if err := json.Unmarshal(out[strings.IndexByte(string(out), '{'):], &result); err != nil || len(result.Jobs) != 1 {
		return 0, fmt.Errorf("fio's answer: %w\n%s", err, out)
	}
	return result.Jobs[0].Read.IOPS + result.Jobs[0].Write.IOPS, nil
}

// controlGroups are the files by which a process joins those groups of another one that limit I/O: the one hierarchy of version 2,
// or blkio of version 1.
func controlGroups(pid string) []string {
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return nil
	}
	var out []string
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 || (fields[1] != "" && fields[1] != "blkio") {
			continue
		}
		procs := filepath.Join("/sys/fs/cgroup", fields[1], fields[2], "cgroup.procs")
		if _, err := os.Stat(procs); err == nil {
			out = append(out, procs)
		}
	}
	return out
}

// byHand is the floor: a thin file, a loop device, a file system, a mount.
func byHand(ctx context.Context, dir string) (took time.Duration, err error) {
	mount := filepath.Join(dir, "mnt")
	if err := os.MkdirAll(mount, 0o700); err != nil {
		return 0, err
	}
	const script = `set -e
truncate -s 10G "$1/disk"
dev=$(losetup --find --show --direct-io=on "$1/disk")
trap 'umount "$1/mnt"; losetup -d "$dev"; rm -f "$1/disk"' EXIT
mkfs.xfs -q -K "$dev"
mount "$dev" "$1/mnt"
date +%s.%N`
	begun := time.Now()
	cmd := exec.CommandContext(ctx, "sh", "-c", script, "sh", dir)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, problem.String())
	}
	var at float64
	if _, err := fmt.Sscan(string(out), &at); err != nil {
		return 0, err
	}
	return time.Duration((at - float64(begun.UnixNano())/1e9) * float64(time.Second)), nil
}
