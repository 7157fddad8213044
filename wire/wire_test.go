package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func hexBytes(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScanRefusesWhatTheProfileRefuses(t *testing.T) {
	good := map[string]string{
		"zero":           "00",
		"24":             "1818",
		"2^53-1":         "1b001fffffffffffff",
		"empty bytes":    "40",
		"text":           "6161",
		"array":          "820102",
		"map in order":   "a201010202",
		"true":           "f5",
		"eight deep":     "8181818181818181 00"[:0] + "818181818181818100",
		"bytes of 24":    "5818" + strings.Repeat("00", 24),
		"map of strings": "a1616101",
	}
	for name, in := range good {
		data := hexBytes(t, in)
		if n, err := Scan(data); err != nil || n != len(data) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	bad := map[string]string{
		"nothing":              "",
		"long form of 1":       "1801",
		"long form of 255":     "1900ff",
		"2^53":                 "1b0020000000000000",
		"negative":             "20",
		"half float":           "f90000",
		"float":                "fa00000000",
		"double":               "fb0000000000000000",
		"null":                 "f6",
		"undefined":            "f7",
		"simple 32":            "f820",
		"tag":                  "c000",
		"indefinite bytes":     "5f4100ff",
		"indefinite array":     "9fff",
		"indefinite map":       "bfff",
		"break":                "ff",
		"reserved length":      "1c",
		"bytes cut":            "4201",
		"bytes of 2^64-1":      "5bffffffffffffffff",
		"text not UTF-8":       "61ff",
		"keys out of order":    "a202010101",
		"duplicate key":        "a201010102",
		"nine deep":            "81818181818181818100",
		"array of 2^32":        "9b0000000100000000",
		"map of 65 pairs":      "b841",
		"array of 1025 items":  "990401",
		"length of string > n": "7a00010000",
	}
	for name, in := range bad {
		if n, err := Scan(hexBytes(t, in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: accepted with length %d, %v", name, n, err)
		}
	}
}

// sample fills a value with something in every field.
func sample(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				sample(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		sample(v.Elem(), depth)
	case reflect.Slice:
		switch v.Type() {
		case reflect.TypeFor[RawEntry]():
			raw, _ := Encode(Entry{Seq: 7, Kind: EntryMessage, Payload: []byte("x")})
			v.SetBytes(raw)
		default:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range 2 {
				sample(v.Index(i), depth)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			sample(v.Index(i), depth)
		}
	case reflect.String:
		v.SetString("déjà")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		v.SetUint(uint64(3 + depth))
	}
}

func requests() []Request {
	return []Request{&Hello{}, &Login{}, &Guest{}, &Register{}, &PasswordSalt{}, &PasswordLogin{}, &Enrol{}, &Ping{}, &Logout{},
		&SetPassword{}, &SetProfile{}, &ClaimAdmin{}, &UploadKeyPackages{}, &CountKeyPackages{}, &ClaimKeyPackages{}, &FindUser{},
		&GetUser{}, &ListDevices{}, &ApproveDevice{}, &DenyDevice{}, &RenameDevice{}, &RevokeDevice{}, &CreateRoom{}, &ListRooms{},
		&Watch{}, &Unwatch{}, &Sync{}, &Append{}, &RouteChange{}, &Members{}, &Refill{}, &ListWelcomes{}, &AckWelcomes{}, &PutGroupInfo{},
		&GetGroupInfo{}, &PutBlob{}, &GetBlob{}, &Turn{}, &ReleaseTurn{}, &Signal{}, &Presence{}, &CreateLink{}, &ListLinks{},
		&RevokeLink{}, &FetchLink{}, &Knock{}, &ListKnocks{}, &DropKnock{}, &ListRetired{}}
}

func responses() []any {
	return []any{&HelloOK{}, &LoginOK{}, &PasswordSaltOK{}, &PasswordLoginOK{}, &EnrolOK{}, &ClaimAdminOK{}, &KeyPackageCount{},
		&ClaimKeyPackagesOK{}, &User{}, &ListDevicesOK{}, &RoomState{}, &ListRoomsOK{}, &WatchOK{}, &SyncOK{}, &AppendOK{}, &MembersOK{},
		&RefillOK{}, &ListWelcomesOK{}, &GroupInfo{}, &PutBlobOK{}, &GetBlobOK{}, &TurnOK{}, &PresenceOK{}, &ListLinksOK{}, &FetchLinkOK{},
		&ListKnocksOK{}, &ListRetiredOK{}, &Refusal{}, &Entry{}, &Empty{}}
}

func events() []Event {
	return []Event{&EntryEvent{}, &WelcomeEvent{}, &TurnEvent{}, &KeyPackagesLow{}, &SignalEvent{}, &PresenceEvent{}, &RoomEvent{},
		&Cut{}, &Pending{}, &Enrolled{}, &Revoked{}, &KnockEvent{}, &OutsideEvent{}, &KnockGone{}}
}

func TestEveryBodyComesBackAsItWent(t *testing.T) {
	check := func(name string, body, back any, it Item) {
		t.Helper()
		if err := it.DecodeBody(back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(body, back) {
			t.Errorf("%s: %+v came back as %+v", name, body, back)
		}
	}
	seen := map[Op]bool{}
	for i, body := range requests() {
		if seen[body.Op()] {
			t.Errorf("two requests have op %d", body.Op())
		}
		seen[body.Op()] = true
		name := fmt.Sprintf("%T", body)
		sample(reflect.ValueOf(body).Elem(), 0)
		raw, err := AppendRequest(nil, uint64(i), Key{1}, body)
		if err != nil {
			t.Fatal(name, err)
		}
		it, rest, err := Next(raw)
		if err != nil || len(rest) != 0 || it.Kind != ItemRequest || it.ID != uint64(i) || it.Op != body.Op() || it.Key != (Key{1}) {
			t.Fatalf("%s: %+v, %d left, %v", name, it, len(rest), err)
		}
		check(name, body, reflect.New(reflect.TypeOf(body).Elem()).Interface(), it)
	}
	for _, body := range responses() {
		name := fmt.Sprintf("%T", body)
		sample(reflect.ValueOf(body).Elem(), 0)
		raw, err := AppendResponse(nil, 1<<40, body)
		if err != nil {
			t.Fatal(name, err)
		}
		it, rest, err := Next(raw)
		if err != nil || len(rest) != 0 || it.Kind != ItemResponse || it.ID != 1<<40 || it.Code != OK {
			t.Fatalf("%s: %+v, %d left, %v", name, it, len(rest), err)
		}
		check(name, body, reflect.New(reflect.TypeOf(body).Elem()).Interface(), it)
	}
	types := map[EventType]bool{}
	for _, body := range events() {
		name := fmt.Sprintf("%T", body)
		if types[body.EventType()] {
			t.Errorf("two events have type %d", body.EventType())
		}
		types[body.EventType()] = true
		sample(reflect.ValueOf(body).Elem(), 0)
		raw, err := AppendEvent(nil, body)
		if err != nil {
			t.Fatal(name, err)
		}
		it, rest, err := Next(raw)
		if err != nil || len(rest) != 0 || it.Kind != ItemEvent || it.Event != body.EventType() {
			t.Fatalf("%s: %+v, %d left, %v", name, it, len(rest), err)
		}
		check(name, body, reflect.New(reflect.TypeOf(body).Elem()).Interface(), it)
	}
}

func TestEntryEventMadeOfBytesIsTheSame(t *testing.T) {
	entry, err := Encode(Entry{Seq: 9, Time: 5, Kind: EntryHandshake, Payload: []byte("commit")})
	if err != nil {
		t.Fatal(err)
	}
	long, err := AppendEvent(nil, EntryEvent{Room: RoomID{1, 2}, Entry: entry})
	if err != nil {
		t.Fatal(err)
	}
	if short := AppendEntryEvent(nil, RoomID{1, 2}, entry); !bytes.Equal(short, long) {
		t.Errorf("%x\n%x", short, long)
	}
}

func TestDecodeRefuses(t *testing.T) {
	var e Entry
	for name, in := range map[string]string{
		"unknown key":      "a1181900",
		"text for a key":   "a1616101",
		"short id":         "a108" + "4f" + strings.Repeat("00", 15),
		"long id":          "a108" + "51" + strings.Repeat("00", 17),
		"id as array":      "a108" + "90" + strings.Repeat("00", 16),
		"kind above 255":   "a103190100",
		"number for bytes": "a10401",
		"trailing":         "a000",
		"array":            "80",
	} {
		if err := Decode(hexBytes(t, in), &e); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Decode(hexBytes(t, "a10107"), &e); err != nil || e.Seq != 7 {
		t.Errorf("positive control: %v, %+v", err, e)
	}
}

func TestNextRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"a map":          "a0",
		"no kind":        "8340a0a0",
		"kind 3":         "830300a0",
		"short request":  "840001 02a0"[:0] + "84000102a0",
		"key of 15":      "850001024f" + strings.Repeat("00", 15) + "a0",
		"response of 3":  "830100a0",
		"event of 4":     "84020100a0",
		"op not uint":    "8500014040a0",
		"body malformed": "83020119",
	} {
		if it, _, err := Next(hexBytes(t, in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, it, err)
		}
	}
	it, rest, err := Next(hexBytes(t, "85000108 40 a0 830208a10101"))
	if err != nil || it.Op != OpPing || len(rest) != 6 {
		t.Errorf("positive control: %+v, %x, %v", it, rest, err)
	}
}

// TestChain fixes the log's hash by an independent spelling of the formula.
func TestChain(t *testing.T) {
	var room RoomID
	copy(room[:], "0123456789abcdef")
	start := sha256.Sum256([]byte("SecureLink/1 log\x000123456789abcdef"))
	if LogStart(room) != start {
		t.Error("log start")
	}
	e := Entry{Seq: 258, Time: 1, Kind: EntryMessage, Payload: []byte("p"), Body: []byte("b")}
	p, b := sha256.Sum256([]byte("p")), sha256.Sum256([]byte("b"))
	want := sha256.Sum256([]byte("SecureLink/1 entry\x00" + string(start[:]) +
		"\x00\x00\x00\x00\x00\x00\x01\x02" + "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x02" + string(p[:]) + string(b[:])))
	if e.Next(start) != want {
		t.Error("next mark")
	}
	gone, blob := e, e
	gone.Body, gone.BodyGone = nil, (*Hash)(&b)
	blob.Payload, blob.PayloadBlob = nil, (*Hash)(&p)
	if gone.Next(start) != want || blob.Next(start) != want {
		t.Error("a deleted body or a payload in a blob changes the mark")
	}
	e.Body = []byte("c")
	if e.Next(start) == want {
		t.Error("another body has the same mark")
	}
}

func TestDirectRoomIsTheSameForBoth(t *testing.T) {
	a, b := UserID{1}, UserID{2}
	if DirectRoom(a, b, 0) != DirectRoom(b, a, 0) {
		t.Error("depends on who asks")
	}
	if DirectRoom(a, b, 0) == DirectRoom(a, b, 1) || DirectRoom(a, b, 0) == DirectRoom(a, a, 0) {
		t.Error("does not depend on generation and users")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	token := Token([]byte("0123456789abcdef0123456789abcdef"))
	secret := Secret("0123456789abcdef")
	key := Key([]byte("0123456789abcdef"))
	body := Register{Auth: secret, Token: &token}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, token, secret, key, body)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	for _, leak := range []string{"0123456789", hex.EncodeToString([]byte("0123456789")), "48 49 50", "48, 49"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q in %s", leak, out.String())
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Error("nothing was printed at all")
	}
}

func TestCodesAndLimitsHaveNames(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Codes() {
		if c.String() == "" || names[c.String()] {
			t.Errorf("code %d: name %q", c, c)
		}
		names[c.String()] = true
	}
	if Code(999).String() != "internal" || Code(999).Hint() != HintLater {
		t.Error("unknown codes are not internal")
	}
	for _, info := range AllLimits() {
		if info.Name == "" || info.About == "" || info.Default == 0 || names[info.Name] {
			t.Errorf("limit %+v", info)
		}
		names[info.Name] = true
		if l, err := ParseLimit(info.Name); err != nil || l != info.Limit {
			t.Errorf("limit %s: %v, %v", info.Name, l, err)
		}
	}
	if _, err := ParseLimit("none"); err == nil {
		t.Error("a limit that does not exist was found")
	}
	l := DefaultLimits()
	if err := l.Set(MessageBurst, 0); err == nil {
		t.Error("a limit was set to zero")
	}
	if err := l.Set(limitsEnd, 1); err == nil {
		t.Error("a limit that does not exist was set")
	}
	if again := LimitsFrom(l.Values()); again != l {
		t.Error("limits do not survive HelloOK")
	}
}

func TestErrorsAreToldApartByCode(t *testing.T) {
	raw, err := AppendRefusal(nil, 4, Limited, RefuseLimit(MessageRate, 1500e6).Refusal)
	if err != nil {
		t.Fatal(err)
	}
	it, _, err := Next(raw)
	if err != nil {
		t.Fatal(err)
	}
	err = it.DecodeRefusal()
	if !errors.Is(err, Refuse(Limited)) || errors.Is(err, Refuse(Busy)) {
		t.Errorf("%v", err)
	}
	if got := err.Error(); got != "limited: limit message-rate, again in 1.5s" {
		t.Error(got)
	}
}

func FuzzNext(f *testing.F) {
	for _, r := range requests() {
		sample(reflect.ValueOf(r).Elem(), 0)
		raw, _ := AppendRequest(nil, 1, Key{2}, r)
		f.Add(raw)
	}
	for _, e := range events() {
		sample(reflect.ValueOf(e).Elem(), 0)
		raw, _ := AppendEvent(nil, e)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		it, rest, err := Next(data)
		if err != nil {
			return
		}
		if it.Kind == ItemRequest {
			for _, r := range requests() {
				if r.Op() != it.Op {
					continue
				}
				if it.DecodeBody(r) != nil {
					return
				}
				// What the decoder takes is the one encoding of its meaning, but
				// for fields that are written out though they are zero.
				again, err := AppendRequest(nil, it.ID, it.Key, r)
				if err != nil {
					t.Fatalf("decoded but not encodable: %v", err)
				}
				if len(again) > 2*(len(data)-len(rest))+64 {
					t.Fatalf("%d bytes grew to %d", len(data), len(again))
				}
			}
		}
	})
}

func BenchmarkDecodeAppend(b *testing.B) {
	raw, _ := AppendRequest(nil, 1, Key{2}, &Append{Room: RoomID{1}, Kind: EntryMessage, Examined: 12, Message: MessageID{3}, Payload: make([]byte, 400), Body: make([]byte, 400)})
	b.ReportAllocs()
	for b.Loop() {
		it, _, err := Next(raw)
		if err != nil {
			b.Fatal(err)
		}
		var a Append
		if err := it.DecodeBody(&a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEntry(b *testing.B) {
	e := Entry{Seq: 1, Time: 2, Kind: EntryMessage, Payload: make([]byte, 400), Body: make([]byte, 400), Device: DeviceID{1}, Message: MessageID{2}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(&e); err != nil {
			b.Fatal(err)
		}
	}
}
