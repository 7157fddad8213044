package core

import "github.com/securelink-chat/securelink/internal/metrics"

// counters is what a core counts: how much, and never whose. Fields are nil
// where nobody looks, and count nothing then.
type counters struct {
	full, resumed, failed   *metrics.Counter // handshakes
	logins                  *metrics.Counter
	accepted, pushed        *metrics.Counter // entries, and their deliveries
	refused, cut            *metrics.Counter
	commitSeconds, commitOf *metrics.Histogram
	commitFailed            *metrics.Counter
}

func newCounters(r *metrics.Registry) *counters {
	const handshakes, about = "securelink_core_handshakes_total", "handshakes of the link"
	return &counters{
		full:          r.Counter(handshakes, about, "kind", "full"),
		resumed:       r.Counter(handshakes, about, "kind", "resumed"),
		failed:        r.Counter(handshakes, about, "kind", "failed"),
		logins:        r.Counter("securelink_core_logins_total", "sessions that became a device's"),
		accepted:      r.Counter("securelink_core_entries_total", "entries that were made durable in rooms' logs"),
		pushed:        r.Counter("securelink_core_pushes_total", "entries and signals that were queued for a connection"),
		refused:       r.Counter("securelink_core_refusals_total", "requests that were refused"),
		cut:           r.Counter("securelink_core_cuts_total", "connections that were ended with a reason"),
		commitSeconds: r.Histogram("securelink_core_commit_seconds", "time of a transaction, its fsync included", []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1}),
		commitOf:      r.Histogram("securelink_core_commit_jobs", "requests that one transaction made durable", []float64{1, 4, 16, 64, 256, 1024, 4096}),
		commitFailed:  r.Counter("securelink_core_commits_failed_total", "transactions that the store could not do"),
	}
}
