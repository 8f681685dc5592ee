package machine

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BenchmarkNodes has as many Nodes as MKE_HOLLOW_NODES says (100), with 5 pods each, and measures what one costs: memory, and CPU while
// nothing happens. -benchtime 1x.
func BenchmarkNodes(b *testing.B) {
	all, err := strconv.Atoi(os.Getenv("MKE_HOLLOW_NODES"))
	if err != nil {
		all = 100
	}
	c, dir := newCluster(b), b.TempDir()
	cm := must(c.client.CoreV1().ConfigMaps("kube-system").Get(b.Context(), "kubelet-config", metav1.GetOptions{}))(b)
	cm.Data["kubelet"] = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n"
	must(c.client.CoreV1().ConfigMaps("kube-system").Update(b.Context(), cm, metav1.UpdateOptions{}))(b)
	for n := range all {
		install(b, dir, c.vm(n))
	}
	debug.SetGCPercent(50)
	before := memory()
	begin := time.Now()
	host, _ := open(b, dir)
	await(b, func() bool {
		list, err := c.client.CoreV1().Nodes().List(b.Context(), metav1.ListOptions{ResourceVersion: "0"})
		return err == nil && len(list.Items) == all && host.Count() == all
	})
	registered := time.Since(begin)
	for n := range 5 * all {
		c.place(c.vm(n%all).Name, "pod-"+strconv.Itoa(n), nil)
	}
	await(b, func() bool {
		list, err := c.client.CoreV1().Pods("default").List(b.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running", ResourceVersion: "0"})
		return err == nil && len(list.Items) == 5*all
	})
	running := time.Since(begin)
	runtime.GC()
	after, cpu, idle := memory(), cpuTime(b), 20*time.Second
	time.Sleep(idle) // the measurement itself: of nothing that happens
	cpu = cpuTime(b) - cpu
	b.ReportMetric(float64(after-before)/1024/float64(all), "KiB/node")
	b.ReportMetric(float64(runtime.NumGoroutine())/float64(all), "goroutines/node")
	b.ReportMetric(cpu.Seconds()/idle.Seconds()*100, "%CPU-idle")
	b.ReportMetric(registered.Seconds(), "s-registered")
	b.ReportMetric(running.Seconds(), "s-pods-running")
}

func await(b *testing.B, is func() bool) {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("it takes too long")
		}
	}
}

// memory is what the Go runtime has from the system and uses.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
