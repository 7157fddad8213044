package loadgen

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// Schema names the form of a report in JSON.
const Schema = "securelink.bench.1"

// Report is what a run found. What was not asked for or cannot be known here
// is missing.
type Report struct {
	Schema     string         `json:"schema"`
	Run        RunReport      `json:"run"`
	Limits     []LimitReport  `json:"limits_changed"`
	Fsync      *FsyncReport   `json:"fsync,omitempty"`
	Accounts   *RateReport    `json:"accounts,omitempty"`
	Full       *RateReport    `json:"full_connections,omitempty"`
	Resumed    *RateReport    `json:"resumed_connections,omitempty"`
	NotResumed int            `json:"not_resumed"`
	Messages   *MessageReport `json:"messages,omitempty"`
	Idle       *MemoryReport  `json:"idle_memory,omitempty"`
	Active     *MemoryReport  `json:"active_memory,omitempty"`
	Restart    *RestartReport `json:"restart,omitempty"`
}

// RunReport is what was asked for.
type RunReport struct {
	Clients     int     `json:"clients"`
	Rooms       int     `json:"rooms"`
	Rate        float64 `json:"messages_per_second"` // 0: by window
	Window      int     `json:"window,omitempty"`
	TextBytes   int     `json:"text_bytes"`
	CipherBytes int     `json:"cipher_bytes"`
	Seconds     float64 `json:"seconds"`
	Transport   string  `json:"transport"`
	Keys        int     `json:"rsa_keys"`
	Parallel    int     `json:"parallel"`
	MLS         bool    `json:"clients_do_mls"`
}

// LimitReport is a limit of the server that is not the standard one.
type LimitReport struct {
	Name     string `json:"name"`
	Value    uint64 `json:"value"`
	Standard uint64 `json:"standard"`
}

// FsyncReport is how long 4 KiB take to become durable on the server's disk.
type FsyncReport struct {
	MedianMS float64 `json:"p50_ms"`
	WorstMS  float64 `json:"max_ms"`
}

// Times are quantiles in milliseconds.
type Times struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// RateReport is how often a second something was done, and what one of it cost
// the server. By that cost, PerCore of it fill one processor.
type RateReport struct {
	Count     int     `json:"count"`
	Failed    int     `json:"failed"`
	PerSecond float64 `json:"per_second"`
	CPUMS     float64 `json:"server_cpu_ms_each,omitempty"`
	PerCore   float64 `json:"per_second_per_core,omitempty"`
	OwnLoad   float64 `json:"generator_cores_used,omitempty"` // near 1 on one core: the generator is what is measured
	Times     *Times  `json:"times,omitempty"`
}

// MessageReport is about the messages. Delivery counts from when a message was
// due to its arrival at a member, Accept to its answer.
type MessageReport struct {
	Sent                int64            `json:"sent"`
	Accepted            int64            `json:"accepted"`
	AcceptedPerSecond   float64          `json:"accepted_per_second"`
	Deliveries          int64            `json:"deliveries"`
	DeliveriesPerSecond float64          `json:"deliveries_per_second"`
	Missing             int64            `json:"missing"`
	Cuts                int64            `json:"cuts"`
	Refusals            map[string]int64 `json:"refusals"`
	Delivery            *Times           `json:"delivery"`
	Accept              *Times           `json:"accept"`
	ServerCPUSeconds    float64          `json:"server_cpu_seconds,omitempty"`
	ServerLoad          float64          `json:"server_cores_used,omitempty"`
	OwnLoad             float64          `json:"generator_cores_used,omitempty"`
	CPUPerDeliveryUS    float64          `json:"server_cpu_us_per_delivery,omitempty"`
}

// MemoryReport is the server's memory for each connection, above what it had
// before the first: heap and stacks in use after a collection, and resident.
type MemoryReport struct {
	Connections   int   `json:"connections"`
	LiveBytes     int64 `json:"live_bytes_each,omitempty"`
	ResidentBytes int64 `json:"resident_bytes_each,omitempty"`
}

// RestartReport is about a restart under all clients.
type RestartReport struct {
	Clients     int     `json:"clients"`
	Resumed     int     `json:"resumed"`
	DownSeconds float64 `json:"down_seconds"`
	BackSeconds float64 `json:"back_seconds"` // from ready to the last login
}

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func newTimes(h *histogram) *Times {
	return &Times{P50: milli(h.quantile(0.5)), P99: milli(h.quantile(0.99)), P999: milli(h.quantile(0.999)), Max: milli(time.Duration(h.most.Load()))}
}

func newRate(n int, m measure) *RateReport {
	rate := &RateReport{Count: n, PerSecond: float64(n) / m.took.Seconds(), OwnLoad: m.own.Seconds() / m.took.Seconds()}
	if m.server > 0 {
		rate.CPUMS = milli(m.server) / float64(n)
		rate.PerCore = float64(n) / m.server.Seconds()
	}
	return rate
}

// Table prints the report for people.
func (r *Report) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	pace := fmt.Sprintf("%d messages under way a room", r.Run.Window)
	if r.Run.Rate > 0 {
		pace = fmt.Sprintf("%g messages a second in all", r.Run.Rate)
	}
	line("run", "%d clients in %d rooms, %s, texts of %d bytes (%d sealed), %g s", r.Run.Clients, r.Run.Rooms, pace, r.Run.TextBytes, r.Run.CipherBytes, r.Run.Seconds)
	line("clients", "over %s; open and check every record, skip MLS; they share %d RSA key pairs; %d connect at once", r.Run.Transport, r.Run.Keys, r.Run.Parallel)
	for _, l := range r.Limits {
		line("limit", "%s = %d (standard %d)", l.Name, l.Value, l.Standard)
	}
	if r.Fsync != nil {
		line("fsync", "p50 %.2f ms, max %.2f ms (4 KiB, before the run)", r.Fsync.MedianMS, r.Fsync.WorstMS)
	}
	rateLine(line, "new accounts", r.Accounts)
	rateLine(line, "full connections", r.Full)
	rateLine(line, "resumed connections", r.Resumed)
	if r.NotResumed > 0 {
		line("", "%d of them were full ones: no ticket, or not taken", r.NotResumed)
	}
	memoryLine(line, "idle connection", r.Idle)
	if m := r.Messages; m != nil {
		messageLines(line, m)
	}
	memoryLine(line, "active connection", r.Active)
	if x := r.Restart; x != nil {
		line("restart", "down for %.1f s; %d clients back after %.1f s more (%d resumed)", x.DownSeconds, x.Clients, x.BackSeconds, x.Resumed)
	}
	return w.Flush()
}

type printLine func(name, format string, args ...any)

func rateLine(line printLine, name string, r *RateReport) {
	if r == nil {
		return
	}
	text := fmt.Sprintf("%.0f a second (%d; %d failed)", r.PerSecond, r.Count, r.Failed)
	if r.CPUMS > 0 {
		text += fmt.Sprintf("; server %.3f ms each, which is %.0f a second a core; generator %.2f cores", r.CPUMS, r.PerCore, r.OwnLoad)
	}
	line(name, "%s", text)
	if r.Times != nil {
		line("", "%s", r.Times)
	}
}

func memoryLine(line printLine, name string, m *MemoryReport) {
	if m != nil {
		line(name, "%.1f KiB in use, %.1f KiB resident, each of %d", float64(m.LiveBytes)/1024, float64(m.ResidentBytes)/1024, m.Connections)
	}
}

func messageLines(line printLine, m *MessageReport) {
	line("accepted", "%.0f a second (%d of %d, durable)", m.AcceptedPerSecond, m.Accepted, m.Sent)
	line("", "%s, from due to the answer", m.Accept)
	line("deliveries", "%.0f a second (%d; %d missing; %d connections cut)", m.DeliveriesPerSecond, m.Deliveries, m.Missing, m.Cuts)
	line("", "%s, from due to delivery", m.Delivery)
	for _, why := range slices.Sorted(maps.Keys(m.Refusals)) {
		line("refused", "%d: %s", m.Refusals[why], why)
	}
	if m.ServerCPUSeconds > 0 {
		line("server", "%.2f µs of processor time a delivery; %.2f cores used, which is %.0f deliveries a second a core; generator %.2f cores",
			m.CPUPerDeliveryUS, m.ServerLoad, 1e6/m.CPUPerDeliveryUS, m.OwnLoad)
	}
}

func (t *Times) String() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms, max %.2f ms", t.P50, t.P99, t.P999, t.Max)
}
