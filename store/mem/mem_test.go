package mem_test

import (
	"testing"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/mem"
	"github.com/securelink-chat/securelink/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) core.Store { return mem.New() })
}
