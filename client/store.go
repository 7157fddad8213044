package client

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/securelink-chat/securelink/wire"
)

// Where the engine keeps what. Every key begins with one of these:
//
//	account                 the identity, the device and their standing
//	signals                 the setting of the signals of all rooms
//	server                  what is known of the server: pin, epoch, tickets
//	devices                 what the user was told of the own devices
//	disowned                own devices that are to be in no room
//	peer/ user[32]          what is known of another user
//	package/ ref            private half of a key package that is out
//	room/ id[16]            what the list of rooms shows, and the position in its log
//	state/ id[16] …         the room's state machine, as package room cuts it
//	item/ id[16] u64        one line of its timeline, by cursor
//	index/ id[16] id[16]    message id -> cursor
//	chain/ id[16] u64       the log's hash chain around one message, by seq
//	raw/ id[16] u64         an entry of the log as it came, by seq; the newest 1,000
//	out/ id[16] u64         one message that waits to be sent, in order
//	intent/ id[16] …        what this device wants of the room
//	seen/ id[16]            how far the others have read, and the setting of its signals
//	links/ id[16]           its join links, as the server last had them
const (
	keyAccount  = "account"
	keyServer   = "server"
	keyDevices  = "devices"
	keyDisowned = "disowned"
	keyPeer     = "peer/"
	keyPackage  = "package/"
	keyRoom     = "room/"
	keyState    = "state/"
	keyItem     = "item/"
	keyIndex    = "index/"
	keyChain    = "chain/"
	keyRaw      = "raw/"
	keyOutbox   = "out/"
	keyIntent   = "intent/"
	keyLinks    = "links/"
	keySeen     = "seen/"
	keySignals  = "signals"
	keyLastUsed = "package-last"
)

// key joins a prefix and parts into one key.
func key(prefix string, parts ...[]byte) []byte {
	out := []byte(prefix)
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

// number is a part of a key that sorts as the number does.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// put makes the change that keeps v under a key. v is one of this package's
// own records, which all can be encoded.
func put(at []byte, v any) Put {
	value, err := wire.Encode(v)
	if err != nil {
		panic(fmt.Sprintf("client: a record of ours cannot be encoded: %v", err))
	}
	return Put{Key: at, Value: value}
}

func drop(at []byte) Put { return Put{Key: at, Delete: true} }

// get loads the record under a key into v and reports whether it was there.
func get(ctx context.Context, s Storage, at []byte, v any) (bool, error) {
	pairs, err := s.Load(ctx, Range{Prefix: at, Limit: 1})
	if err != nil {
		return false, err
	}
	if len(pairs) == 0 || string(pairs[0].Key) != string(at) {
		return false, nil
	}
	if err := wire.Decode(pairs[0].Value, v); err != nil {
		return false, fmt.Errorf("client: damaged record %q: %w", at[:min(len(at), 10)], err)
	}
	return true, nil
}

// save applies a batch whatever becomes of the caller: half a step must not be
// given up because somebody left.
func (e *Engine) save(ctx context.Context, batch ...Put) error {
	if len(batch) == 0 {
		return nil
	}
	if err := e.cfg.Storage.Apply(context.WithoutCancel(ctx), batch); err != nil {
		e.fail(fmt.Errorf("client: save: %w", err))
		return err
	}
	return nil
}
