package client

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/securelink-chat/securelink/identity"
	"github.com/securelink-chat/securelink/room"
)

// mentionsIn finds whom a text names among the members: "@Ana", in any case, or
// "@Ana#1a2b" where several have that name. Of two names that fit, the longer
// counts: "@Ana Lee" is nobody's Ana.
func mentionsIn(text string, members []room.Member) []identity.UserID {
	var named []identity.UserID
	before := ' '
	for i, r := range text {
		if r == '@' && !wordly(before) {
			for _, user := range namedAt(text[i+1:], members) {
				if !slices.Contains(named, user) && len(named) < room.MaxMentions {
					named = append(named, user)
				}
			}
		}
		before = r
	}
	return named
}

// namedAt finds who is named where a text begins.
func namedAt(text string, members []room.Member) []identity.UserID {
	var found []identity.UserID
	longest := 0
	for _, m := range members {
		size := len(m.Name)
		if m.Own || size < longest || len(text) < size || !strings.EqualFold(text[:size], m.Name) {
			continue
		}
		rest := text[size:]
		if tag, tagged := strings.CutPrefix(rest, "#"); tagged && len(tag) >= tagLength && isTag(tag[:tagLength]) {
			if tag[:tagLength] != m.User.String()[:tagLength] {
				continue
			}
			rest = tag[tagLength:]
		}
		if next, _ := utf8.DecodeRuneInString(rest); wordly(next) {
			continue
		}
		if size > longest {
			longest, found = size, nil
		}
		found = append(found, m.User)
	}
	return found
}

// tagLength is how much of a user's id tells two of one name apart.
const tagLength = 4

func isTag(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// wordly reports whether a character goes on with a word, so that a name does
// not end, or begin, beside it.
func wordly(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}
