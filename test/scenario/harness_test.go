// Package scenario tells stories with the real binary: servers and clients as
// processes, as people run them.
package scenario

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is for machines that are busy with other things.
const patience = 90 * time.Second

// binary is built once for all stories.
var binary string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "securelink-scenario")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(folder, "securelink")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/securelink")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// sources looks at every file that the binary is made of. The go command notes
// what a test looks at, so a change there makes a kept result void; the build
// above is beyond its sight.
var sources = sync.OnceValue(func() error {
	const files = `{{if not .Standard}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", files, "../../cmd/securelink").Output()
	if err != nil {
		return fmt.Errorf("list the sources: %w", err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if _, err := os.Stat(name); err != nil {
			return err
		}
	}
	return nil
})

// process is a running securelink whose output is read as it comes.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan struct{}

	mu      sync.Mutex
	out     bytes.Buffer
	changed chan struct{}
	at      int // how far the story has come in what it prints
}

// start runs securelink with an environment of its own.
func start(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	if err := sources(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append(os.Environ(), env...)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in = in
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// expect waits until the process has printed what matches, and returns it.
func (p *process) expect(pattern string) []string {
	p.t.Helper()
	found, _ := p.await(pattern, 0)
	return found
}

// then is expect for what comes after all that was waited for with then before.
func (p *process) then(pattern string) []string {
	p.t.Helper()
	found, end := p.await(pattern, p.at)
	p.at = end
	return found
}

// await waits for a match from a place of the output on, and says where the
// line that it is in ends.
func (p *process) await(pattern string, from int) (found []string, end int) {
	p.t.Helper()
	re := regexp.MustCompile(`(?m)` + pattern)
	deadline := time.After(patience)
	for ended := false; ; {
		p.mu.Lock()
		text, changed := p.out.String(), p.changed
		p.mu.Unlock()
		if at := re.FindStringSubmatchIndex(text[from:]); at != nil {
			end = from + at[1]
			if rest := strings.IndexByte(text[end:], '\n'); rest >= 0 {
				end += rest + 1
			}
			return re.FindStringSubmatch(text[from:]), end
		}
		if ended {
			p.t.Fatalf("%s ended without %q:\n%s", p.name, pattern, p.text())
		}
		select {
		case <-changed:
		case <-p.done:
			ended = true
		case <-deadline:
			p.t.Fatalf("%s did not print %q:\n%s", p.name, pattern, p.text())
		}
	}
}

// says types a message and waits until the others have read it.
func (p *process) says(text string, others ...*process) {
	p.t.Helper()
	p.types(text)
	p.then(`^You: ` + regexp.QuoteMeta(text) + `$`)
	for _, other := range others {
		other.then(`: ` + regexp.QuoteMeta(text) + `$`)
	}
}

// types writes a line to the process.
func (p *process) types(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatalf("%s takes no input: %v\n%s", p.name, err, p.text())
	}
}

// ends waits for the process and returns its exit code.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s does not end:\n%s", p.name, p.text())
		return -1
	}
}

// quits closes the input and wants a clean end.
func (p *process) quits() {
	p.t.Helper()
	p.types("/quit")
	if code := p.ends(); code != 0 {
		p.t.Errorf("%s ended with code %d:\n%s", p.name, code, p.text())
	}
}

// kill ends the process as a power cut does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// world is a server with its data, the people's profiles, and the wire
// between, which an attacker reads.
type world struct {
	t      *testing.T
	folder string
	data   string // of the server
	port   string // of the server
	limits []string
	server *process
	tap    net.Listener
	conns  sync.WaitGroup

	mu   sync.Mutex
	seen bytes.Buffer // all that went over the wire, both ways
}

// newWorld starts a server. limits raise what a story needs more of; people in
// stories type faster than people.
func newWorld(t *testing.T, limits ...string) *world {
	t.Helper()
	w := &world{t: t, folder: t.TempDir(), limits: append([]string{"message-burst=100000", "message-rate=100000"}, limits...)}
	w.data = filepath.Join(w.folder, "server")
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.port = probe.Addr().String()
	probe.Close()
	if w.tap, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.conns.Go(w.listen)
	t.Cleanup(func() {
		w.tap.Close()
		w.conns.Wait()
	})
	w.serve()
	return w
}

func (w *world) serve() {
	w.t.Helper()
	args := []string{"serve", "--listen", w.port, "--web", "", "--data", w.data, "--log", "debug"}
	for _, l := range w.limits {
		args = append(args, "--limit", l)
	}
	w.server = start(w.t, "server", nil, args...)
	w.server.expect(`^Ready`)
}

// listen passes connections on and keeps what goes by.
func (w *world) listen() {
	for {
		here, err := w.tap.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("tcp", w.port)
		if err != nil {
			here.Close()
			continue
		}
		w.conns.Go(func() { w.pass(here, there) })
		w.conns.Go(func() { w.pass(there, here) })
	}
}

func (w *world) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		w.mu.Lock()
		w.seen.Write(buffer[:n])
		w.mu.Unlock()
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

func (w *world) home(name string) []string {
	return []string{"SECURELINK_HOME=" + filepath.Join(w.folder, "home-"+name)}
}

// chat starts somebody's line mode.
func (w *world) chat(name string, args ...string) *process {
	w.t.Helper()
	return start(w.t, name, w.home(name), append([]string{"chat", w.tap.Addr().String(), "--name", name}, args...)...)
}

// joins starts somebody in the Lounge and waits until they are in.
func (w *world) joins(name string) *process {
	w.t.Helper()
	p := w.chat(name)
	p.expect(`^You are in Lounge`)
	return p
}

// visits starts somebody who was given a link, and has nothing else.
func (w *world) visits(name, link string) *process {
	w.t.Helper()
	return start(w.t, name, w.home(name), "chat", link, "--name", name)
}

// account makes somebody an account with a password and starts them in the
// Lounge. The login name is the name in small letters.
func (w *world) account(name string) *process {
	w.t.Helper()
	p := w.chat(name, "--login", strings.ToLower(name), "--register")
	p.types("correct horse " + name)
	p.expect(`^You are in Lounge`)
	return p
}

// brings lets somebody invite others by login name to the room that they are
// in, and waits until all are there.
func (p *process) brings(title string, guests ...*process) {
	p.t.Helper()
	for _, guest := range guests {
		p.types("/invite " + strings.ToLower(guest.name))
		guest.then("^" + p.name + " invites you to " + title)
		guest.types("/accept " + title)
		guest.then("^You are in " + title)
		p.then("^" + guest.name + " has joined the chat")
		guest.says(guest.name+" is here", p) // once somebody has confirmed them
	}
}

// runs runs a command of somebody to its end.
func (w *world) runs(name string, args ...string) (stdout string, code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), w.home(name)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.Output()
	if err != nil {
		w.t.Logf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// sends sends a text of any bytes as somebody, who becomes a guest for it.
func (w *world) sends(name, text string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), binary, "send", "--server", w.tap.Addr().String(), "--room", "lounge", "--name", name, "-")
	cmd.Env = append(os.Environ(), w.home(name)...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%s cannot send %.40q: %v\n%s", name, text, err, out)
	}
}

// held is all that the server keeps and prints.
func (w *world) held() []byte {
	w.t.Helper()
	var all []byte
	err := filepath.WalkDir(w.data, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		all = append(all, raw...)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return append(all, w.server.text()...)
}

// lines splits what a command printed.
func lines(text string) []string {
	var all []string
	scanner := bufio.NewScanner(strings.NewReader(text))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		all = append(all, scanner.Text())
	}
	return all
}
