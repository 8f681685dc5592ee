// Package session gives our servers on the host the processor that they need beside a region's busy VMs.
package session

import (
	"os"
	"path/filepath"
	"strconv"
)

// Preferred is the nice value of the local cloud's own processes: as much as all VMs together, so that a region whose VMs want the whole host
// still answers.
const Preferred = -10

// Prefer gives the session of the process that weight. The kernel divides the processor among sessions first ("autogroups", sched(7)), and a
// process's own nice value then counts inside of its session only. It is no more than a preference: not every kernel has such groups.
func Prefer(pid int) {
	_ = os.WriteFile(filepath.Join("/proc", strconv.Itoa(pid), "autogroup"), []byte(strconv.Itoa(Preferred)), 0)
}
