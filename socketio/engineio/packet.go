package engineio

import (
	"encoding/base64"
	"errors"

	"github.com/gobwas/ws"
)

// Packet types (protocol text, "Packet types"), as they stand at the head of a
// text packet. A binary message has no type byte: over WebSocket it is a binary
// frame, in a polling payload it is 'b' and base64.
const (
	typeOpen    = '0'
	typeClose   = '1'
	typePing    = '2'
	typePong    = '3'
	typeMessage = '4'
	typeUpgrade = '5'
	typeNoop    = '6'
	typeBinary  = 'b'
)

// separator stands between the packets of a polling payload.
const separator = 0x1e

var errPacket = errors.New("engineio: malformed packet")

// Message is one message of a session.
type Message struct {
	Data   []byte
	Binary bool
}

// packet is one packet of a polling payload, decoded: kind is one of the types
// above, typeBinary for a binary message.
type packet struct {
	kind byte
	data []byte
}

// size is what a packet costs in a polling payload, its separator included.
func (p packet) size() int {
	if p.kind == typeBinary {
		return 2 + base64.StdEncoding.EncodedLen(len(p.data))
	}
	return 2 + len(p.data)
}

// appendPayload writes packets as the body of a poll's answer.
func appendPayload(dst []byte, packets []packet) []byte {
	for i, p := range packets {
		if i > 0 {
			dst = append(dst, separator)
		}
		dst = append(dst, p.kind)
		if p.kind == typeBinary {
			dst = base64.StdEncoding.AppendEncode(dst, p.data)
		} else {
			dst = append(dst, p.data...)
		}
	}
	return dst
}

// nextPacket takes the first packet off a payload. Rest is nil after the last.
// A text packet aliases the payload; bytes do not.
func nextPacket(payload []byte) (p packet, rest []byte, err error) {
	one := payload
	for i, b := range payload {
		if b == separator {
			one, rest = payload[:i], payload[i+1:]
			break
		}
	}
	if len(one) == 0 {
		return packet{}, nil, errPacket
	}
	p = packet{kind: one[0], data: one[1:]}
	if p.kind != typeBinary {
		return p, rest, nil
	}
	data, err := base64.StdEncoding.Strict().AppendDecode(nil, p.data)
	// The decoder skips line ends; the protocol has none.
	if err != nil || base64.StdEncoding.EncodedLen(len(data)) != len(p.data) {
		return packet{}, nil, errPacket
	}
	p.data = data
	return p, rest, nil
}

// appendFrameHeader writes the header of an unfragmented, unmasked frame
// (RFC 6455 section 5.2).
func appendFrameHeader(dst []byte, op ws.OpCode, length int) []byte {
	const fin = 0x80
	switch {
	case length < 126:
		return append(dst, fin|byte(op), byte(length))
	case length <= 0xffff:
		return append(dst, fin|byte(op), 126, byte(length>>8), byte(length))
	default:
		n := uint64(length)
		return append(dst, fin|byte(op), 127, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32),
			byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// appendPacketFrame writes a packet as a WebSocket frame.
func appendPacketFrame(dst []byte, kind byte, data []byte) []byte {
	if kind == typeBinary {
		dst = appendFrameHeader(dst, ws.OpBinary, len(data))
		return append(dst, data...)
	}
	dst = appendFrameHeader(dst, ws.OpText, 1+len(data))
	dst = append(dst, kind)
	return append(dst, data...)
}

func (m Message) kind() byte {
	if m.Binary {
		return typeBinary
	}
	return typeMessage
}

// Prepared is a group of messages encoded once for many sessions. It does not
// change after [Prepare] and may be used by several goroutines.
type Prepared struct {
	frames  []byte
	packets []packet
	size    int
}

// Prepare encodes messages that are to go out together, in order. They must not
// be changed afterwards.
func Prepare(messages ...Message) *Prepared {
	p := &Prepared{packets: make([]packet, len(messages))}
	for i, m := range messages {
		p.packets[i] = packet{m.kind(), m.Data}
		p.size += p.packets[i].size()
		p.frames = appendPacketFrame(p.frames, m.kind(), m.Data)
	}
	return p
}
