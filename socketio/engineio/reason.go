package engineio

import (
	"errors"
	"net/http"
	"strconv"
)

// Reason says why a session ended, in the words that Node's servers use where
// they have some.
type Reason string

// Reasons of this package; an application may end sessions with its own.
const (
	ReasonTransportClose Reason = "transport close"      // the peer closed
	ReasonTransportError Reason = "transport error"      // the connection broke, or the peer broke its rules
	ReasonPingTimeout    Reason = "ping timeout"         // no pong in time
	ReasonParse          Reason = "parse error"          // a packet that cannot be read
	ReasonSlow           Reason = "slow reader"          // the peer does not take what is sent to it
	ReasonForced         Reason = "forced close"         // the application ended it
	ReasonShutdown       Reason = "server shutting down" // [Server.Shutdown]
)

var (
	// ErrClosed is returned for a session that has ended.
	ErrClosed = errors.New("engineio: session is closed")
	// ErrSlow is returned by the send that made a session be cut for not reading.
	ErrSlow = errors.New("engineio: peer does not read, session is cut")
)

// refusal is an answer to a request that is not served: the code and message
// are those of Node's server, which clients show to their users.
type refusal struct {
	status  int
	code    int
	message string
}

var (
	refuseTransport = refusal{http.StatusBadRequest, 0, "Transport unknown"}
	refuseSession   = refusal{http.StatusBadRequest, 1, "Session ID unknown"}
	refuseMethod    = refusal{http.StatusBadRequest, 2, "Bad handshake method"}
	refuseRequest   = refusal{http.StatusBadRequest, 3, "Bad request"}
	refuseForbidden = refusal{http.StatusForbidden, 4, "Forbidden"}
	refuseVersion   = refusal{http.StatusBadRequest, 5, "Unsupported protocol version"}
	refuseSize      = refusal{http.StatusRequestEntityTooLarge, 3, "Payload too large"}
	refuseFull      = refusal{http.StatusServiceUnavailable, 3, "Server is full"}
	refuseClosing   = refusal{http.StatusServiceUnavailable, 3, "Server is shutting down"}
)

func (f refusal) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(f.status)
	_, _ = w.Write([]byte(`{"code":` + strconv.Itoa(f.code) + `,"message":"` + f.message + `"}`))
}
