package main

import (
	"bytes"
	"strings"
	"testing"
)

// The first help screen fits a terminal of 24 lines with its prompt.
func TestFirstHelpScreen(t *testing.T) {
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs(nil)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines >= 24 {
		t.Errorf("the first help screen has %d lines, want fewer than 24:\n%s", lines, out.String())
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("a line of %d columns: %q", len(line), line)
		}
	}
	for _, command := range newRoot().Commands() {
		if !command.Hidden && !strings.Contains(out.String(), command.Name()) {
			t.Errorf("%s is not on the first screen", command.Name())
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, exitOK},
		{[]string{"help"}, exitOK},
		{[]string{"nonsense"}, exitUsage},
		{[]string{"version", "--nonsense"}, exitUsage},
		{[]string{"version", "extra"}, exitUsage},
	} {
		if got := run(t.Context(), c.args); got != c.want {
			t.Errorf("securelink %s: exit code %d, want %d", strings.Join(c.args, " "), got, c.want)
		}
	}
}
