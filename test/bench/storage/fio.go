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
	"syscall"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
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
	iops, err := runFio(ctx, j, folder, pid, load)
	if err != nil {
		return 0, fmt.Errorf("fio %s in %s: %w", j.name, folder, err)
	}
	return iops, nil
}

func runFio(ctx context.Context, j job, folder, pid string, load time.Duration) (float64, error) {
	args := []string{"--name=" + j.name, "--directory=" + folder, "--rw=" + j.rw, "--bs=" + j.block, "--size=" + fileSize, "--filename=bench",
		"--ioengine=libaio", "--direct=1", "--iodepth=32", "--time_based", fmt.Sprintf("--runtime=%.0f", load.Seconds()), "--output-format=json"}
	script := "exec fio \"$@\""
	if pid != "" {
		groups, err := controlGroups(pid)
		if err != nil {
			return 0, err
		}
		for _, procs := range groups {
			script = "echo $$ > " + procs + " || exit 1; " + script
		}
	}
	out, err := benchsite.Output(exec.CommandContext(ctx, "sh", append([]string{"-c", script, "fio"}, args...)...))
	said, document, found := bytes.Cut(out, []byte("{"))
	if err != nil {
		return 0, fmt.Errorf("%w %s", err, bytes.TrimSpace(said)) // some of its complaints are not on standard error
	}
	if !found {
		return 0, fmt.Errorf("no result: %s", out)
	}
	return operations(append([]byte("{"), document...))
}

// operations reads fio's result.
func operations(document []byte) (float64, error) {
	var result struct {
		Jobs []struct {
			Error       int
			Read, Write struct {
				IOPS float64 `json:"iops"`
			}
		}
	}
	if err := json.Unmarshal(document, &result); err != nil {
		return 0, fmt.Errorf("its result: %w: %s", err, document)
	}
	if len(result.Jobs) != 1 {
		return 0, fmt.Errorf("%d results, want 1: %s", len(result.Jobs), document)
	}
	only := result.Jobs[0]
	if only.Error != 0 {
		return 0, fmt.Errorf("the job ended with error %d: %w", only.Error, syscall.Errno(only.Error))
	}
	return only.Read.IOPS + only.Write.IOPS, nil
}

// controlGroups are the files by which a process joins those groups of another one that limit I/O: the one hierarchy of version 2,
// or blkio of version 1.
func controlGroups(pid string) ([]string, error) {
	data, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		return nil, fmt.Errorf("control groups of the Pod: %w", err)
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
	return out, nil
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
	out, err := benchsite.Output(exec.CommandContext(ctx, "sh", "-c", script, "sh", dir))
	if err != nil {
		return 0, err
	}
	var at float64
	if _, err := fmt.Sscan(string(out), &at); err != nil {
		return 0, err
	}
	return time.Duration((at - float64(begun.UnixNano())/1e9) * float64(time.Second)), nil
}
