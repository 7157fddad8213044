package client

import (
	"slices"
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
)

func TestMentions(t *testing.T) {
	ana, lee, bob, bob2, me := identity.UserID{0x1a, 0x2b}, identity.UserID{2}, identity.UserID{3, 3}, identity.UserID{4, 4}, identity.UserID{5}
	members := []room.Member{
		{User: ana, Name: "Ana"}, {User: lee, Name: "Ana Lee"}, {User: bob, Name: "Bob"}, {User: bob2, Name: "Bob"}, {User: me, Name: "Me", Own: true},
		{User: identity.UserID{6}, Name: "Zoë"}, {User: identity.UserID{7}, Name: "李雷"}, {User: identity.UserID{8}, Name: "Ben Ana-Lee"},
	}
	for text, want := range map[string][]identity.UserID{
		"@Ana":                 {ana},
		"hi @ana, and @ANA!":   {ana},
		"@Ana Lee, please":     {lee},
		"@Ana Leeway":          {ana},
		"@Anastasia":           nil,
		"mail ana@ana.org":     nil,
		"(@zoë)":               {{6}},
		"@Bob":                 {bob, bob2},
		"@Bob#0303":            {bob},
		"@bob#0404 and @Ana":   {bob2, ana},
		"@Bob#ffff":            nil,
		"@Ana#1a2b":            {ana},
		"@Me":                  nil,
		"@Ana and @李雷: look":   {ana, {7}},
		"@Ben Ana-Lee, please": {{8}},
		"ben@Ana.org, @Anab":   nil,
		"@ Ana":                nil,
		"@":                    nil,
		"\xff@Ana\xff":         {ana},
		strings.Repeat("@", 9): nil,
	} {
		if got := mentionsIn(text, members); !slices.Equal(got, want) {
			t.Errorf("%q names %v, want %v", text, got, want)
		}
	}
	var many []room.Member
	text := ""
	for i := range byte(room.MaxMentions + 10) {
		many = append(many, room.Member{User: identity.UserID{i}, Name: "N" + string(rune('a'+i%26)) + string(rune('a'+i/26))})
		text += " @" + many[i].Name
	}
	if got := mentionsIn(text, many); len(got) != room.MaxMentions {
		t.Errorf("%d people are named at once, want %d", len(got), room.MaxMentions)
	}
}
