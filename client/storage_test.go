package client_test

import (
	"testing"

	"github.com/securelink-chat/securelink/client"
	"github.com/securelink-chat/securelink/client/storagetest"
)

func TestMemoryStorage(t *testing.T) {
	storagetest.Run(t, func(*testing.T) client.Storage { return client.NewMemory() })
}
