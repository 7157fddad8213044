package main

import (
	"bytes"
	"os"
	"testing"
)

// TestPageSpeaksAsTheEngine wants the page's types to be those of the engine as
// it is now.
func TestPageSpeaksAsTheEngine(t *testing.T) {
	const kept = "../../web/src/engine/types.gen.ts"
	want := new(bytes.Buffer)
	if err := generate(want, "../../client/api.go"); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not what client/api.go says now; run: go run ./internal/tsgen client/api.go > web/src/engine/types.gen.ts", kept)
	}
}

func TestJSName(t *testing.T) {
	for in, want := range map[string]string{"ID": "id", "RetryMS": "retryMS", "QR": "qr", "Op": "op", "ReplyTo": "replyTo", "PlainSize": "plainSize", "On": "on"} {
		if got := jsName(in); got != want {
			t.Errorf("jsName(%q) = %q, want %q", in, got, want)
		}
	}
}
