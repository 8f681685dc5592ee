package container

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"magalu.cloud/mke/internal/cloud/compute"
)

// writeHostView writes what the VM sees of its hardware, so that the kubelet
// reports the machine type's memory and CPUs instead of the host's.
func (d *Driver) writeHostView(vm compute.VM) error {
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	files := map[string]file{
		"proc/meminfo": {content: meminfo(vm.RAMMB)},
		"proc/cpuinfo": {content: repeatCPU(string(cpuinfo), vm.VCPUs)},
	}
	addCPUs(files, vm)
	return writeTree(d.dir(vm.ID, "hostview"), files)
}

// meminfo is a machine with that memory, most of it free, and no swap.
func meminfo(ramMB int) string {
	total := ramMB * 1024
	free := total - total/16
	var text strings.Builder
	for _, line := range []struct {
		name string
		kb   int
	}{{"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free}, {"Buffers", 0}, {"Cached", 0}, {"SwapCached", 0},
		{"Active", total - free}, {"Inactive", 0}, {"SwapTotal", 0}, {"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0},
		{"AnonPages", total - free}, {"Mapped", 0}, {"Shmem", 0}, {"Slab", 0}, {"SReclaimable", 0}, {"SUnreclaim", 0}} {
		fmt.Fprintf(&text, "%-16s%8d kB\n", line.name+":", line.kb)
	}
	text.WriteString("HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\n")
	return text.String()
}

var cpuNumber = regexp.MustCompile(`(?m)^(processor|core id|apicid|initial apicid)(\s*: ).*$`)

// repeatCPU makes n CPUs like the host's first one, on one socket.
func repeatCPU(cpuinfo string, n int) string {
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	var text strings.Builder
	for i := range n {
		text.WriteString(cpuNumber.ReplaceAllString(first, "${1}${2}"+strconv.Itoa(i)))
		text.WriteString("\n\n")
	}
	return text.String()
}

// cpuName names the folder of a VM's CPU. The kubelet takes the numbers out of the names and writes them into a cpuset,
// where the kernel refuses numbers that the host does not have. A machine type with more CPUs than the host shows the
// surplus as namesakes: with two CPUs on the host, the third is cpu00, which counts as a CPU and reads as number 0.
func cpuName(i, hostCPUs int) string {
	return "cpu" + strings.Repeat("0", i/hostCPUs) + strconv.Itoa(i%hostCPUs)
}

// addCPUs adds folders like /sys/devices/system/cpu and .../node of a machine
// with one socket and as many cores as the VM has CPUs.
func addCPUs(files map[string]file, vm compute.VM) {
	all := "0"
	if vm.VCPUs > 1 {
		all = fmt.Sprintf("0-%d", vm.VCPUs-1)
	}
	put := func(path, content string) { files[filepath.Join("sys", path)] = file{content: content + "\n"} }
	for _, name := range []string{"online", "possible", "present"} {
		put("cpu/"+name, all)
	}
	put("cpu/offline", "")
	put("cpu/kernel_max", strconv.Itoa(vm.VCPUs-1))
	put("node/online", "0")
	put("node/possible", "0")
	put("node/has_cpu", "0")
	put("node/has_memory", "0")
	put("node/node0/cpulist", all)
	put("node/node0/cpumap", fmt.Sprintf("%x", 1<<vm.VCPUs-1))
	put("node/node0/distance", "10")
	put("node/node0/meminfo", fmt.Sprintf("Node 0 MemTotal: %12d kB", vm.RAMMB*1024))
	for i := range vm.VCPUs {
		name := cpuName(i, runtime.NumCPU())
		for _, cpu := range []string{"cpu/" + name, "node/node0/" + name} {
			put(cpu+"/topology/core_id", strconv.Itoa(i))
			put(cpu+"/topology/physical_package_id", "0")
			put(cpu+"/topology/thread_siblings_list", strconv.Itoa(i))
			put(cpu+"/topology/thread_siblings", fmt.Sprintf("%x", 1<<i))
			put(cpu+"/topology/core_siblings_list", all)
			put(cpu+"/topology/core_siblings", fmt.Sprintf("%x", 1<<vm.VCPUs-1))
			put(cpu+"/online", "1")
		}
	}
}
