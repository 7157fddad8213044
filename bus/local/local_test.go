package local_test

import (
	"testing"

	"github.com/securelink-chat/securelink/bus/bustest"
	"github.com/securelink-chat/securelink/bus/local"
	"github.com/securelink-chat/securelink/core"
)

func TestBus(t *testing.T) {
	bustest.Run(t, func(*testing.T) core.Bus { return local.New() })
}
