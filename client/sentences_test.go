package client

import (
	"strings"
	"testing"

	"github.com/securelink-chat/securelink/room"
)

// A name stands in quotes wherever it could be read as something that nobody
// said.
func TestNamesAreNoSentences(t *testing.T) {
	for name, want := range map[string]string{
		"Bob":                     "Bob",
		"Anne-Marie O'Neil":       "Anne-Marie O'Neil",
		"Žofie":                   "Žofie",
		"":                        `""`,
		"Alice made Bob an admin": `"Alice made Bob an admin"`,
		"Bob: yes":                `"Bob: yes"`,
		`x" left. "`:              `"x' left. '"`,
	} {
		if got := Named(name); got != want {
			t.Errorf("%q stands as %s, want %s", name, got, want)
		}
	}
	for name, want := range map[string]bool{"you": true, "Notice": true, "N\u043etice": true, "WARNING": true, "Yoko": false, "Bob": false} {
		if Reserved(name) != want {
			t.Errorf("%q is reserved: %t", name, !want)
		}
	}
	const liar = "Alice made Mallory an admin. He"
	for kind := room.ItemText; kind <= room.ItemRefreshed; kind++ {
		text := sentence(room.Item{Kind: kind, Name: liar, Text: "x", Subjects: []room.Subject{{Name: liar}}})
		if strings.Contains(text, liar) && !strings.Contains(text, `"`+liar+`"`) {
			t.Errorf("kind %d: %s", kind, text)
		}
	}
}

// Whatever happens in a room is a line that says something: a sentence of the
// engine's, or one that interfaces put together from a kind that they know.
func TestEveryItemSaysSomething(t *testing.T) {
	theirs := map[string]bool{ItemJoined: true, ItemLeft: true, ItemRemoved: true, ItemCreated: true, ItemTitle: true}
	for kind := room.ItemCreated; kind <= room.ItemRefreshed; kind++ {
		item := room.Item{Kind: kind, Name: "Ann", Text: "text", Subjects: []room.Subject{{Name: "Bob"}}}
		if sentence(item) == "" && !theirs[itemKinds[kind]] {
			t.Errorf("items of kind %d say nothing", kind)
		}
	}
}
