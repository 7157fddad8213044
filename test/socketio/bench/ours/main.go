// Command ours is the server of package socketio under the comparison's load.
package main

import (
	"encoding/binary"
	"flag"
	"log"
	"net/http"
	"strings"

	"github.com/securelink-chat/securelink/socketio"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4000", "address")
	flag.Parse()
	srv, err := socketio.New(socketio.Options{Engine: engineio.Options{Origins: []string{"*"}}})
	if err != nil {
		log.Fatal(err)
	}
	text := strings.Repeat("x", 256)
	bytes := []byte(text)
	frame := make([]byte, 1024)
	var number uint64
	root := srv.Of("/")
	root.OnConnect(func(s *socketio.Socket) { s.Join("room") })
	root.On("text", func(*socketio.Socket, *socketio.Event) { _ = root.To("room").Emit("m", text) })
	root.On("binary", func(*socketio.Socket, *socketio.Event) { _ = root.To("room").Emit("m", bytes) })
	root.OnBinary("frame", func(*socketio.Socket, []byte) {})
	root.On("frames", func(*socketio.Socket, *socketio.Event) {
		for _, s := range root.Room("room") {
			number++
			binary.LittleEndian.PutUint64(frame, number)
			_ = s.EmitBinary("frame", frame)
		}
	})
	log.Fatal(http.ListenAndServe(*listen, srv))
}
