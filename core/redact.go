package core

import (
	"encoding/hex"
	"log/slog"
	"net/netip"

	"github.com/securelink-chat/securelink/wire"
)

// logAddr prints an address cut to its network, /24 or /48: enough to see a
// flood, too little to say who it was.
type logAddr netip.Addr

// LogValue cuts the address.
func (a logAddr) LogValue() slog.Value { return slog.StringValue(a.String()) }

func (a logAddr) String() string {
	addr := netip.Addr(a).Unmap()
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return "local"
	}
	return prefix.String()
}

// logID prints the beginning of an id: enough to follow one in a log.
type logID []byte

// LogValue cuts the id.
func (id logID) LogValue() slog.Value {
	return slog.StringValue(hex.EncodeToString(id[:min(6, len(id))]))
}

func logUser(id wire.UserID) slog.Attr     { return slog.Any("user", logID(id[:])) }
func logDevice(id wire.DeviceID) slog.Attr { return slog.Any("device", logID(id[:])) }
func logRoom(id wire.RoomID) slog.Attr     { return slog.Any("room", logID(id[:])) }
