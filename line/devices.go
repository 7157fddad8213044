package line

import (
	"fmt"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

func (t *talk) info() {
	t.ask(client.Request{Op: client.OpInfo}, func(ev client.Event) {
		i := ev.Info
		state := "not connected"
		if i.Connected {
			state = "connected"
		}
		t.write("Server: %s, %s\nServer's fingerprint: %s", SafeLine(i.Server), state, i.Fingerprint)
		t.write("You: %s\nYour user id: %s\nThis device: %s", SafeName(t.account.Name, ""), i.User, i.Device)
		t.write("Between people: %s\nTo the server: %s\nVersion: %s", i.Suite, i.Link, i.Version)
	})
}

func (t *talk) logout(rest string) {
	erase := rest == "erase"
	if !erase && t.account.State == client.AccountGuest {
		t.say("You sign out; your keys stay on this device. This device holds their only copy: /logout erase destroys it for good.")
	}
	t.ask(client.Request{Op: client.OpLogout, On: erase}, t.worked(func(ev client.Event) {
		if erase {
			t.say("Keys and history on this device are destroyed.")
		}
		t.stop(nil)
	}))
}

func (t *talk) devices() {
	t.ask(client.Request{Op: client.OpDevices}, t.worked(func(ev client.Event) {
		for _, d := range ev.Devices {
			line := fmt.Sprintf("  %s  %s, since %s", d.ID[:min(8, len(d.ID))], d.Class, time.UnixMilli(d.Added).Format("2006-01-02"))
			if d.Name != "" {
				line += ", " + SafeName(d.Name, "")
			}
			switch {
			case d.Own:
				line += " (this one)"
			case d.Waiting:
				line += " WAITS: /device approve " + d.Code
			case d.Revoked:
				line += " (taken out)"
			}
			t.say("%s", line)
		}
	}))
}

func (t *talk) device(rest string) {
	verb, rest, _ := strings.Cut(rest, " ")
	rest = strings.TrimSpace(rest)
	id, name, _ := strings.Cut(rest, " ")
	switch verb {
	case "approve":
		t.do(client.Request{Op: client.OpApprove, Text: rest}, "Approved. The new device comes into your rooms by itself.")
	case "rename":
		t.withDevice(id, func(full string) {
			t.do(client.Request{Op: client.OpRename, Device: full, Name: strings.TrimSpace(name)}, "Renamed.")
		})
	case "revoke":
		t.withDevice(id, func(full string) {
			t.do(client.Request{Op: client.OpRevoke, Device: full}, "Taken out. It can read nothing from the next message on.")
		})
	default:
		t.say("Say what: /device approve CODE, /device rename ID NAME, /device revoke ID")
	}
}

// withDevice finds an own device by the beginning of its id.
func (t *talk) withDevice(id string, then func(string)) {
	t.ask(client.Request{Op: client.OpDevices}, t.worked(func(ev client.Event) {
		for _, d := range ev.Devices {
			if len(id) >= 4 && strings.HasPrefix(d.ID, strings.ToLower(id)) {
				then(d.ID)
				return
			}
		}
		t.say("You have no such device. /devices lists them.")
	}))
}
