package client_test

import (
	"context"
	"errors"
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/client/storagetest"
	"github.com/securelink-chat/securelink/link"
)

func TestMemoryStorage(t *testing.T) {
	storagetest.Run(t, func(*testing.T) client.Storage { return client.NewMemory() })
}

// Somebody who leaves before the profile is loaded leaves without a complaint.
func TestLeavingAtOnce(t *testing.T) {
	engine, err := client.New(client.Config{Storage: client.NewMemory(), Dialer: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := engine.Run(ctx); err != nil {
		t.Errorf("an engine that was stopped at once: %v", err)
	}
}

type nobody struct{}

func (nobody) Dial(context.Context) (link.FrameConn, error) { return nil, errors.New("nobody answers") }
