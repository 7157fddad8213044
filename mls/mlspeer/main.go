// Command mlspeer plays any number of MLS clients for another program: one
// JSON object a line on standard input, one answer a line on standard output,
// strictly in order. It exists so that other implementations of RFC 9420 can
// be run against package mls, and is no part of the product.
//
// Bytes are standard base64, messages are complete MLSMessage structures. A
// request is {"cmd": "...", "id": any, ...}; the answer is {"ok": true, ...} or
// {"ok": false, "error": "..."}, with the request's id. A group handle stands
// for one client in one group; answers that change a group carry its state.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine bounds one request: a tree of a thousand post-quantum leaves in
// base64 is about 5 MiB.
const maxLine = 64 << 20

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mlspeer:", err)
		os.Exit(1)
	}
}

// serve answers each line of in with one line on out, until in ends.
func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<16), maxLine)
	w := bufio.NewWriter(out)
	p := newPeer()
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		answer, err := json.Marshal(p.answer(line))
		if err != nil {
			return fmt.Errorf("encode an answer: %w", err)
		}
		w.Write(answer)
		w.WriteByte('\n')
		if err := w.Flush(); err != nil {
			return fmt.Errorf("write an answer: %w", err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read a request: %w", err)
	}
	return nil
}

// answer handles one request. Whatever is wrong with it becomes ok: false: a
// peer that dies hides which of the two sides was at fault.
func (p *peer) answer(line []byte) (answer map[string]any) {
	var req request
	err := json.Unmarshal(line, &req)
	defer func() {
		if r := recover(); r != nil {
			answer = map[string]any{"ok": false, "id": req.ID, "error": fmt.Sprintf("panic: %v", r)}
		}
	}()
	if err == nil {
		command, known := commands[req.Cmd]
		if !known {
			err = fmt.Errorf("unknown command %q", req.Cmd)
		} else {
			answer, err = command(p, &req)
		}
	}
	if err != nil {
		return map[string]any{"ok": false, "id": req.ID, "error": err.Error()}
	}
	if answer == nil {
		answer = map[string]any{}
	}
	answer["ok"] = true
	answer["id"] = req.ID
	return answer
}

var errNoGroup = errors.New("no such group")
