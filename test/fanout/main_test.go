//go:build unix

package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// Every message arrives and opens at every recipient; how fast is not asked.
func TestFanOut(t *testing.T) {
	program := filepath.Join(t.TempDir(), "fanout")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "--recipients", "5", "--batch", "3", "--duration", "100ms", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Deliveries int     `json:"deliveries"`
		CPU        float64 `json:"server_cpu_us_per_delivery"`
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Deliveries == 0 || r.Deliveries%3 != 0 || r.CPU <= 0 {
		t.Fatalf("%s: %v", out, err)
	}
}
