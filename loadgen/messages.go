package loadgen

import (
	"context"
	"errors"
	"sync"
	"time"
)

// messages sends for the time of the run, waits for what is under way, and
// reports.
func (r *runner) messages(ctx context.Context) error {
	var sent int64
	var began int64
	profiled := make(chan error, 1)
	if r.cfg.Process.Profile != nil {
		go func() { profiled <- r.cfg.Process.Profile(ctx, r.cfg.Duration) }()
	} else {
		profiled <- nil
	}
	spent, err := r.measured(func() error {
		began = r.now()
		var err error
		if sent, err = r.sendAll(ctx, began); err != nil {
			return err
		}
		return r.drain(ctx)
	})
	if err = errors.Join(err, <-profiled); err != nil {
		return err
	}
	accepted, deliveries := r.accepted.Load(), r.deliveries.Load()
	active, err := r.weigh(ctx)
	if err != nil {
		return err
	}
	r.report.Active = active
	m := &MessageReport{Sent: sent, Accepted: accepted, Deliveries: deliveries, Missing: r.expected() - deliveries, Cuts: r.cuts.Load(), Refusals: r.refusals,
		Delivery: newTimes(r.deliveryTimes), Accept: newTimes(r.ackTimes), ServerCPUSeconds: spent.server.Seconds()}
	if seconds := time.Duration(r.lastAccept.Load() - began).Seconds(); accepted > 0 {
		m.AcceptedPerSecond = float64(accepted) / seconds
	}
	if seconds := time.Duration(max(r.lastDelivery.Load(), r.lastAccept.Load()) - began).Seconds(); deliveries > 0 {
		m.DeliveriesPerSecond = float64(deliveries) / seconds
		m.ServerLoad, m.OwnLoad = spent.server.Seconds()/seconds, spent.own.Seconds()/seconds
		m.CPUPerDeliveryUS = float64(spent.server.Microseconds()) / float64(deliveries)
	}
	r.report.Messages = m
	return nil
}

// sendAll runs one sender a room; members take turns. It returns how many
// messages were sent.
func (r *runner) sendAll(ctx context.Context, began int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counts := make([]int64, len(r.rooms))
	var all sync.WaitGroup
	for i, rm := range r.rooms {
		all.Go(func() {
			var err error
			if r.cfg.Rate > 0 {
				counts[i], err = r.sendPaced(ctx, rm, i, began)
			} else {
				counts[i], err = r.sendWindow(ctx, rm, began)
			}
			if err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	var sent int64
	for _, n := range counts {
		sent += n
	}
	return sent, context.Cause(ctx)
}

// sendPaced sends the messages of room number index at their times. A message
// that leaves late counts from when it was due.
func (r *runner) sendPaced(ctx context.Context, rm *room, index int, began int64) (n int64, err error) {
	step := float64(time.Second) / r.cfg.Rate // between two messages of the run
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ; ; n++ {
		offset := int64((float64(n)*float64(len(r.rooms)) + float64(index)) * step)
		if offset >= int64(r.cfg.Duration) {
			return n, nil
		}
		due := began + offset
		if wait := due - r.now(); wait > 0 {
			timer.Reset(time.Duration(wait))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return n, ctx.Err()
			}
		}
		if err := rm.members[n%int64(len(rm.members))].session.send(r.message(rm, due, noPlace), due); err != nil {
			return n, err
		}
	}
}

// sendWindow sends as soon as a message before was delivered to all.
func (r *runner) sendWindow(ctx context.Context, rm *room, began int64) (n int64, err error) {
	over := time.NewTimer(r.cfg.Duration - time.Duration(r.now()-began))
	defer over.Stop()
	for ; ; n++ {
		var place int
		select {
		case place = <-rm.free:
		case <-over.C:
			return n, nil
		case <-ctx.Done():
			return n, ctx.Err()
		}
		rm.left[place].Store(int32(len(rm.members)))
		due := r.now()
		if err := rm.members[n%int64(len(rm.members))].session.send(r.message(rm, due, uint32(place)), due); err != nil {
			return n, err
		}
	}
}

// expected is how many deliveries the accepted messages make.
func (r *runner) expected() int64 {
	var all int64
	for _, rm := range r.rooms {
		all += rm.accepted.Load() * int64(len(rm.members))
	}
	return all
}

// drain waits until every message has its answer and every accepted one was
// delivered to all, or nothing more is to be hoped for.
func (r *runner) drain(ctx context.Context) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	for {
		if r.unanswered() == 0 && r.deliveries.Load() >= r.expected() {
			return nil
		}
		select {
		case <-poll.C:
		case <-patience.C:
			return nil // the report says what is missing
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *runner) unanswered() (n int) {
	for _, d := range r.devices {
		d.session.mu.Lock()
		n += len(d.session.appends)
		d.session.mu.Unlock()
	}
	return n
}
