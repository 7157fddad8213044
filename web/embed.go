// Package web holds the web app: the sources of the page (Svelte and strict
// TypeScript, in src/), and, once ci/build.sh has built them, the files that the
// gateway serves. It knows nothing of the rest and nothing of it runs on the
// server.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

// The folder always holds a README, so that a fresh clone builds without Node.
//
//go:embed all:dist
var built embed.FS

// FS returns the app: index.html, assets/NAME-HASH.EXT and what a browser asks
// for by itself (icon.svg, manifest.webmanifest); beside each FILE lies FILE.br,
// the same in Brotli.
func FS() fs.FS {
	app, err := fs.Sub(built, "dist")
	if err != nil {
		// "dist" is a valid path, and that is all Sub checks.
		panic(fmt.Sprintf("web: %v", err))
	}
	return app
}

// Built reports whether the binary holds the app.
func Built() bool {
	_, err := fs.Stat(FS(), "index.html")
	return err == nil
}

// Hash returns 64 hexadecimal digits that name this build of the app: SHA-256
// over, for every file but the Brotli forms in the order of their paths, u32
// length and path, u64 length and content. The page shows it, and whoever builds
// the same sources with the same tools gets the same.
var Hash = sync.OnceValue(func() string {
	return hashOf(FS())
})

func hashOf(app fs.FS) string {
	sum := sha256.New()
	err := fs.WalkDir(app, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, ".br") {
			return err
		}
		content, err := fs.ReadFile(app, name)
		if err != nil {
			return err
		}
		head := binary.BigEndian.AppendUint32(nil, uint32(len(name)))
		head = append(head, name...)
		head = binary.BigEndian.AppendUint64(head, uint64(len(content)))
		sum.Write(head)
		sum.Write(content)
		return nil
	})
	if err != nil {
		// The files are part of the binary: reading them cannot fail.
		panic(fmt.Sprintf("web: hash the app: %v", err))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
