package identity

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/securelink-chat/securelink/internal/pack"
)

var (
	// ErrName means a display name that may not be shown.
	ErrName = errors.New("identity: a name has 1 to 40 visible characters")
	// ErrLogin means a login name outside its alphabet.
	ErrLogin = errors.New("identity: a login name has 2 to 32 of a-z, 0-9, dot, dash and underscore, and starts with a letter")
)

// Bounds of a display name.
const (
	MaxNameRunes = 40
	MaxNameBytes = 160
)

// Profile is a display name that its owner signed. Of two profiles of one user
// the higher version counts.
type Profile struct {
	Name      string
	Version   uint64
	Signature Signature
}

func (p Profile) signed(root, identity PublicKey) []byte {
	w := labelled("SecureLink/1 profile")
	w.Fixed(root[:])
	w.Fixed(identity[:])
	w.U64(p.Version)
	w.String(p.Name)
	return w.B
}

// SignProfile signs a name; it fails with ErrName if CheckName would change or refuse it.
func (k *Key) SignProfile(root PublicKey, name string, version uint64) (Profile, error) {
	if checked, err := CheckName(name); err != nil || checked != name {
		return Profile{}, ErrName
	}
	p := Profile{Name: name, Version: version}
	p.Signature = k.sign(p.signed(root, k.Public()))
	return p, nil
}

// Verify checks name and signature. A name that may not be shown is as bad as
// one that is not signed.
func (p Profile) Verify(root, identity PublicKey) error {
	if checked, err := CheckName(p.Name); err != nil || checked != p.Name {
		return ErrSignature
	}
	return verify(identity, p.signed(root, identity), p.Signature)
}

func (p Profile) write(w *pack.Writer) {
	w.U64(p.Version)
	w.String(p.Name)
	w.Fixed(p.Signature[:])
}

func readProfile(r *pack.Reader) (p Profile) {
	p.Version = r.U64()
	p.Name = r.String(MaxNameBytes)
	r.Fixed(p.Signature[:])
	return p
}

// Encode gives u64 version | u32 length | name | signature.
func (p Profile) Encode() []byte {
	var w pack.Writer
	p.write(&w)
	return w.B
}

// DecodeProfile reads a profile without verifying it.
func DecodeProfile(b []byte) (Profile, error) {
	r := pack.Read(b)
	p := readProfile(r)
	if r.Done() != nil {
		return Profile{}, ErrFormat
	}
	return p, nil
}

// CheckName gives the form of a display name that may be signed and shown: NFC,
// inner space single, none outside. It refuses what can reorder, hide or fake
// text: control, format (bidi, zero width), private and unassigned characters,
// and more than two combining marks on one character.
func CheckName(name string) (string, error) {
	if len(name) > 4*MaxNameBytes || !utf8.ValidString(name) {
		return "", ErrName
	}
	name = nfc(strings.Join(strings.Fields(name), " "))
	runes, marks, visible := 0, 0, false
	for _, char := range name {
		runes++
		switch {
		case unicode.IsMark(char):
			if marks++; marks > 2 || !visible {
				return "", ErrName
			}
			continue
		case char == ' ':
		case char == '\u115f', char == '\u1160', char == '\u3164', char == '\uffa0', char == '\u2800':
			return "", ErrName // letters and symbols that draw nothing
		case unicode.IsLetter(char), unicode.IsNumber(char), unicode.IsPunct(char), unicode.IsSymbol(char):
			visible = true
		default:
			return "", ErrName
		}
		marks = 0
	}
	if !visible || runes > MaxNameRunes || len(name) > MaxNameBytes {
		return "", ErrName
	}
	return name, nil
}

// CanonicalLogin gives the one spelling of a login name: ASCII, lower case. A
// small alphabet leaves nothing to confuse.
func CanonicalLogin(login string) (string, error) {
	if len(login) < 2 || len(login) > 32 {
		return "", ErrLogin
	}
	out := []byte(login)
	for i, char := range out {
		switch {
		case char >= 'A' && char <= 'Z':
			out[i] = char + 'a' - 'A'
		case char >= 'a' && char <= 'z':
		case i > 0 && (char >= '0' && char <= '9' || char == '.' || char == '-' || char == '_'):
		default:
			return "", ErrLogin
		}
	}
	return string(out), nil
}

// lookalikes maps characters to the Latin one that they pass for in common
// fonts (a selection of UTS #39 confusables: Cyrillic, Greek, digits).
var lookalikes = func() map[rune]string {
	table := map[rune]string{}
	for _, pair := range []string{
		"аa", "еe", "оo", "рp", "сc", "уy", "хx", "іi", "јj", "ѕs", "һh", "ԁd", "ԛq", "ԝw", "вb", "кk", "мm", "нh", "тt", "гr", "пn", "зe", "ьb", "ѵv", "ӏl", "үy",
		"αa", "βb", "εe", "ηn", "ιi", "κk", "μu", "νv", "οo", "ρp", "σo", "τt", "υu", "χx", "ωw", "γy", "ζz", "ϲc", "ϳj", "ςc",
		"0o", "1l", "|l", "ıi", "ɡg", "ɑa", "ſs", "5s", "8b", "3e", "$s", "@a", "!l", "ł\x6c", "øo", "đd", "ħh", "ŧt", "ǀl", "¡i", "×x",
	} {
		runes := []rune(pair)
		table[runes[0]] = string(runes[1])
	}
	table['i'] = "l" // after lower case, I (capital) and l look alike, so i joins them
	table['j'] = "l"
	return table
}()

// Skeleton reduces a name to what the eye keeps of it: compatibility forms,
// case, accents, spaces and punctuation folded, lookalikes of other scripts
// replaced, "rn" and "vv" drawn together. Names with one skeleton are to be
// marked as confusable; the skeleton itself is never shown.
func Skeleton(name string) string {
	var out strings.Builder
	for _, char := range strings.ToLower(nfkd(name)) {
		if unicode.IsMark(char) || unicode.IsSpace(char) || !unicode.IsPrint(char) {
			continue
		}
		folded, ok := lookalikes[char]
		if ok && len(folded) == 1 {
			if again, more := lookalikes[rune(folded[0])]; more {
				folded = again
			}
		}
		switch {
		case ok:
			out.WriteString(folded)
		case unicode.IsPunct(char):
		default:
			out.WriteRune(char)
		}
	}
	return strings.NewReplacer("rn", "m", "vv", "w", "cl", "d").Replace(out.String())
}

// Confusable says whether two names could be taken for each other.
func Confusable(a, b string) bool { return Skeleton(a) == Skeleton(b) }
