package loadgen

import (
	"context"
	"fmt"

	"github.com/securelink-chat/securelink/dial"
	"github.com/securelink-chat/securelink/link"
)

// SocketIO dials as a browser does: Socket.IO over a WebSocket to the gateway
// at an http or https address.
func SocketIO(address string) (func(context.Context) (link.FrameConn, error), error) {
	origin, err := dial.Origin(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %q is no address like http://localhost:8080", ErrConfig, address)
	}
	return dial.Web{Origin: origin}.Dial, nil
}
