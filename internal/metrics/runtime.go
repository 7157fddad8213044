package metrics

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// Runtime registers what the Go runtime says of this process: memory,
// goroutines, garbage collections, CPU, start time.
func (r *Registry) Runtime(version string) {
	if r == nil {
		return
	}
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/user:cpu-seconds"},
	}
	r.BeforeScrape(func() { metrics.Read(samples) })
	at := func(i int) func() float64 {
		return func() float64 {
			switch v := samples[i].Value; v.Kind() {
			case metrics.KindUint64:
				return float64(v.Uint64())
			case metrics.KindFloat64:
				return v.Float64()
			}
			return 0
		}
	}
	started := float64(time.Now().UnixMilli()) / 1000
	r.GaugeFunc("go_memory_bytes", "memory that the Go runtime has mapped", at(0))
	r.GaugeFunc("go_heap_bytes", "bytes of objects on the heap", at(1))
	r.GaugeFunc("go_goroutines", "goroutines that exist", at(2))
	r.CounterFunc("go_gc_cycles_total", "garbage collections", at(3))
	r.CounterFunc("go_user_cpu_seconds_total", "estimated CPU time in user code of this program", at(4))
	r.GaugeFunc("process_start_time_seconds", "Unix time at which the process started", func() float64 { return started })
	r.GaugeFunc("securelink_build_info", "always 1; the label says which build runs", func() float64 { return 1 }, "version", version+" "+runtime.Version())
}
