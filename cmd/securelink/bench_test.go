package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/securelink-chat/securelink/loadgen"
)

// The program measures itself: every message is accepted and reaches everybody,
// and after a restart everybody is back, resumed. How fast is not asked here.
func TestBench(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process is stopped by a signal here")
	}
	program := filepath.Join(t.TempDir(), "securelink")
	build := exec.Command("go", "build", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"as fast as it goes", []string{"--connects", "12", "--restart"}},
		{"at a rate", []string{"--rate", "100"}},
		{"over Socket.IO", []string{"--socketio", "--restart"}},
		{"with a gateway apart", []string{"--socketio", "--apart"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			bench := exec.CommandContext(t.Context(), program, append([]string{"bench", "--clients", "12", "--rooms", "3", "--duration", "300ms", "--keys", "1", "--json"}, c.args...)...)
			bench.Stdout, bench.Stderr = &out, &errOut
			if err := bench.Run(); err != nil {
				t.Fatalf("%v\n%s", err, errOut.String())
			}
			var r loadgen.Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v in %s", err, out.String())
			}
			m := r.Messages
			if m == nil || m.Sent == 0 || m.Accepted != m.Sent || m.Deliveries != 4*m.Accepted || m.Missing != 0 || m.Cuts != 0 || len(m.Refusals) != 0 {
				t.Fatalf("messages: %+v", m)
			}
			if m.Delivery.P50 <= 0 || m.Delivery.P50 > m.Delivery.P99 || m.Delivery.P99 > m.Delivery.Max {
				t.Errorf("times: %v", m.Delivery)
			}
			if want := map[string]string{"over Socket.IO": "Socket.IO", "with a gateway apart": "Socket.IO, gateway and core apart"}[c.name]; want != "" && r.Run.Transport != want {
				t.Errorf("over %q, want %q", r.Run.Transport, want)
			}
			if len(r.Limits) != len(benchLimits) {
				t.Errorf("%d limits are shown as changed, want %d", len(r.Limits), len(benchLimits))
			}
			if runtime.GOOS == "linux" && (r.Idle == nil || r.Idle.LiveBytes <= 0 || r.Fsync == nil) {
				t.Errorf("memory %+v, fsync %+v", r.Idle, r.Fsync)
			}
			if slices.Contains(c.args, "--rate") && m.Sent != 30 {
				t.Errorf("%d messages in 0.3 s at 100 a second, want 30", m.Sent)
			}
			if slices.Contains(c.args, "--connects") && (r.Full == nil || r.Full.Count != 12 || r.Full.Failed != 0 || r.Resumed == nil || r.Resumed.Count != 12 || r.NotResumed != 0) {
				t.Errorf("connections: full %+v, resumed %+v, %d not resumed", r.Full, r.Resumed, r.NotResumed)
			}
			if slices.Contains(c.args, "--restart") && (r.Restart == nil || r.Restart.Clients != 12 || r.Restart.Resumed != 12) {
				t.Errorf("restart: %+v", r.Restart)
			}
		})
	}
}

func TestBenchRefusesWhatCannotBe(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "--server", "localhost", "--restart"},
		{"bench", "--server", "localhost", "--pin", "12"},
		{"bench", "--server", "a/b"},
		{"bench", "--server", "ftp://localhost", "--socketio"},
		{"bench", "--server", "http://localhost:1", "--apart"},
		{"bench", "--apart"},
		{"bench", "--server", "localhost", "--rooms", "1000"},
	} {
		if got := run(t.Context(), args); got != exitUsage {
			t.Errorf("%v: exit code %d, want %d", args, got, exitUsage)
		}
	}
}
