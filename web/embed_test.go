package web

import (
	"io/fs"
	"testing"
	"testing/fstest"
)

// TestFreshCloneBuilds says what holds before and after the app is built: the
// folder is there, and Built tells the truth about it.
func TestFreshCloneBuilds(t *testing.T) {
	if _, err := fs.Stat(FS(), "README"); err != nil {
		t.Fatalf("the folder that keeps a fresh clone building is not there: %v", err)
	}
	_, err := fs.Stat(FS(), "index.html")
	if Built() != (err == nil) {
		t.Errorf("Built() = %v with index.html: %v", Built(), err)
	}
	if Built() {
		for _, name := range []string{"index.html.br", "icon.svg", "manifest.webmanifest"} {
			if _, err := fs.Stat(FS(), name); err != nil {
				t.Errorf("the built app lacks %s", name)
			}
		}
	}
}

func TestHashNamesTheContent(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	one := hashOf(fstest.MapFS{"index.html": file("a"), "b.js": file("b")})
	for what, app := range map[string]fstest.MapFS{
		"another content":         {"index.html": file("x"), "b.js": file("b")},
		"another name":            {"index.html": file("a"), "c.js": file("b")},
		"a file less":             {"index.html": file("a")},
		"content moved to a name": {"index.html": file("ab.js"), "b": file("b")},
	} {
		if hashOf(app) == one {
			t.Errorf("%s does not change the hash", what)
		}
	}
	again := fstest.MapFS{"b.js": file("b"), "index.html": file("a"), "b.js.br": file("z")}
	if hashOf(again) != one {
		t.Error("the order of adding, or a Brotli form, changes the hash")
	}
}
