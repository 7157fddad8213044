// Command centrifuge is a small server on github.com/centrifugal/centrifuge
// under the comparison's load.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"strings"

	"github.com/centrifugal/centrifuge"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4000", "address")
	flag.Parse()
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	text := []byte(`"` + strings.Repeat("x", 256) + `"`)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{UserID: ""},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"room": {}},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnRPC(func(_ centrifuge.RPCEvent, reply centrifuge.RPCCallback) {
			_, err := node.Publish("room", text)
			reply(centrifuge.RPCReply{}, err)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true }, UseWriteBufferPool: true,
	})
	http.Handle("/connection/websocket", handler)
	log.Fatal(http.ListenAndServe(*listen, nil))
}
