package securelink

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// labelPrefix begins everything that is hashed, derived, signed or sealed in
// SecureLink: what separates two uses of one key is the rest.
const labelPrefix = "SecureLink/1 "

// twice are the labels that stand in two packages because neither may import
// the other and both must compute the same bytes.
var twice = map[string][]string{
	"SecureLink/1 log":    {"room", "wire"}, // the chain over a room's log: the core writes it, members check it
	"SecureLink/1 entry":  {"room", "wire"},
	"SecureLink/1 direct": {"room", "wire"}, // a direct chat's id: the core refuses another one, joiners too
}

// TestLabelsAreUnique lists every label of the product and fails when one is
// used in two places: two meanings under one label are how a signature for one
// purpose becomes a signature for another.
func TestLabelsAreUnique(t *testing.T) {
	places := map[string][]string{}
	for folder := range ours(t) {
		files, err := filepath.Glob(filepath.Join(".", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, label := range labelsIn(t, name) {
				places[label] = append(places[label], folder)
			}
		}
	}
	for _, label := range slices.Sorted(maps.Keys(places)) {
		t.Logf("%-32q %v", label, places[label])
		folders := slices.Sorted(slices.Values(places[label]))
		if len(folders) > 1 && !slices.Equal(folders, twice[label]) {
			t.Errorf("label %q stands in %d places (%v): name it once, or give the second use its own label", label, len(folders), folders)
		}
		if strings.ContainsRune(label, 0) {
			t.Errorf("label %q holds a zero byte inside", label)
		}
	}
	if len(places) == 0 {
		t.Fatal("no label found: the test looks in the wrong place")
	}
}

// labelsIn are the string literals of a file that begin with the prefix,
// without the zero byte that may end them.
func labelsIn(t *testing.T, name string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(literal.Value)
		if err == nil && strings.HasPrefix(text, labelPrefix) && text != labelPrefix {
			labels = append(labels, strings.TrimSuffix(text, "\x00"))
		}
		return true
	})
	return labels
}
