package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// assets answers requests for the web app's files from memory.
type assets struct {
	files map[string]*asset // by URL path without the leading slash
}

// asset is one file of the app, with its Brotli form where there is one.
type asset struct {
	plain, brotli []byte
	contentType   string
	etag          string
	immutable     bool
}

// contentTypes are those that the app has; the system's table is not asked, for
// it differs between machines.
var contentTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/x-icon",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".mjs":         "text/javascript; charset=utf-8",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm", // what WebAssembly.instantiateStreaming insists on
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

const (
	// forever is for names with a hash in them: another content is another name.
	forever = "public, max-age=31536000, immutable"
	// assetFolder holds the files with such names.
	assetFolder = "assets/"
)

// loadAssets reads the app. A nil file system is an app without files.
func loadAssets(files fs.FS) (*assets, error) {
	a := &assets{files: map[string]*asset{}}
	if files == nil {
		return a, nil
	}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, ".br") {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		packed, err := fs.ReadFile(files, name+".br")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		kind := contentTypes[path.Ext(name)]
		if kind == "" {
			kind = "application/octet-stream"
		}
		sum := sha256.Sum256(content)
		a.files[name] = &asset{
			plain: content, brotli: packed, contentType: kind,
			etag:      hex.EncodeToString(sum[:12]),
			immutable: strings.HasPrefix(name, assetFolder),
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: web app: %w", err)
	}
	return a, nil
}

// ServeHTTP answers with a file, or with the page for a path that is none: the
// app itself reads what comes after the host, as /j/ID of an invite link.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	file := a.files[name]
	if file == nil {
		// A missing script must not come as a page: the browser would keep it.
		if strings.HasPrefix(name, assetFolder) || path.Ext(name) != "" || strings.HasPrefix(name, "api/") {
			http.NotFound(w, r)
			return
		}
		if file = a.files["index.html"]; file == nil {
			plain(w, r, http.StatusNotFound, "built without the web app; run make build\n")
			return
		}
	}
	file.serve(w, r)
}

func (f *asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	if f.immutable {
		h.Set("Cache-Control", forever)
	}
	body, etag := f.plain, f.etag
	if f.brotli != nil {
		h.Add("Vary", "Accept-Encoding")
		if acceptsBrotli(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "br")
			body, etag = f.brotli, f.etag+"-br"
		}
	}
	h.Set("Etag", `"`+etag+`"`)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsBrotli reads an Accept-Encoding header (RFC 9110, section 12.5.3). The
// star is not enough: who wants Brotli says so.
func acceptsBrotli(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, err := mime.ParseMediaType("x/" + strings.TrimSpace(part))
		if err != nil || coding != "x/br" {
			continue
		}
		q := strings.TrimRight(params["q"], "0")
		return q != "0." && q != "" || params["q"] == ""
	}
	return false
}
