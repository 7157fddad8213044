package client

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
	"github.com/securelink-chat/securelink/wire"
)

// peer is what this device knows of another user.
type peer struct {
	_        struct{} `cbor:",toarray"`
	Identity [32]byte
	Name     string
	Login    string // that the user was found by
	Verified bool   // the safety numbers were compared
	Changed  bool   // came in the place of somebody else, and is not accepted yet
	Asked    bool   // the server was asked for the login name
}

func (e *Engine) loadPeers(ctx context.Context) error {
	pairs, err := e.cfg.Storage.Load(ctx, Range{Prefix: []byte(keyPeer)})
	if err != nil {
		return err
	}
	for _, p := range pairs {
		var known peer
		if err := wire.Decode(p.Value, &known); err != nil || len(p.Key) != len(keyPeer)+32 {
			return fmt.Errorf("client: damaged record of a user: %w", err)
		}
		e.peers[wire.UserID(p.Key[len(keyPeer):])] = &known
	}
	return nil
}

// meet notes the members of a room and returns the changes to keep.
func (e *Engine) meet(members []room.Member) []Put {
	e.mu.Lock()
	defer e.mu.Unlock()
	var batch []Put
	for _, m := range members {
		user := wire.UserID(m.User)
		known := e.peers[user]
		if known != nil && known.Name == m.Name && known.Identity == m.Identity {
			continue
		}
		if known == nil {
			known = &peer{}
			e.peers[user] = known
		}
		known.Name, known.Identity = m.Name, m.Identity
		batch = append(batch, put(key(keyPeer, user[:]), *known))
	}
	return batch
}

// tag returns the mark that tells a user from others of the same, or a
// confusable, name; "" when there is no other.
func (e *Engine) tag(user wire.UserID, name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for other, known := range e.peers {
		if other != user && identity.Confusable(known.Name, name) {
			return user.String()[:tagLength]
		}
	}
	if e.account.State != "" && e.account.user() != user && identity.Confusable(e.account.name(), name) {
		return user.String()[:tagLength]
	}
	return ""
}

// parseID reads an id that the interface hands in.
func parseID[T ~[16]byte](text string) (T, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return T{}, &Problem{Code: ProblemUsage, Text: "That is not an id."}
	}
	return T(raw), nil
}

func parseUser(text string) (wire.UserID, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 32 {
		return wire.UserID{}, &Problem{Code: ProblemUsage, Text: "That is not a user's id."}
	}
	return wire.UserID(raw), nil
}

// findUser looks a user up, by id or login name, and checks that the keys that
// the server shows make the id.
func (e *Engine) findUser(ctx context.Context, s *session, who string) (wire.User, error) {
	var found wire.User
	user, err := parseUser(who)
	if err == nil {
		if err := s.call(ctx, wire.Key{}, wire.GetUser{User: user}, &found); err != nil {
			return found, notFound(err, "There is no such user here.")
		}
		if found.User != user {
			return found, errProtocol
		}
		return found, e.checkUser(found, s)
	}
	login, err := identity.CanonicalLogin(who)
	if err != nil {
		return found, err
	}
	if err := s.call(ctx, wire.Key{}, wire.FindUser{Login: login}, &found); err != nil {
		return found, notFound(err, "Nobody here has that login name.")
	}
	if err := e.checkUser(found, s); err != nil {
		return found, err
	}
	return found, e.checkLogin(ctx, login, found.User)
}

func notFound(err error, text string) error {
	if refused, ok := err.(*wire.Error); ok && refused.Code == wire.NotFound {
		return &Problem{Code: refused.Code.String(), Text: text, Hint: "Guests have no login name: ask them for the id that /info shows."}
	}
	return err
}

var errNotTheirs = &Problem{Code: ProblemUntrusted, Text: "The server shows keys that are not this user's.", Hint: "Do not go on; ask who runs the server."}

// checkUser holds the certificates that the server shows against the id.
func (e *Engine) checkUser(found wire.User, s *session) error {
	root := identity.PublicKey(s.conn.PeerRoot())
	for _, raw := range found.Certificates {
		certificate, err := identity.DecodeCertificate(raw)
		if err != nil {
			return fmt.Errorf("%w: %w", errProtocol, err)
		}
		if certificate.Verify(root) != nil || wire.UserID(certificate.User(root)) != found.User {
			return errNotTheirs
		}
	}
	return nil
}

// checkLogin remembers who stands behind a login name, and refuses somebody
// else in that place until the user accepts it.
func (e *Engine) checkLogin(ctx context.Context, login string, user wire.UserID) error {
	changed, err := e.hold(ctx, user, login, false)
	if err != nil {
		return err
	}
	if changed {
		e.lookAgain()
		alarm := Alarm{Code: "identity-changed", Text: "Behind this login name there is another identity than before.",
			Hint: "It is a new account, or somebody else. Compare safety numbers, then accept it with /trust."}
		e.out.tell(Event{Kind: EvAlarm, Alarm: &alarm})
		return &Problem{Code: ProblemUntrusted, Text: alarm.Text, Hint: alarm.Hint}
	}
	return nil
}

// verify returns the safety number with a user; with mark it notes that the
// two have compared it.
func (e *Engine) verify(ctx context.Context, who string, mark bool) (*Safety, error) {
	user, err := parseUser(who)
	if err != nil {
		return nil, err
	}
	if mark {
		defer e.lookAgain() // with mu given back
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.peers[user]
	if known == nil || known.Identity == [32]byte{} {
		return nil, &Problem{Code: ProblemUsage, Text: "This device has not met that user yet."}
	}
	if e.account.State == "" {
		return nil, errNoAccount
	}
	if mark {
		known.Verified = true
		if err := e.save(ctx, e.acceptLocked(user)...); err != nil {
			return nil, err
		}
	}
	me := identity.Peer{User: identity.UserID(e.account.user()), Identity: e.account.IdentityKey}
	other := identity.Peer{User: identity.UserID(user), Identity: known.Identity}
	return &Safety{
		User: who, Name: known.Name, Verified: known.Verified,
		Number: identity.SafetyNumber(me, other).String(), QR: hex.EncodeToString(identity.SafetyQR(me, other)),
	}, nil
}

// trust accepts that a user came with another identity.
func (e *Engine) trust(ctx context.Context, who string) error {
	user, err := parseUser(who)
	if err != nil {
		return err
	}
	e.mu.Lock()
	known := e.peers[user]
	if known == nil {
		e.mu.Unlock()
		return &Problem{Code: ProblemUsage, Text: "This device has not met that user yet."}
	}
	batch := e.acceptLocked(user)
	e.mu.Unlock()
	if err := e.save(ctx, batch...); err != nil {
		return err
	}
	e.lookAgain()
	return nil
}
