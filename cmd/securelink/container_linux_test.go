package main

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// containerfile is what the image's file says, by instruction.
func containerfile(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	text := strings.ReplaceAll(deployed(t, "Containerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		instruction, rest, _ := strings.Cut(line, " ")
		out[instruction] = append(out[instruction], rest)
	}
	return out
}

// The image takes what the build makes and stages that it has, and starts what
// the binary has.
func TestContainerfileFitsTheRepository(t *testing.T) {
	file := containerfile(t)
	known := []string{"FROM", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
	for instruction := range file {
		if !strings.Contains(strings.Join(known, " "), instruction) {
			t.Errorf("%s is no instruction that is used here", instruction)
		}
	}
	if last := file["FROM"][len(file["FROM"])-1]; last != "scratch" {
		t.Errorf("the image is made from %s", last)
	}
	build, err := os.ReadFile("../../ci/build.sh")
	if err != nil {
		t.Fatal(err)
	}
	stage := regexp.MustCompile(`--from=(\w+)`)
	for _, copied := range file["COPY"] {
		fields := strings.Fields(copied)
		if from := stage.FindStringSubmatch(copied); from != nil {
			if !strings.HasSuffix(file["FROM"][0], " AS "+from[1]) {
				t.Errorf("COPY %s: there is no such stage", copied)
			}
		} else if !strings.Contains(string(build), "-o "+fields[0]+" ") {
			t.Errorf("COPY %s: the build does not make %s", copied, fields[0])
		}
	}
	words := regexp.MustCompile(`"([^"]+)"`)
	for _, instruction := range []string{"HEALTHCHECK", "CMD"} {
		var args []string
		for _, word := range words.FindAllStringSubmatch(file[instruction][0], -1) {
			args = append(args, strings.TrimPrefix(word[1], "/securelink"))
		}
		if cmd, _, err := newRoot().Find(args[len(args)-1:]); err != nil || cmd.Name() == "securelink" {
			t.Errorf("%s: %q is no command", instruction, args)
		}
	}
}

// The binary runs as it would in the image: alone under a root of its own, as
// nobody, with nothing to write to but the volume.
func TestServerRunsAloneInItsRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make another root")
	}
	root, err := os.MkdirTemp("", "securelink-root-") // the test's own folder is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	build := exec.Command("go", "build", "-o", filepath.Join(root, "securelink"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	const nobody = 65532
	volume := filepath.Join(root, "data")
	if err := errors.Join(os.Chmod(root, 0o755), os.Mkdir(volume, 0o755), os.Chown(volume, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	port := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	env := strings.Fields(containerfile(t)["ENV"][0])
	for i, v := range env {
		if strings.Contains(v, "_LISTEN=") { // the image's are for everybody
			name, _, _ := strings.Cut(v, "=")
			env[i] = name + "=" + port()
		}
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "/securelink", args...)
		cmd.Env, cmd.Dir = env, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	server := inside("serve")
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, ready := bufio.NewScanner(out), false
	for !ready && lines.Scan() {
		ready = strings.HasPrefix(lines.Text(), "Ready.")
	}
	if !ready {
		t.Fatalf("it does not come up: %v", server.Wait())
	}
	if got, err := inside("healthcheck").CombinedOutput(); err != nil {
		t.Errorf("the health check: %v\n%s", err, got)
	}
	if got, err := inside("admin", "status", "show").CombinedOutput(); err != nil || !strings.Contains(string(got), "yes") {
		t.Errorf("admin status: %v\n%s", err, got)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := server.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if got, err := inside("healthcheck").CombinedOutput(); err == nil {
		t.Errorf("the health check of a server that is gone is good: %s", got)
	}
}
