package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/securelink-chat/securelink/config"
)

// hangups is where SIGHUPs come from now on, until stop. A server asks for them
// before it says that it is ready: one that came between would end it.
func hangups() (hup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// reloadOnSignal reads the configuration again at every SIGHUP and hands it to
// apply, until ctx ends. A wrong one changes nothing. It blocks.
func reloadOnSignal(ctx context.Context, hup <-chan os.Signal, current *config.Loaded, load func() (*config.Loaded, error), apply func(*config.Loaded) error, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			current = reload(current, load, apply, log)
		}
	}
}

// reload returns the configuration that is in force then.
func reload(current *config.Loaded, load func() (*config.Loaded, error), apply func(*config.Loaded) error, log *slog.Logger) *config.Loaded {
	next, err := load()
	if err == nil {
		err = apply(next)
	}
	if err != nil {
		log.Error("the configuration was not read again; the old one stays", "err", err)
		return current
	}
	now, later := current.Changes(next)
	log.Info("configuration read again", "changed", now, "after restart", later)
	return next
}
