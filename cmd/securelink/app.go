package main

import (
	"io/fs"

	"github.com/securelink-chat/securelink/web"
)

// appFiles is the built web app.
func appFiles() fs.FS { return web.FS() }

// appHash is the hash of the app's files; empty in a binary without the app.
func appHash() string {
	if !web.Built() {
		return ""
	}
	return web.Hash()
}
