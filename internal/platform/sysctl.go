package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// hostLimits are limits that all VMs share with the host, because they count per user: kubelets and systemd watch many
// files, and with the kernel's defaults the fifth VM's kubelet does not start any more.
var hostLimits = map[string]int{
	"fs.inotify.max_user_instances": 16384,
	"fs.inotify.max_user_watches":   1048576,
}

// sysctls reads and writes kernel settings below root, /proc/sys but for tests.
type sysctls struct{ root string }

func (s sysctls) path(name string) string {
	return filepath.Join(s.root, strings.ReplaceAll(name, ".", "/"))
}

func (s sysctls) get(name string) (int, error) {
	data, err := os.ReadFile(s.path(name))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

func (s sysctls) set(name string, value int) error {
	return os.WriteFile(s.path(name), []byte(strconv.Itoa(value)), 0o644)
}

// raise lifts limits that are too low, after it has written down what they were.
func (s sysctls) raise(limits map[string]int, record string) error {
	before, err := readLimits(record)
	if err != nil {
		return err
	}
	for name, wanted := range limits {
		have, err := s.get(name)
		if err != nil {
			return fmt.Errorf("cannot read the kernel setting %s: %w", name, err)
		}
		if have >= wanted {
			continue
		}
		if _, known := before[name]; !known {
			before[name] = have
		}
		data, err := json.Marshal(before)
		if err != nil {
			return err
		}
		if err := writeFile(record, data, 0o644); err != nil {
			return err
		}
		if err := s.set(name, wanted); err != nil {
			return fmt.Errorf("cannot raise the kernel setting %s to %d, which the VMs need: %w", name, wanted, err)
		}
	}
	return nil
}

// restore puts the recorded limits back, unless somebody has changed them since.
func (s sysctls) restore(limits map[string]int, record string) error {
	before, err := readLimits(record)
	if err != nil {
		return err
	}
	for name, value := range before {
		if have, err := s.get(name); err != nil || have != limits[name] {
			continue
		}
		if err := s.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func readLimits(record string) (map[string]int, error) {
	limits := map[string]int{}
	data, err := os.ReadFile(record)
	if errors.Is(err, os.ErrNotExist) {
		return limits, nil
	}
	if err != nil {
		return nil, err
	}
	return limits, json.Unmarshal(data, &limits)
}
