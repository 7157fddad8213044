package line

import (
	"fmt"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/client"
)

func (t *talk) accountChanged(a client.Account) {
	first := t.account.State == ""
	t.account = a
	if !first {
		return
	}
	t.hold--
	switch a.State {
	case client.AccountNone:
		t.begin()
	case client.AccountSignedOut:
		t.comeBack()
	case client.AccountRevoked:
		t.refuse(&client.Problem{Code: client.ProblemNoAccount, Text: "This device was taken out of the account."})
	default:
		t.enter()
	}
}

// comeBack asks whoever has signed out whether to sign in again.
func (t *talk) comeBack() {
	t.say("You are signed out here. Your keys are still on this device.")
	if !t.Terminal {
		t.refuse(&client.Problem{Code: client.ProblemNoAccount, Text: "To sign in again, run this in a terminal."})
		return
	}
	fmt.Fprintf(t.Out, "Sign in again as %s? (yes or no) ", SafeName(t.account.Name, ""))
	t.asking = func(answer string) {
		if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y") {
			t.stop(nil)
			return
		}
		t.change(client.Request{Op: client.OpConnect, On: true}, func(ev client.Event) {
			if ev.Problem != nil {
				t.refuse(ev.Problem)
				return
			}
			t.enter()
		})
	}
}

// begin makes an account: with what the options say, or by asking.
func (t *talk) begin() {
	switch {
	case t.Login != "":
		t.password()
	case t.Name != "":
		t.guest(t.Name)
	case !t.Terminal:
		t.say("Say who you are: --name NAME.")
		t.stop(ErrRefused)
	default:
		fmt.Fprint(t.Out, "Your name: ")
		t.asking = t.guest
	}
}

func (t *talk) guest(name string) {
	t.change(client.Request{Op: client.OpGuest, Name: strings.TrimSpace(name)}, func(ev client.Event) {
		if ev.Problem == nil {
			t.enter()
			return
		}
		if !t.Terminal || t.ended {
			t.refuse(ev.Problem)
			return
		}
		t.problem(ev.Problem)
		fmt.Fprint(t.Out, "Your name: ")
		t.asking = t.guest
	})
}

// password opens or makes an account with a password.
func (t *talk) password() {
	if t.Password == nil {
		t.say("There is nobody to ask for the password. Run this in a terminal.")
		t.stop(ErrRefused)
		return
	}
	password, err := t.Password("Password: ")
	if err != nil {
		t.say("The password could not be read.")
		t.stop(ErrRefused)
		return
	}
	if !t.lost.IsZero() {
		t.lost = time.Now() // the time at the prompt does not count as a lost connection
	}
	request := client.Request{Op: client.OpLogin, Login: t.Login, Password: password, Name: t.Name}
	if t.Register {
		request.Op = client.OpRegister
	}
	t.change(request, func(ev client.Event) {
		if ev.Problem != nil {
			t.refuse(ev.Problem)
			return
		}
		t.enter()
	})
}

// enter goes to the room to start in.
func (t *talk) enter() {
	if t.room != "" || t.account.State == client.AccountWaiting {
		return
	}
	if t.Claim != "" {
		link := t.Claim
		t.Claim = ""
		t.change(client.Request{Op: client.OpClaim, Link: link}, func(ev client.Event) {
			if ev.Problem != nil {
				t.problem(ev.Problem)
			} else {
				t.say("You run this server now, and own its Lounge.")
			}
			t.enter()
		})
		return
	}
	if t.Room == "" {
		t.join("")
		return
	}
	// A room of one's own may be named, so the list of them comes first.
	t.change(client.Request{Op: client.OpRooms}, func(ev client.Event) {
		for _, room := range ev.Rooms {
			t.rooms[room.ID] = room
		}
		t.join(t.Room)
	})
}
