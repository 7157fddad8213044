package gateway

import (
	"net/http"

	"github.com/securelink-chat/securelink/internal/metrics"
)

// counters is what a gateway counts. Fields are nil where nobody looks.
type counters struct {
	sockets, refusedSockets, refusedNew, refusedConns *metrics.Counter
	framesIn, framesOut, bytesIn, bytesOut            *metrics.Counter
	answers                                           [6]*metrics.Counter // by hundreds of the status
}

// register makes the gateway's metrics known to r, which may be nil.
func (g *Gateway) register(r *metrics.Registry) {
	const refused = "securelink_gateway_refused_total"
	const why = "what was refused because of a limit"
	g.count.sockets = r.Counter("securelink_gateway_sockets_opened_total", "sockets handed to the core")
	g.count.refusedSockets = r.Counter(refused, why, "what", "socket")
	g.count.refusedNew = r.Counter(refused, why, "what", "new socket")
	g.count.refusedConns = r.Counter(refused, why, "what", "connection")
	g.count.framesIn = r.Counter("securelink_gateway_frames_total", "frames relayed", "direction", "in")
	g.count.framesOut = r.Counter("securelink_gateway_frames_total", "frames relayed", "direction", "out")
	g.count.bytesIn = r.Counter("securelink_gateway_frame_bytes_total", "bytes of frames relayed", "direction", "in")
	g.count.bytesOut = r.Counter("securelink_gateway_frame_bytes_total", "bytes of frames relayed", "direction", "out")
	for i, class := range []string{1: "1xx", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"} {
		if i > 0 {
			g.count.answers[i] = r.Counter("securelink_gateway_answers_total", "answers to HTTP requests, those of Socket.IO left out", "status", class)
		}
	}
	r.GaugeFunc("securelink_gateway_sockets", "sockets that are open", func() float64 { return float64(g.book.open()) })
	r.GaugeFunc("securelink_gateway_sessions", "Engine.IO connections that are open", func() float64 { return float64(g.sockets.Sessions()) })
	r.GaugeFunc("securelink_gateway_addresses", "client addresses that the limits remember", func() float64 { return float64(g.book.remembered()) })
}

// statusWriter counts answers by status.
type statusWriter struct {
	http.ResponseWriter
	count *counters
	done  bool
}

func (w *statusWriter) WriteHeader(status int) {
	if !w.done && status >= 200 && status < 600 {
		w.done = true
		w.count.answers[status/100].Add(1)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if !w.done {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
