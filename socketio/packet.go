package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// Packet types (protocol text, "Packet encoding"): the first byte of a packet.
const (
	typeConnect      = '0'
	typeDisconnect   = '1'
	typeEvent        = '2'
	typeAck          = '3'
	typeConnectError = '4'
	typeBinaryEvent  = '5'
	typeBinaryAck    = '6'
)

const (
	// maxNamespace is the length of the longest namespace that is answered at
	// all: an unknown one comes back in the refusal.
	maxNamespace = 256
	// maxIDDigits keeps acknowledgement ids within what JavaScript counts.
	maxIDDigits = 15
)

var errPacket = errors.New("socketio: malformed packet")

// reserved are names that clients raise themselves; as events of a peer they
// would pass for the library's own.
var reserved = map[string]bool{
	"connect": true, "connect_error": true, "disconnect": true,
	"disconnecting": true, "newListener": true, "removeListener": true,
}

// packet is the text half of a packet.
type packet struct {
	kind        byte
	attachments int
	namespace   string
	hasID       bool
	id          uint64
	name        string // of an event
	args        Args
	payload     []byte // of CONNECT, if there is one
}

// takeNumber takes leading digits off text.
func takeNumber(text []byte, maxDigits int) (n uint64, digits int, ok bool) {
	for digits < len(text) && text[digits] >= '0' && text[digits] <= '9' {
		if digits == maxDigits {
			return 0, 0, false
		}
		n = n*10 + uint64(text[digits]-'0')
		digits++
	}
	return n, digits, true
}

// parsePacket reads the text of a packet. What it returns aliases text.
func parsePacket(text []byte, opts *Options) (p packet, err error) {
	if len(text) == 0 {
		return p, errPacket
	}
	p.kind = text[0]
	p.namespace = "/"
	rest := text[1:]
	if p.kind == typeBinaryEvent || p.kind == typeBinaryAck {
		n, digits, ok := takeNumber(rest, 4)
		if !ok || digits == 0 || digits == len(rest) || rest[digits] != '-' || n > uint64(opts.MaxAttachments) {
			return p, errPacket
		}
		p.attachments = int(n)
		rest = rest[digits+1:]
	}
	if len(rest) > 0 && rest[0] == '/' {
		name, after, _ := bytes.Cut(rest, []byte{','})
		if len(name) > maxNamespace {
			return p, errPacket
		}
		p.namespace, rest = string(name), after
	}
	n, digits, ok := takeNumber(rest, maxIDDigits)
	if !ok {
		return p, errPacket
	}
	p.id, p.hasID, rest = n, digits > 0, rest[digits:]
	return p, p.parsePayload(rest, opts)
}

func (p *packet) parsePayload(rest []byte, opts *Options) (err error) {
	attachments := unchecked
	if p.kind == typeBinaryEvent || p.kind == typeBinaryAck {
		attachments = p.attachments
	}
	switch p.kind {
	case typeConnect:
		if len(rest) == 0 {
			return nil
		}
		if rest[0] != '{' {
			return errPacket
		}
		p.payload = rest
		_, err = checkValue(rest, opts.MaxDepth, unchecked)
		return err
	case typeDisconnect:
		if len(rest) > 0 {
			return errPacket
		}
		return nil
	case typeEvent, typeBinaryEvent:
		p.args.JSON, err = splitArray(rest, opts.MaxDepth, attachments)
		if err != nil {
			return err
		}
		if len(p.args.JSON) == 0 || p.args.JSON[0][0] != '"' {
			return errPacket
		}
		if p.name = plainName(p.args.JSON[0]); reserved[p.name] {
			return errPacket
		}
		p.args.JSON = p.args.JSON[1:]
		return nil
	case typeAck, typeBinaryAck:
		if !p.hasID {
			return errPacket
		}
		p.args.JSON, err = splitArray(rest, opts.MaxDepth, attachments)
		return err
	}
	return errPacket
}

// appendHeader writes a packet's text up to its payload. Kind is typeEvent or
// typeAck and becomes its binary form where there are attachments.
func appendHeader(dst []byte, kind byte, namespace string, id int64, attachments int) []byte {
	if attachments > 0 {
		dst = append(dst, kind+typeBinaryEvent-typeEvent)
		dst = strconv.AppendInt(dst, int64(attachments), 10)
		dst = append(dst, '-')
	} else {
		dst = append(dst, kind)
	}
	dst = appendNamespace(dst, namespace)
	if id >= 0 {
		dst = strconv.AppendInt(dst, id, 10)
	}
	return dst
}

func appendNamespace(dst []byte, namespace string) []byte {
	if namespace == "/" {
		return dst
	}
	dst = append(dst, namespace...)
	return append(dst, ',')
}

// appendEvent writes the text of an event; id -1 asks for no acknowledgement.
func appendEvent(dst []byte, namespace string, id int64, name string, args Args) []byte {
	dst = appendHeader(dst, typeEvent, namespace, id, len(args.Attachments))
	dst = append(dst, '[')
	dst = appendString(dst, name)
	for _, one := range args.JSON {
		dst = append(dst, ',')
		dst = append(dst, one...)
	}
	return append(dst, ']')
}

// appendAck writes the text of an acknowledgement: always an array.
func appendAck(dst []byte, namespace string, id int64, args Args) []byte {
	dst = appendHeader(dst, typeAck, namespace, id, len(args.Attachments))
	dst = append(dst, '[')
	for i, one := range args.JSON {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, one...)
	}
	return append(dst, ']')
}

// binaryEvent is the text of an event whose one argument is bytes, as every
// client that writes JSON without blanks sends it.
func binaryEvent(namespace, name string) []byte {
	return appendEvent(nil, namespace, -1, name, Args{
		JSON:        []json.RawMessage{json.RawMessage(`{"_placeholder":true,"num":0}`)},
		Attachments: [][]byte{nil},
	})
}
