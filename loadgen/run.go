package loadgen

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/securelink-chat/securelink/wire"
)

// runner is one run.
type runner struct {
	cfg     Config
	keys    *keys
	devices []*device
	rooms   []*room
	report  *Report
	limits  atomic.Pointer[[]wire.LimitValue]
	begun   time.Time
	filler  []byte
	mark    [16]byte
	fresh   int64 // the server's memory before the first client: live, or resident
	rss     int64

	accepted, deliveries, cuts atomic.Int64
	lastAccept, lastDelivery   atomic.Int64
	ackTimes, deliveryTimes    *histogram

	mu       sync.Mutex
	refusals map[string]int64
}

func newRunner(cfg Config) (*runner, error) {
	r := &runner{cfg: cfg, begun: time.Now(), report: &Report{Schema: Schema}, refusals: map[string]int64{},
		ackTimes: &histogram{}, deliveryTimes: &histogram{}, filler: make([]byte, cfg.Text+Overhead)}
	_, _ = rand.Read(r.mark[:])
	_, _ = rand.Read(r.filler)
	var err error
	if r.keys, err = newKeys(cfg.Keys); err != nil {
		return nil, fmt.Errorf("loadgen: keys: %w", err)
	}
	for range cfg.Rooms {
		rm := &room{free: make(chan int, cfg.Window), left: make([]atomic.Int32, cfg.Window)}
		_, _ = rand.Read(rm.id[:])
		for place := range cfg.Window {
			rm.free <- place
		}
		r.rooms = append(r.rooms, rm)
	}
	for i := range cfg.Clients {
		p, err := cfg.NewPerson(fmt.Sprintf("Bench %d", i+1))
		if err != nil {
			return nil, fmt.Errorf("loadgen: %w", err)
		}
		d := &device{r: r, person: p, room: r.rooms[i%cfg.Rooms]}
		d.room.members = append(d.room.members, d)
		r.devices = append(r.devices, d)
	}
	r.report.Run = RunReport{Clients: cfg.Clients, Rooms: cfg.Rooms, Rate: cfg.Rate, Window: cfg.Window, TextBytes: cfg.Text,
		CipherBytes: len(r.filler), Seconds: cfg.Duration.Seconds(), Transport: cfg.Transport, Keys: cfg.Keys, Parallel: cfg.Parallel, MLS: false}
	if cfg.Rate > 0 {
		r.report.Run.Window = 0
	}
	return r, nil
}

// now is the time of the run, in nanoseconds.
func (r *runner) now() int64 { return int64(time.Since(r.begun)) }

func (r *runner) progress(what string) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(what)
	}
}

func (r *runner) close() {
	for _, d := range r.devices {
		if d.session != nil {
			d.session.close()
		}
	}
}

func (r *runner) refused(it wire.Item) {
	why := it.Code.String()
	var refusal *wire.Error
	if errors.As(it.DecodeRefusal(), &refusal) && refusal.Refusal.Limit != 0 {
		why += ": " + refusal.Refusal.Limit.String()
	}
	r.mu.Lock()
	r.refusals[why]++
	r.mu.Unlock()
}

// each runs fn for the numbers below n, Parallel at once, and stops at the
// first error.
func (r *runner) each(ctx context.Context, n int, fn func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(r.cfg.Parallel, n) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fn(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// measure is how long something took, and the processor time that it cost the
// server and this process; 0 where that is not known.
type measure struct{ took, server, own time.Duration }

// measured runs fn.
func (r *runner) measured(fn func() error) (m measure, err error) {
	spent := func(pids ...int) func() time.Duration {
		before, known := processUsage(pids...)
		return func() time.Duration {
			after, err := processUsage(pids...)
			if known != nil || err != nil {
				return 0
			}
			return after.cpu - before.cpu
		}
	}
	server, own, begin := spent(r.cfg.Process.PIDs...), spent(os.Getpid()), time.Now()
	if err := fn(); err != nil {
		return m, err
	}
	m.took = time.Since(begin)
	m.server, m.own = server(), own()
	return m, nil
}

func (r *runner) disk(context.Context) error {
	median, worst, err := fsyncTime(r.cfg.Process.Folder)
	if err != nil {
		return err
	}
	r.report.Fsync = &FsyncReport{MedianMS: milli(median), WorstMS: milli(worst)}
	return nil
}

// accounts connects every client for the first time, and weighs them while they
// do nothing.
func (r *runner) accounts(ctx context.Context) error {
	var err error
	if r.fresh, r.rss, err = r.memory(ctx); err != nil {
		return err
	}
	m, err := r.measured(func() error {
		return r.each(ctx, len(r.devices), func(ctx context.Context, i int) (err error) {
			r.devices[i].session, err = r.devices[i].patient(ctx, true)
			return err
		})
	})
	if err != nil {
		return err
	}
	r.report.Accounts = newRate(len(r.devices), m)
	idle, err := r.weigh(ctx)
	if err != nil {
		return err
	}
	r.report.Idle = idle
	for _, l := range wire.AllLimits() {
		for _, v := range *r.limits.Load() {
			if v.Limit == l.Limit && v.Value != l.Default {
				r.report.Limits = append(r.report.Limits, LimitReport{l.Name, v.Value, l.Default})
			}
		}
	}
	return nil
}

// memory is the server's: in use after a collection, and resident. 0: unknown.
func (r *runner) memory(ctx context.Context) (live, rss int64, err error) {
	if r.cfg.Process.Live != nil {
		if live, err = r.cfg.Process.Live(ctx); err != nil {
			return 0, 0, err
		}
	}
	used, err := processUsage(r.cfg.Process.PIDs...)
	if err != nil {
		return live, 0, nil // where there is no /proc, nothing is said
	}
	return live, used.rss, nil
}

// weigh is what a connection of the clients costs now.
func (r *runner) weigh(ctx context.Context) (*MemoryReport, error) {
	live, rss, err := r.memory(ctx)
	if err != nil || rss == 0 && live == 0 {
		return nil, err
	}
	n := int64(len(r.devices))
	return &MemoryReport{Connections: int(n), LiveBytes: (live - r.fresh) / n, ResidentBytes: (rss - r.rss) / n}, nil
}

// connections measures connections up to the answer to the login: full ones,
// then resumed ones. Every one is closed at once.
func (r *runner) connections(ctx context.Context) error {
	r.close()
	for _, kind := range []struct {
		resume bool
		to     **RateReport
	}{{false, &r.report.Full}, {true, &r.report.Resumed}} {
		if kind.resume {
			r.progress("resumed connections")
		}
		times := &histogram{}
		var fallen, failed atomic.Int64
		// A device is one connection at a time, or it would be replaced.
		busy := make([]sync.Mutex, len(r.devices))
		m, err := r.measured(func() error {
			return r.each(ctx, r.cfg.Connects, func(ctx context.Context, i int) error {
				at := i % len(r.devices)
				busy[at].Lock()
				defer busy[at].Unlock()
				begin := r.now()
				s, err := r.devices[at].connect(ctx, false, kind.resume)
				if err != nil {
					// On a machine that is too busy some do not finish in time.
					if failed.Add(1) > int64(10+r.cfg.Connects/10) || ctx.Err() != nil {
						return err
					}
					return nil
				}
				times.record(r.now() - begin)
				if kind.resume && !s.conn.Resumed() {
					fallen.Add(1)
				}
				s.close()
				return nil
			})
		})
		if err != nil {
			return err
		}
		r.report.NotResumed += int(fallen.Load())
		*kind.to = newRate(r.cfg.Connects-int(failed.Load()), m)
		(*kind.to).Failed = int(failed.Load())
		(*kind.to).Times = newTimes(times)
	}
	return nil
}

// tries is how often a client that is to stay tries to connect.
const tries = 5

// patient connects, and again if it fails; the last error is told. A guest's
// account is found again.
func (d *device) patient(ctx context.Context, first bool) (s *session, err error) {
	for range tries {
		if s, err = d.connect(ctx, first, !first); err == nil || ctx.Err() != nil {
			return s, err
		}
	}
	return nil, err
}

// enter makes sure that every client is connected.
func (r *runner) enter(ctx context.Context) error {
	return r.each(ctx, len(r.devices), func(ctx context.Context, i int) (err error) {
		d := r.devices[i]
		if d.session != nil {
			select {
			case <-d.session.done:
			default:
				return nil
			}
		}
		d.session, err = d.patient(ctx, false)
		return err
	})
}

// joiners is how many devices one commit adds.
const joiners = 50

// makeRooms makes the rooms, routes everybody, and turns the push on.
func (r *runner) makeRooms(ctx context.Context) error {
	err := r.each(ctx, len(r.rooms), func(ctx context.Context, i int) error {
		rm := r.rooms[i]
		s := rm.members[0].session
		if _, err := ask[wire.RoomState](ctx, s, wire.CreateRoom{Room: rm.id, Kind: wire.RoomInvite}); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		for rest := rm.members[1:]; len(rest) > 0; rest = rest[min(joiners, len(rest)):] {
			commit := wire.Append{Room: rm.id, Kind: wire.EntryHandshake, Examined: rm.examined, Payload: []byte("commit")}
			_, _ = rand.Read(commit.Message[:])
			for _, d := range rest[:min(joiners, len(rest))] {
				commit.Add = append(commit.Add, d.person.Route(s.conn.PeerRoot()))
			}
			ok, err := ask[wire.AppendOK](ctx, s, commit)
			if err != nil {
				return fmt.Errorf("add: %w", err)
			}
			rm.examined = ok.Seq
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.each(ctx, len(r.devices), func(ctx context.Context, i int) error {
		_, err := ask[wire.WatchOK](ctx, r.devices[i].session, wire.Watch{})
		return err
	})
}

// restart lets the server go down and come back, and waits for every client.
func (r *runner) restart(ctx context.Context) error {
	down := time.Now()
	pids, err := r.cfg.Process.Restart(ctx)
	if err != nil {
		return err
	}
	r.cfg.Process.PIDs = pids
	up := time.Now()
	var resumed atomic.Int64
	err = r.each(ctx, len(r.devices), func(ctx context.Context, i int) error {
		d := r.devices[i]
		<-d.session.done
		for {
			s, err := d.connect(ctx, false, true)
			if err == nil {
				d.session = s
				if s.conn.Resumed() {
					resumed.Add(1)
				}
				return nil
			}
			if ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			r.mu.Lock()
			r.refusals["reconnect failed"]++
			r.mu.Unlock()
		}
	})
	if err != nil {
		return err
	}
	r.report.Restart = &RestartReport{Clients: len(r.devices), Resumed: int(resumed.Load()), DownSeconds: up.Sub(down).Seconds(), BackSeconds: time.Since(up).Seconds()}
	return nil
}
