package wire

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var update = flag.Bool("update", false, "write doc/wire.md's tables anew")

const docFile = "../doc/wire.md"

// TestDocumentIsTheCode makes the formal part of doc/wire.md from the types
// and tables, and wants the document to hold exactly that.
func TestDocumentIsTheCode(t *testing.T) {
	raw, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- made from the code: go test ./wire -run Document -update -->\n", "<!-- end -->"
	text := string(raw)
	head, rest, ok := strings.Cut(text, from)
	_, tail, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("doc/wire.md has no place for what is made from the code")
	}
	want := head + from + document() + to + tail
	if want == text {
		return
	}
	if !*update {
		t.Fatal("doc/wire.md is not what the code says: go test ./wire -run Document -update")
	}
	if err := os.WriteFile(docFile, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func document() string {
	var b strings.Builder
	b.WriteString("\n## Requests, responses and events\n\n```cddl\n")
	b.WriteString("item     = request / response / event\nrequest  = [0, id: uint, op: uint, key: bstr .size 16 / bstr .size 0, body: any]\n")
	b.WriteString("response = [1, id: uint, code: uint, body: any]\nevent    = [2, type: uint, body: any]\n\n")
	named := map[reflect.Type]bool{}
	var order []reflect.Type
	for _, r := range requests() {
		order = append(order, reflect.TypeOf(r).Elem())
	}
	for _, r := range responses() {
		order = append(order, reflect.TypeOf(r).Elem())
	}
	for _, e := range events() {
		order = append(order, reflect.TypeOf(e).Elem())
	}
	var rules []string
	for i := 0; i < len(order); i++ {
		if named[order[i]] {
			continue
		}
		named[order[i]] = true
		rules = append(rules, rule(order[i], &order))
	}
	b.WriteString(strings.Join(rules, "\n"))
	b.WriteString("```\n\n| op | request |\n|---|---|\n")
	for _, r := range requests() {
		fmt.Fprintf(&b, "| %d | %s |\n", r.Op(), cddlName(reflect.TypeOf(r).Elem().Name()))
	}
	b.WriteString("\n| type | event |\n|---|---|\n")
	for _, e := range events() {
		fmt.Fprintf(&b, "| %d | %s |\n", e.EventType(), cddlName(reflect.TypeOf(e).Elem().Name()))
	}
	b.WriteString("\n## Codes\n\n| code | name | what the client does |\n|---|---|---|\n")
	hints := []string{"not again as it is", "the same again, after `retry`", "sync the room, then anew", "log in", "on a new connection, after `retry`", "update the program"}
	for _, c := range Codes() {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", c, c, hints[c.Hint()])
	}
	b.WriteString("\n## Limits\n\n| number | name | default | unit | of |\n|---|---|---|---|---|\n")
	for _, l := range AllLimits() {
		fmt.Fprintf(&b, "| %d | %s | %d | %s | %s |\n", l.Limit, l.Name, l.Default, l.Unit, l.About)
	}
	return b.String()
}

// rule writes a struct as a CDDL rule, and queues the structs in it.
func rule(t reflect.Type, queue *[]reflect.Type) string {
	var b strings.Builder
	array := false
	var fields []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("cbor")
		if f.Name == "_" {
			array = array || strings.Contains(tag, "toarray")
			continue
		}
		name := cddlName(f.Name)
		if array {
			fields = append(fields, fmt.Sprintf("%s: %s", name, cddlType(f.Type, queue)))
			continue
		}
		optional := ""
		if strings.Contains(tag, "omitempty") {
			optional = "? "
		}
		number, _, _ := strings.Cut(tag, ",")
		fields = append(fields, fmt.Sprintf("%s%s: %s, ; %s", optional, number, cddlType(f.Type, queue), name))
	}
	switch {
	case array:
		fmt.Fprintf(&b, "%s = [%s]\n", cddlName(t.Name()), strings.Join(fields, ", "))
	case len(fields) == 0:
		fmt.Fprintf(&b, "%s = {}\n", cddlName(t.Name()))
	default:
		fmt.Fprintf(&b, "%s = {\n  %s\n}\n", cddlName(t.Name()), strings.Join(fields, "\n  "))
	}
	return b.String()
}

func cddlType(t reflect.Type, queue *[]reflect.Type) string {
	switch {
	case t == reflect.TypeFor[RawEntry]():
		return "entry"
	case t == reflect.TypeFor[Secret]():
		return "bstr"
	case t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		return fmt.Sprintf("bstr .size %d", t.Len())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "bstr"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return cddlType(t.Elem(), queue)
	case reflect.Slice:
		return "[* " + cddlType(t.Elem(), queue) + "]"
	case reflect.Struct:
		*queue = append(*queue, t)
		return cddlName(t.Name())
	case reflect.String:
		return "tstr"
	case reflect.Bool:
		return "bool"
	default:
		return "uint"
	}
}

// cddlName turns GroupInfo into group-info.
func cddlName(name string) string {
	var out []rune
	letters := []rune(name)
	for i, r := range letters {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			out = append(out, '-')
		}
		out = append(out, unicode.ToLower(r))
	}
	return string(out)
}

func TestNamesInTheDocument(t *testing.T) {
	for in, want := range map[string]string{"GroupInfo": "group-info", "HelloOK": "hello-ok", "ID": "id", "KeyPackagesLow": "key-packages-low", "MemoryKiB": "memory-ki-b"} {
		if got := cddlName(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
	if !slices.Contains(strings.Split(document(), "\n"), "ping = {}") {
		t.Error("the document lacks a request")
	}
}

// TestTheListsAreWhole holds the lists that the document and the tests of all
// bodies are made from against the methods in the sources: a body that is in no
// list would be in no test.
func TestTheListsAreWhole(t *testing.T) {
	listed := map[string]bool{}
	for _, r := range requests() {
		listed[reflect.TypeOf(r).Elem().Name()] = true
	}
	for _, e := range events() {
		listed[reflect.TypeOf(e).Elem().Name()] = true
	}
	found := 0
	for _, file := range []string{"session.go", "users.go", "rooms.go", "links.go", "events.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "Op" && f.Name.Name != "EventType" {
				continue
			}
			found++
			if of := f.Recv.List[0].Type.(*ast.Ident).Name; !listed[of] {
				t.Errorf("%s is in no list", of)
			}
		}
	}
	if found != len(listed) {
		t.Errorf("the sources have %d requests and events, the lists %d", found, len(listed))
	}
}
