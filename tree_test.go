package securelink

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/securelink-chat/securelink"

// mayImport says which packages of ours each package may import, besides
// itself, its own subfolders' parent and internal/. A package that is not
// listed fails the test: whoever adds one says here what it may know.
// "*" is for the composers.
var mayImport = map[string][]string{
	"":                     {},
	"seal":                 {},
	"link":                 {"seal"},
	"mls":                  {},
	"identity":             {},
	"wire":                 {},
	"room":                 {"mls", "identity", "seal"},
	"socketio":             {"socketio/engineio"},
	"socketio/engineio":    {},
	"core":                 {"wire", "link", "identity"},
	"store/mem":            {"core", "wire"},
	"store/sqlite":         {"core", "wire"},
	"store/storetest":      {"core", "wire"},
	"bus/local":            {"core"},
	"bus/bustest":          {"core"},
	"gateway":              {"socketio", "socketio/engineio"},
	"client":               {"room", "mls", "identity", "link", "wire"},
	"client/storagetest":   {"client"},
	"clientstore/sqlite":   {"client"},
	"dial":                 {"link"},
	"line":                 {"client"},
	"loadgen":              {"link", "wire", "dial"},
	"config":               {},
	"web":                  {},
	"cmd/securelink":       {"*"},
	"cmd/securelink-wasm":  {"*"},
	"mls/mlspeer":          {"mls"},
	"socketio/conformance": {"socketio", "socketio/engineio"},
}

// blind are the parts that the server is made of: nothing that they depend on,
// however far away, may be able to read a message.
var blind = []string{"core", "gateway", "store/mem", "store/sqlite", "bus/local"}

// unreadable are the packages that could read one.
var unreadable = []string{"mls", "room", "client"}

// heavy are standard packages that the engine in a browser must do without,
// because of their size.
var heavy = []string{"net/http", "encoding/json", "log/slog"}

// light are the packages that are built for a browser.
var light = []string{"seal", "link", "mls", "identity", "wire", "room", "client"}

// ours lists the module's packages by folder, with the imports of their
// non-test files.
func ours(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() && name != "." {
			if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") {
				return filepath.SkipDir
			}
			if nested, _ := filepath.Glob(filepath.Join(name, "go.mod")); len(nested) > 0 {
				return filepath.SkipDir
			}
		}
		if entry.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := strings.TrimPrefix(path.Dir(filepath.ToSlash(name)), ".")
		imports := found[folder]
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(imports, p) {
				imports = append(imports, p)
			}
		}
		found[folder] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestImports(t *testing.T) {
	for folder, imports := range ours(t) {
		if strings.HasPrefix(folder, "internal/") || strings.HasPrefix(folder, "test/") || folder == "test" {
			continue
		}
		allowed, listed := mayImport[folder]
		if !listed {
			t.Errorf("package %q is not in the table of imports: say what it may know", folder)
			continue
		}
		if slices.Contains(allowed, "*") {
			continue
		}
		for _, imported := range imports {
			inside, isOurs := strings.CutPrefix(imported, module+"/")
			if !isOurs || strings.HasPrefix(inside, "internal/") {
				continue
			}
			if !slices.Contains(allowed, inside) {
				t.Errorf("%s imports %s, which the design does not allow", folder, inside)
			}
		}
		for _, inside := range allowed {
			if !slices.Contains(imports, module+"/"+inside) {
				t.Errorf("%s may import %s and does not: take it out of the table", folder, inside)
			}
		}
	}
}

// TestEveryDependencyHasItsReason wants a line in doc/dependencies.md for each
// module that go.mod requires by itself, and each package of the web app.
func TestEveryDependencyHasItsReason(t *testing.T) {
	read := func(name string) string {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	document := read("doc/dependencies.md")
	modules := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read("go.mod"), -1)
	_, listed, _ := strings.Cut(read("web/package.json"), `"devDependencies"`)
	packages := regexp.MustCompile(`(?m)^    "(\S+)": "`).FindAllStringSubmatch(listed, -1)
	if len(modules) == 0 || len(packages) == 0 {
		t.Fatal("nothing is required: the test does not see what there is")
	}
	for _, one := range slices.Concat(modules, packages) {
		if !strings.Contains(document, one[1]) {
			t.Errorf("doc/dependencies.md does not say why %s is here", one[1])
		}
	}
}

// TestServerIsBlind asks the go command, not our own table, what the server
// is built from.
func TestServerIsBlind(t *testing.T) {
	present := ours(t)
	for _, folder := range blind {
		if _, ok := present[folder]; !ok {
			continue
		}
		deps := dependencies(t, folder, "")
		for _, forbidden := range unreadable {
			if slices.Contains(deps, module+"/"+forbidden) {
				t.Errorf("%s depends on %s: the server would hold code that can read", folder, forbidden)
			}
		}
	}
}

func TestBrowserEngineIsLight(t *testing.T) {
	present := ours(t)
	for _, folder := range light {
		if _, ok := present[folder]; !ok {
			continue
		}
		deps := dependencies(t, folder, "js")
		for _, forbidden := range heavy {
			if slices.Contains(deps, forbidden) {
				t.Errorf("%s depends on %s in a browser", folder, forbidden)
			}
		}
	}
}

func dependencies(t *testing.T, folder, goos string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "./"+folder)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if goos == "js" {
		cmd.Env = append(cmd.Env, "GOOS=js", "GOARCH=wasm")
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./%s: %v", folder, err)
	}
	return strings.Fields(string(out))
}

// TestPackageComments wants exactly one package comment in every package, so
// that a folder can be read as a sentence.
func TestPackageComments(t *testing.T) {
	for folder := range ours(t) {
		files, err := filepath.Glob(filepath.Join(".", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		comments := 0
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				comments++
			}
		}
		if comments != 1 {
			t.Errorf("package %q has %d package comments, want one", folder, comments)
		}
	}
}
