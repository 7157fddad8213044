//go:build !(js && wasm)

package main

import "os"

// main of any other platform says what this is for.
func main() {
	os.Stderr.WriteString("securelink-wasm is built for a browser: GOOS=js GOARCH=wasm\n")
	os.Exit(1)
}
