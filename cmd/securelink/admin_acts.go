package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/wire"
)

// adminAct is one act: the command that asks for it is made from the same line
// as what the server does.
type adminAct struct {
	name  string   // group and verb
	args  string   // names of the arguments
	flags []string // "name=what it is"
	about string
	do    func(context.Context, *server, adminInput) (adminAnswer, error)
}

type adminInput struct {
	args  []string
	flags map[string]string
}

// page is how many records are read at once.
const page = 500

// adminActs is every act. Those that change something leave a line in the audit
// log, which the core writes in the same transaction.
var adminActs = []adminAct{
	{"user list", "", nil, "List accounts", listUsers},
	{"user reset-password", "USER", nil, "Forget an account's password: only its enrolled devices can log in until one sets another",
		userAct("forgot the password of", func(ctx context.Context, s *server, id wire.UserID, _ adminInput) error {
			return s.core.Server.ResetPassword(ctx, id)
		})},
	{"user ban", "USER", []string{"reason=kept with the ban"}, "Shut an account out and end its connections",
		userAct("banned", func(ctx context.Context, s *server, id wire.UserID, in adminInput) error {
			return s.core.Server.BanUser(ctx, id, true, in.flags["reason"])
		})},
	{"user unban", "USER", nil, "Let an account in again",
		userAct("unbanned", func(ctx context.Context, s *server, id wire.UserID, _ adminInput) error {
			return s.core.Server.BanUser(ctx, id, false, "")
		})},
	{"user make-admin", "USER", nil, "Mark an account as an administrator of the server (not of rooms)",
		userAct("made an administrator of", func(ctx context.Context, s *server, id wire.UserID, _ adminInput) error {
			return s.core.Server.SetAdmin(ctx, id, true)
		})},
	{"user unmake-admin", "USER", nil, "Take that mark away",
		userAct("took the mark from", func(ctx context.Context, s *server, id wire.UserID, _ adminInput) error {
			return s.core.Server.SetAdmin(ctx, id, false)
		})},
	{"user retire", "USER", nil, "Count a guest who is not connected as long unseen, so that open rooms take it out",
		userAct("retired", func(ctx context.Context, s *server, id wire.UserID, _ adminInput) error {
			err := s.core.Server.RetireGuest(ctx, id)
			if refusal, ok := errors.AsType[*wire.Error](err); ok && refusal.Code == wire.Conflict {
				return badArgument("only a guest who is not connected can be retired")
			}
			return err
		})},
	{"user remove", "USER", nil, "End an account for good: no device of it can log in again (what it wrote is the rooms')",
		userAct("removed", func(ctx context.Context, s *server, id wire.UserID, _ adminInput) error {
			return s.core.Server.RemoveUser(ctx, id)
		})},
	{"device list", "USER", nil, "List an account's devices", listDevices},
	{"device revoke", "DEVICE", nil, "End a device: it can never log in again", revokeDevice},
	{"room list", "", nil, "List open rooms; the server does not know the names of others", listRooms},
	{"room create", "NAME", nil, "Make an open room; whoever enters first founds it, and the server cannot enter", createRoom},
	{"link list", "ROOM", nil, "List a room's join links; their secrets are not the server's", listLinks},
	{"link revoke", "LINK", nil, "Let nobody in by a join link any more", revokeLink},
	{"token list", "", nil, "List the tokens in force, without their secrets", listTokens},
	{"token create", "", []string{"uses=how many accounts it is good for (1)", "expires=how long, as 24h (7 days)", "note=what it is for",
		"admin=yes: for the first administrator, replacing earlier ones"}, "Make a token to register with", createToken},
	{"token drop", "HASH", nil, "End a token", dropToken},
	{"ban list", "", nil, "List banned addresses", listBans},
	{"ban add", "ADDRESS", []string{"reason=kept with the ban", "expires=how long, as 24h (for ever)"}, "Ban an address or a range like 192.0.2.0/24", addBan},
	{"ban drop", "ADDRESS", nil, "Lift a ban", dropBan},
	{"audit list", "", []string{"after=show what came after this number"}, "List administrative and security acts, oldest first", listAudit},
	{"log level", "LEVEL", nil, "Log debug, info, warn or error from now on, until a restart", setLogLevel},
	{"status show", "", nil, "Show what the server is doing", showStatus},
}

// userAct is an act on one account.
func userAct(done string, do func(context.Context, *server, wire.UserID, adminInput) error) func(context.Context, *server, adminInput) (adminAnswer, error) {
	return func(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
		id, err := findUser(ctx, s, in.args[0])
		if err != nil {
			return adminAnswer{}, err
		}
		if err := do(ctx, s, id, in); err != nil {
			return adminAnswer{}, err
		}
		return adminAnswer{Done: fmt.Sprintf("%s %s", strings.ToUpper(done[:1])+done[1:], in.args[0])}, nil
	}
}

// findUser finds an account by its login name or id.
func findUser(ctx context.Context, s *server, name string) (wire.UserID, error) {
	if raw, err := hex.DecodeString(name); err == nil && len(raw) == len(wire.UserID{}) {
		return wire.UserID(raw), nil
	}
	user, ok, err := s.core.Server.FindUser(ctx, name)
	if err != nil {
		return wire.UserID{}, err
	}
	if !ok {
		return wire.UserID{}, badArgument("no account has the login name %q; guests go by their id (user list)", name)
	}
	return user.ID, nil
}

func listUsers(ctx context.Context, s *server, _ adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"id", "login", "admin", "banned", "created", "seen"}}
	var after wire.UserID
	for {
		users, err := s.core.Server.Users(ctx, after, page)
		if err != nil || len(users) == 0 {
			return out, err
		}
		for _, u := range users {
			out.Rows = append(out.Rows, []string{u.ID.String(), u.Login, yes(u.Admin), yes(u.Banned), when(u.Created), when(u.Seen)})
			after = u.ID
		}
	}
}

func listDevices(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"id", "state", "label", "created", "seen"}}
	id, err := findUser(ctx, s, in.args[0])
	if err != nil {
		return out, err
	}
	devices, err := s.core.Server.Devices(ctx, id)
	states := map[wire.DeviceState]string{wire.DeviceWaiting: "waiting", wire.DeviceEnrolled: "enrolled", wire.DeviceRevoked: "revoked"}
	for _, d := range devices {
		out.Rows = append(out.Rows, []string{d.ID.String(), states[d.State], d.Label, when(d.Created * 1000), when(d.Seen)})
	}
	return out, err
}

func revokeDevice(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	raw, err := hex.DecodeString(in.args[0])
	if err != nil || len(raw) != len(wire.DeviceID{}) {
		return adminAnswer{}, badArgument("a device goes by its id of 32 hex digits (device list)")
	}
	return adminAnswer{Done: "Revoked " + in.args[0]}, s.core.Server.RevokeDevice(ctx, wire.DeviceID(raw))
}

func listLinks(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"id", "by", "created", "expires", "uses", "used", "approval"}}
	raw, err := hex.DecodeString(in.args[0])
	if err != nil || len(raw) != len(wire.RoomID{}) {
		return out, badArgument("a room goes by its id of 32 hex digits (room list)")
	}
	links, err := s.core.Server.Links(ctx, wire.RoomID(raw))
	for _, l := range links {
		uses := ""
		if l.Uses > 0 {
			uses = strconv.FormatUint(uint64(l.Uses), 10)
		}
		out.Rows = append(out.Rows, []string{l.ID.String(), l.By.User.String(), when(l.Created), when(l.Expires), uses,
			strconv.FormatUint(uint64(l.Used), 10), yes(l.Approval)})
	}
	return out, err
}

func revokeLink(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	raw, err := hex.DecodeString(in.args[0])
	if err != nil || len(raw) != len(wire.LinkID{}) {
		return adminAnswer{}, badArgument("a link goes by its id of 32 hex digits (link list)")
	}
	return adminAnswer{Done: "Revoked " + in.args[0]}, s.core.Server.RevokeLink(ctx, wire.LinkID(raw))
}

func listRooms(ctx context.Context, s *server, _ adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"id", "name", "created"}}
	var after wire.RoomID
	for {
		rooms, err := s.core.Server.OpenRooms(ctx, after, page)
		if err != nil || len(rooms) == 0 {
			return out, err
		}
		for _, r := range rooms {
			out.Rows = append(out.Rows, []string{r.ID.String(), r.Name, when(r.Created)})
			after = r.ID
		}
	}
}

func createRoom(_ context.Context, s *server, in adminInput) (adminAnswer, error) {
	if name := in.args[0]; name == "" || len(name) > 64 {
		return adminAnswer{}, badArgument("a room's name has 1 to 64 bytes")
	}
	id, err := s.core.Server.CreateOpenRoom(in.args[0])
	return adminAnswer{Done: "Made room " + id.String()}, err
}

func listTokens(ctx context.Context, s *server, _ adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"hash", "for", "uses", "created", "expires", "note"}}
	tokens, err := s.core.Server.Tokens(ctx)
	for _, t := range tokens {
		kind := "register"
		if t.Kind == core.TokenAdmin {
			kind = "administrator"
		}
		out.Rows = append(out.Rows, []string{t.Hash.String(), kind, strconv.FormatUint(uint64(t.Uses), 10), when(t.Created), when(t.Expires), t.Note})
	}
	return out, err
}

func createToken(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	uses, kind := uint64(1), core.TokenRegister
	var err error
	if text := in.flags["uses"]; text != "" {
		if uses, err = strconv.ParseUint(text, 10, 16); err != nil || uses == 0 {
			return adminAnswer{}, badArgument("uses is a number from 1 to 65535")
		}
	}
	life, err := duration(in.flags["expires"], 7*24*time.Hour)
	if err != nil {
		return adminAnswer{}, err
	}
	if in.flags["admin"] == "yes" {
		kind = core.TokenAdmin
	}
	token, err := s.core.Server.NewToken(ctx, kind, uint32(uses), life, in.flags["note"])
	if err != nil {
		return adminAnswer{}, err
	}
	if kind == core.TokenAdmin && s.terminals != "" {
		return adminAnswer{Done: adminLink(s.terminals, s.core.Pin, token)}, nil
	}
	return adminAnswer{Done: hex.EncodeToString(token[:])}, nil
}

func dropToken(_ context.Context, s *server, in adminInput) (adminAnswer, error) {
	raw, err := hex.DecodeString(in.args[0])
	if err != nil || len(raw) != len(wire.Hash{}) {
		return adminAnswer{}, badArgument("a token goes by its hash of 64 hex digits (token list)")
	}
	return adminAnswer{Done: "Dropped " + in.args[0]}, s.core.Server.DropToken(wire.Hash(raw))
}

func listBans(ctx context.Context, s *server, _ adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"address", "reason", "created", "expires"}}
	bans, err := s.core.Server.Bans(ctx)
	for _, b := range bans {
		out.Rows = append(out.Rows, []string{b.What, b.Reason, when(b.Created), when(b.Expires)})
	}
	return out, err
}

// addressRange reads an address or a range.
func addressRange(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, badArgument("%q is no address or range like 192.0.2.0/24", text)
	}
	return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
}

func addBan(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	what, err := addressRange(in.args[0])
	if err != nil {
		return adminAnswer{}, err
	}
	life, err := duration(in.flags["expires"], 0)
	if err != nil {
		return adminAnswer{}, err
	}
	return adminAnswer{Done: "Banned " + what.String()}, s.core.Server.BanAddress(ctx, what, in.flags["reason"], life)
}

func dropBan(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	what, err := addressRange(in.args[0])
	if err != nil {
		return adminAnswer{}, err
	}
	return adminAnswer{Done: "Lifted the ban of " + what.String()}, s.core.Server.UnbanAddress(ctx, what)
}

func listAudit(ctx context.Context, s *server, in adminInput) (adminAnswer, error) {
	out := adminAnswer{Columns: []string{"id", "time", "who", "act", "subject"}}
	var after uint64
	if text := in.flags["after"]; text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 63); err != nil {
			return out, badArgument("after is a number")
		}
	}
	for {
		acts, err := s.core.Server.AuditLog(ctx, after, page)
		if err != nil || len(acts) == 0 {
			return out, err
		}
		for _, a := range acts {
			out.Rows = append(out.Rows, []string{strconv.FormatUint(a.ID, 10), when(a.Time), a.Who, a.Act, a.Subject})
			after = a.ID
		}
	}
}

func setLogLevel(_ context.Context, s *server, in adminInput) (adminAnswer, error) {
	switch in.args[0] {
	case "debug", "info", "warn", "error":
		if err := s.core.Server.Note("log level", in.args[0]); err != nil {
			return adminAnswer{}, err
		}
		s.log.setLevel(in.args[0])
		return adminAnswer{Done: "The log says " + in.args[0] + " from now on"}, nil
	}
	return adminAnswer{}, badArgument("a level is debug, info, warn or error")
}

func showStatus(ctx context.Context, s *server, _ adminInput) (adminAnswer, error) {
	stats := s.core.Server.Stats()
	ready := "yes"
	if err := s.core.Ready(ctx); err != nil {
		ready = err.Error()
	}
	page := ""
	if s.web != nil {
		page = s.web.URL
	}
	return adminAnswer{Columns: []string{"version", "ready", "fingerprint", "page", "terminals", "gateways", "connections", "devices", "rooms"},
		Rows: [][]string{{version(), ready, fmt.Sprintf("%x", s.core.Pin), page, s.terminals, s.gateways,
			strconv.Itoa(stats.Connections), strconv.Itoa(stats.Devices), strconv.Itoa(stats.Rooms)}}}, nil
}

// duration reads how long something lasts.
func duration(text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, badArgument("%q is no time like 24h", text)
	}
	return d, nil
}

// when shows a time in milliseconds; 0 is never.
func when(ms uint64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(int64(ms)).UTC().Format(time.RFC3339)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
