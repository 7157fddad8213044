package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/loadgen"
)

// benchServer is a server that bench started: one process, or a core and a
// gateway.
type benchServer struct {
	o      *benchOptions
	folder string // removed at the end, unless empty

	terminals, gateways, web string // where they listen
	private                  []string
	processes                []*benchProcess // those that run, in the order of their start
}

// ownServer starts this program as a server, and says in the configuration
// what is known of it.
func (o *benchOptions) ownServer(ctx context.Context) (*benchServer, error) {
	if o.apart && !o.socketio {
		return nil, fail(exitUsage, errors.New("--apart is for --socketio: terminals come to the core without a gateway"), "")
	}
	s := &benchServer{o: o, private: make([]string, 2)}
	if o.data == "" {
		folder, err := os.MkdirTemp("", "securelink-bench-")
		if err != nil {
			return nil, fail(exitInternal, err, "")
		}
		s.folder, o.data = folder, folder
	}
	for _, address := range []*string{&s.terminals, &s.gateways, &s.web, &s.private[0], &s.private[1]} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return nil, fail(exitNetwork, errors.Join(err, s.close()), "")
		}
	}
	if err := s.start(ctx); err != nil {
		return nil, fail(exitInternal, errors.Join(fmt.Errorf("the server does not start: %w", err), s.close()), "")
	}
	if o.overTCP(s.terminals); o.socketio {
		if err := o.overSocketIO("http://" + s.web); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	o.Process = loadgen.Process{PIDs: s.pids(), Folder: o.data, Restart: s.restart, Live: s.live}
	if o.profile != "" {
		o.Process.Profile = s.takeProfile
	}
	return s, nil
}

// freeAddress is an address on this machine that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start runs the server and waits until it is ready.
func (s *benchServer) start(ctx context.Context) error {
	data := filepath.Join(s.o.data, "server")
	common := []string{"--data", data, "--set", "log.level=error"}
	for _, l := range benchLimits {
		common = append(common, "--limit", l.String()+"="+strconv.Itoa(benchLimit))
	}
	core := []string{"serve", "--listen", s.terminals, "--web", "", "--metrics", s.private[0]}
	switch {
	case s.o.apart:
		core = []string{"core", "--listen", s.terminals, "--gateway-listen", s.gateways, "--metrics", s.private[0]}
	case s.o.socketio:
		core[4] = s.web
	}
	fingerprint, err := s.run(ctx, append(core, common...), "Ready.")
	if err != nil {
		return err
	}
	if _, err := hex.Decode(s.o.Pin[:], []byte(fingerprint)); err != nil {
		return err
	}
	if s.o.apart {
		gateway := []string{"gateway", "--core", s.gateways, "--listen", s.web, "--metrics", s.private[1]}
		_, err = s.run(ctx, append(gateway, common...), "Core:")
	}
	return err
}

// run starts one process, waits for the line that says that it is ready, and
// returns the fingerprint that it printed before.
func (s *benchServer) run(ctx context.Context, args []string, ready string) (fingerprint string, err error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	args = append([]string{program}, args...)
	if s.o.cpus != "" {
		args = append([]string{"taskset", "-c", s.o.cpus}, args...)
	}
	p, err := startBenchProcess(args, ready)
	if err != nil {
		return "", err
	}
	s.processes = append(s.processes, p)
	select {
	case fingerprint = <-p.ready:
		return fingerprint, nil
	case err := <-p.exited:
		p.exited <- err
		return "", fmt.Errorf("it ended: %w", err)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *benchServer) pids() (out []int) {
	for _, p := range s.processes {
		out = append(out, p.cmd.Process.Pid)
	}
	return out
}

// stop ends what runs, the last that was started first.
func (s *benchServer) stop() (err error) {
	for len(s.processes) > 0 {
		last := len(s.processes) - 1
		err = errors.Join(err, s.processes[last].stop())
		s.processes = s.processes[:last]
	}
	return err
}

func (s *benchServer) close() error {
	err := s.stop()
	if s.folder != "" {
		err = errors.Join(err, os.RemoveAll(s.folder))
	}
	return err
}

func (s *benchServer) restart(ctx context.Context) ([]int, error) {
	if err := s.stop(); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s.pids(), nil
}

// live is the memory that all processes use, after a collection.
func (s *benchServer) live(ctx context.Context) (sum int64, err error) {
	for i := range s.processes {
		n, err := liveMemory(ctx, s.private[i])
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// takeProfile profiles the core.
func (s *benchServer) takeProfile(ctx context.Context, d time.Duration) error {
	raw, err := fetchPrivate(ctx, s.private[0], fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(d.Seconds()))))
	if err != nil {
		return err
	}
	return os.WriteFile(s.o.profile, raw, 0o600)
}

// benchProcess is one process of a server.
type benchProcess struct {
	cmd    *exec.Cmd
	ready  chan string // gets the fingerprint, if it printed one
	exited chan error
}

func startBenchProcess(args []string, ready string) (*benchProcess, error) {
	p := &benchProcess{cmd: exec.Command(args[0], args[1:]...), ready: make(chan string, 1), exited: make(chan error, 1)}
	p.cmd.Stderr = os.Stderr
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewScanner(output)
		pin := ""
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "  Fingerprint   "); ok {
				pin = text
			}
			if strings.HasPrefix(lines.Text(), ready) {
				p.ready <- pin
			}
		}
		p.exited <- p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the process as an operator does, and after half a minute by force.
func (p *benchProcess) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.exited:
		return err
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the server did not stop"), p.cmd.Process.Kill(), <-p.exited)
	}
}

// fetchPrivate asks a private listener.
func fetchPrivate(ctx context.Context, address, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 64<<20))
}

// liveMemory asks for a profile of the heap, which collects garbage first; its
// text form ends with the runtime's figures. It asks twice: pools of buffers are
// given back at the second collection.
func liveMemory(ctx context.Context, address string) (int64, error) {
	const path = "/debug/pprof/heap?gc=1&debug=1"
	if _, err := fetchPrivate(ctx, address, path); err != nil {
		return 0, err
	}
	text, err := fetchPrivate(ctx, address, path)
	if err != nil {
		return 0, err
	}
	var sum int64
	found := 0
	for line := range strings.Lines(string(text)) {
		for _, name := range []string{"# HeapInuse = ", "# Stack = "} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				rest, _, _ = strings.Cut(strings.TrimSpace(rest), " ")
				n, err := strconv.ParseInt(rest, 10, 64)
				if err != nil {
					return 0, err
				}
				sum += n
				found++
			}
		}
	}
	if found != 2 {
		return 0, errors.New("the server does not say what memory it uses")
	}
	return sum, nil
}
