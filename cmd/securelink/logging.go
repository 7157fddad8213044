package main

import (
	"crypto/rand"
	"io"
	"log/slog"
	"os"

	"github.com/securelink-chat/securelink/config"
)

// logger is the server's log; its level can be changed while it runs.
type logger struct {
	*slog.Logger
	level *slog.LevelVar
}

// newLogger makes a log to w: text for people, JSON for machines.
func newLogger(cfg config.Log, w io.Writer) *logger {
	l := &logger{level: &slog.LevelVar{}}
	l.setLevel(cfg.Level)
	options := &slog.HandlerOptions{Level: l.level}
	if cfg.Format == "text" || cfg.Format == "auto" && isTerminal(w) {
		l.Logger = slog.New(slog.NewTextHandler(w, options))
	} else {
		l.Logger = slog.New(slog.NewJSONHandler(w, options))
	}
	return l
}

// setLevel takes one of the levels that the configuration allows.
func (l *logger) setLevel(name string) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err == nil {
		l.level.Set(level)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// wireToken draws a secret of 52 letters and digits.
func wireToken() string { return rand.Text() + rand.Text() }
