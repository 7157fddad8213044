//go:build unix

// Command fanout is the yardstick of the server's fan-out: it does what nobody
// who encrypts for each recipient can do without, and nothing else. A server
// process seals 800 bytes for each of its connections, by the same cipher as
// the link, and writes them; a load process reads and opens them.
//
//	go run ./test/fanout --recipients 1000 --duration 5s
//
// It prints deliveries a second and the server's processor time for each.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/securelink-chat/securelink/seal"
)

func main() {
	recipients := flag.Int("recipients", 1000, "connections that get every message")
	size := flag.Int("bytes", 800, "of a message")
	duration := flag.Duration("duration", 5*time.Second, "for how long")
	batch := flag.Int("batch", 1, "messages that share a record and a write")
	cpus := flag.String("server-cpus", "", "processors of the server, as taskset -c takes them")
	asJSON := flag.Bool("json", false, "print JSON")
	server := flag.Bool("serve", false, "be the server; for the program itself")
	flag.Parse()
	err := errors.New("fanout: a number is less than 1")
	switch {
	case *recipients < 1 || *size < 1 || *batch < 1 || *duration <= 0:
	case *server:
		err = serve(*recipients, *size, *batch, *duration)
	default:
		err = load(*recipients, *size, *batch, *duration, *cpus, *asJSON)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// connKey is the key of a connection; both sides know it, since only the work
// is of interest here.
func connKey(i int) *seal.Key {
	var k [32]byte
	binary.BigEndian.PutUint64(k[:], uint64(i)+1)
	return seal.NewKey(k, "fanout")
}

// serve waits for the recipients, sends to all for a while, and reports the
// messages sent and its processor time of that while in microseconds.
func serve(recipients, size, batch int, duration time.Duration) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(l.Addr())
	conns := make([]net.Conn, recipients)
	for i := range conns {
		if conns[i], err = l.Accept(); err != nil {
			return err
		}
		defer conns[i].Close()
	}
	before, begin := cpuTime(), time.Now()
	var sent atomic.Int64
	errs := make([]error, recipients)
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			key, seq := connKey(i), [8]byte{}
			message := make([]byte, size*batch)
			frame := make([]byte, 4, 4+seal.SealedLen(len(message)))
			for n := uint64(0); time.Since(begin) < duration && errs[i] == nil; n++ {
				binary.BigEndian.PutUint64(seq[:], n)
				frame = key.Seal(frame[:4], message, seq[:])
				binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
				_, errs[i] = conn.Write(frame)
				sent.Add(int64(batch))
			}
		})
	}
	all.Wait()
	fmt.Println(sent.Load(), (cpuTime() - before).Microseconds())
	return errors.Join(errs...)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load runs the server and its recipients, and prints what came of it.
func load(recipients, size, batch int, duration time.Duration, cpus string, asJSON bool) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{program, "--serve", "--recipients", strconv.Itoa(recipients), "--bytes", strconv.Itoa(size), "--batch", strconv.Itoa(batch), "--duration", duration.String()}
	if cpus != "" {
		args = append([]string{"taskset", "-c", cpus}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return errors.Join(errors.New("fanout: the server does not start"), cmd.Wait())
	}
	address := lines.Text()
	var opened atomic.Int64
	errs := make([]error, recipients)
	var all sync.WaitGroup
	var first atomic.Int64 // when the first message came, in Unix nanoseconds
	for i := range recipients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
		}
		all.Go(func() {
			defer conn.Close()
			errs[i] = receive(conn, connKey(i), func() {
				first.CompareAndSwap(0, time.Now().UnixNano())
				opened.Add(int64(batch))
			})
		})
	}
	all.Wait()
	took := time.Since(time.Unix(0, first.Load()))
	var sent, micros int64
	if lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &sent, &micros); err != nil {
			return err
		}
	}
	if err := errors.Join(append(errs, cmd.Wait())...); err != nil {
		return err
	}
	if sent != opened.Load() || sent == 0 {
		return fmt.Errorf("fanout: %d messages sent, %d arrived", sent, opened.Load())
	}
	return report(recipients, size, batch, sent, micros, took, asJSON)
}

func report(recipients, size, batch int, sent, micros int64, took time.Duration, asJSON bool) error {
	r := struct {
		Schema     string  `json:"schema"`
		Recipients int     `json:"recipients"`
		Bytes      int     `json:"bytes"`
		Batch      int     `json:"messages_a_record"`
		Deliveries int64   `json:"deliveries"`
		PerSecond  float64 `json:"deliveries_per_second"`
		CPUEachUS  float64 `json:"server_cpu_us_per_delivery"`
		PerCore    float64 `json:"deliveries_per_second_per_core"`
	}{"securelink.fanout.1", recipients, size, batch, sent, float64(sent) / took.Seconds(), float64(micros) / float64(sent), 1e6 * float64(sent) / float64(micros)}
	if asJSON {
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	fmt.Printf("%s: %d recipients, %d bytes, %d a record: %.0f deliveries a second; server %.2f µs each, which is %.0f a second a core\n",
		strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"), r.Recipients, r.Bytes, r.Batch, r.PerSecond, r.CPUEachUS, r.PerCore)
	return nil
}

// receive reads and opens frames to the end of the stream.
func receive(conn net.Conn, key *seal.Key, got func()) error {
	in := bufio.NewReaderSize(conn, 64<<10)
	var head [4]byte
	var seq [8]byte
	var box []byte
	for n := uint64(0); ; n++ {
		if _, err := io.ReadFull(in, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(head[:]))
		if size > 16<<20 {
			return fmt.Errorf("fanout: a frame of %d bytes", size)
		}
		if cap(box) < size {
			box = make([]byte, size)
		}
		box = box[:size]
		if _, err := io.ReadFull(in, box); err != nil {
			return err
		}
		binary.BigEndian.PutUint64(seq[:], n)
		if _, err := key.OpenInPlace(box, seq[:]); err != nil {
			return err
		}
		got()
	}
}
