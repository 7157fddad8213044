package socketio

import (
	"context"
	"runtime/debug"
)

// wait holds the reader back while too much waits for the handlers.
func (c *conn) wait() {
	for {
		c.mu.Lock()
		if len(c.jobs) < c.srv.opts.MaxPending || c.closed {
			c.mu.Unlock()
			return
		}
		change := c.changeLocked()
		c.mu.Unlock()
		<-change
	}
}

// Settle waits until all handlers are through, or ctx ends; it implements
// engineio.Settler. It does not wait for a handler that itself waits for an
// acknowledgement, which the client may only be able to send afterwards.
func (c *conn) Settle(ctx context.Context) {
	for {
		c.mu.Lock()
		if !c.running || c.calls > 0 || c.closed {
			c.mu.Unlock()
			return
		}
		change := c.changeLocked()
		c.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return
		}
	}
}

// calling counts those who wait for an acknowledgement.
func (c *conn) calling(step int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls += step
	c.signalLocked()
}

func (c *conn) changeLocked() <-chan struct{} {
	if c.change == nil {
		c.change = make(chan struct{})
	}
	return c.change
}

func (c *conn) signalLocked() {
	if c.change != nil {
		close(c.change)
		c.change = nil
	}
}

// enqueue has a job run behind those before it.
func (c *conn) enqueue(job func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs = append(c.jobs, job)
	if !c.running {
		c.running = true
		c.srv.wg.Go(c.dispatch)
	}
}

// dispatch runs jobs until none are left.
func (c *conn) dispatch() {
	for {
		c.mu.Lock()
		if len(c.jobs) == 0 {
			c.jobs, c.running = nil, false
			c.signalLocked()
			c.mu.Unlock()
			return
		}
		job := c.jobs[0]
		c.jobs[0] = nil
		c.jobs = c.jobs[1:]
		c.signalLocked()
		c.mu.Unlock()
		c.run(job)
	}
}

// run keeps a panic of a handler to the connection that it was called for, as
// net/http does.
func (c *conn) run(job func()) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.Error("socketio: handler panicked", "panic", p, "stack", string(debug.Stack()))
			c.engine.Close(ReasonPanicked)
		}
	}()
	job()
}

// connContext ends with its connection.
type connContext struct {
	context.Context
	done <-chan struct{}
}

func (c connContext) Done() <-chan struct{} { return c.done }

func (c connContext) Err() error {
	select {
	case <-c.done:
		return context.Canceled
	default:
		return nil
	}
}
