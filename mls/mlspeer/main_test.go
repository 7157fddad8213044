package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// play sends requests one a line and returns the answers.
func play(t *testing.T, requests ...map[string]any) []map[string]any {
	t.Helper()
	var in, out bytes.Buffer
	for _, r := range requests {
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	if err := serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	var answers []map[string]any
	for line := range strings.Lines(out.String()) {
		var a map[string]any
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("answer %q: %v", line, err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(requests) {
		t.Fatalf("%d answers to %d requests", len(answers), len(requests))
	}
	return answers
}

// converse is a peer that is asked one thing after the other.
func converse(t *testing.T) func(cmd string, fields map[string]any) map[string]any {
	p := newPeer()
	return func(cmd string, fields map[string]any) map[string]any {
		t.Helper()
		r := map[string]any{"cmd": cmd}
		for k, v := range fields {
			r[k] = v
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(p.answer(line))
		if err != nil {
			t.Fatal(err)
		}
		var answer map[string]any
		if err := json.Unmarshal(encoded, &answer); err != nil {
			t.Fatal(err)
		}
		if answer["ok"] != true {
			t.Fatalf("%s: %v", cmd, answer["error"])
		}
		return answer
	}
}

func TestBadLinesAreAnswered(t *testing.T) {
	var out bytes.Buffer
	in := strings.NewReader("not json\n\n{\"cmd\":\"dance\",\"id\":7}\n{\"cmd\":\"state\",\"group\":\"g9\",\"id\":\"x\"}\n{\"cmd\":\"hello\",\"id\":[1]}\n")
	if err := serve(in, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("want 4 answers, got %q", lines)
	}
	for i, want := range []string{`"ok":false`, `"id":7,"ok":false`, `"id":"x","ok":false`, `"id":[1],"ok":true`} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("answer %d is %s, want %s in it", i, lines[i], want)
		}
	}
}

// TestStory drives every command once: three clients, one of whom joins from
// outside, talk, lose one and save themselves.
func TestStory(t *testing.T) {
	for _, suite := range []int{1, 0xF602} {
		t.Run(fmt.Sprintf("suite %d", suite), func(t *testing.T) { story(t, suite) })
	}
}

func story(t *testing.T, suite int) {
	ask := converse(t)
	type fields = map[string]any
	equal := func(a, b fields) {
		t.Helper()
		for _, k := range []string{"epoch", "epochAuthenticator", "treeHash", "confirmedTranscriptHash"} {
			if a[k] == nil || a[k] != b[k] {
				t.Fatalf("%s differs: %v and %v", k, a[k], b[k])
			}
		}
	}
	alice := ask("createGroup", fields{"suite": suite, "identity": "alice", "groupId": "Z3JvdXA="})["group"]
	bobKey := ask("newKeyPackage", fields{"suite": suite, "identity": "bob"})
	added := ask("addMembers", fields{"group": alice, "keyPackages": []any{bobKey["keyPackage"]}, "tree": false})
	joined := ask("joinWelcome", fields{"welcome": added["welcome"], "ratchetTree": added["ratchetTree"], "handle": bobKey["handle"]})
	equal(added, joined)
	bob := joined["group"]

	info := ask("exportGroupInfo", fields{"group": alice})
	outside := ask("externalJoin", fields{"groupInfo": info["groupInfo"], "suite": suite, "identity": "carol"})
	carol := outside["group"]
	for _, g := range []any{alice, bob} {
		equal(outside, ask("process", fields{"group": g, "message": outside["commit"]}))
	}

	sealed := ask("encrypt", fields{"group": carol, "data": "aGV5", "aad": "YWFk"})["message"]
	if got := ask("decrypt", fields{"group": alice, "message": sealed}); got["data"] != "aGV5" || got["aad"] != "YWFk" {
		t.Fatalf("alice read %v", got)
	}

	for _, g := range []any{alice, bob, carol} {
		ask("addPsk", fields{"group": g, "pskId": "cHNr", "psk": "c2VjcmV0"})
	}
	proposal := ask("propose", fields{"group": bob, "proposal": fields{"type": "psk", "id": "cHNr"}, "public": true})["message"]
	for _, g := range []any{alice, carol} {
		if got := ask("process", fields{"group": g, "message": proposal}); got["kind"] != "proposal" {
			t.Fatalf("kind %v", got["kind"])
		}
	}
	// A commit that is made and dropped changes nothing; one that comes back
	// from the log is merged by its own author.
	before := ask("state", fields{"group": carol})
	ask("update", fields{"group": carol, "merge": false})
	equal(before, ask("dropPending", fields{"group": carol}))
	committed := ask("commit", fields{"group": carol, "merge": false})
	after := ask("process", fields{"group": carol, "message": committed["commit"]})
	for _, g := range []any{alice, bob} {
		equal(after, ask("process", fields{"group": g, "message": committed["commit"]}))
	}

	saved := ask("saveGroup", fields{"group": bob})["saved"]
	again := ask("loadGroup", fields{"saved": saved})
	equal(again, ask("cloneGroup", fields{"group": again["group"]}))
	secret := func(g any) any {
		return ask("exporter", fields{"group": g, "label": "l", "context": "Yw==", "length": 32})["secret"]
	}
	if secret(alice) != secret(again["group"]) {
		t.Fatal("a reloaded member exports another secret")
	}

	members := ask("listMembers", fields{"group": alice})["members"].([]any)
	if len(members) != 3 {
		t.Fatalf("%d members, want 3", len(members))
	}
	removed := ask("remove", fields{"group": alice, "leafIndex": joined["leafIndex"]})
	if got := ask("process", fields{"group": bob, "message": removed["commit"]}); got["active"] != "removedFromGroup" {
		t.Fatalf("bob is %v after his removal", got["active"])
	}
	equal(removed, ask("process", fields{"group": carol, "message": removed["commit"]}))
}

func TestPlayIsInOrder(t *testing.T) {
	answers := play(t, map[string]any{"cmd": "hello", "id": 1}, map[string]any{"cmd": "nothing", "id": 2}, map[string]any{"cmd": "hello", "id": 3})
	for i, a := range answers {
		if a["id"] != float64(i+1) {
			t.Errorf("answer %d has id %v", i, a["id"])
		}
	}
}
