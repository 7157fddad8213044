package main

import "io/fs"

// appFiles is the built web app.
func appFiles() fs.FS { return nil }

// appHash is the hash of the app's files.
func appHash() string { return "" }
