// Command peer is the Go server that the JavaScript implementation of the link
// talks to. It prints its port and its pin, answers every payload with its
// length and SHA-256, and ends when its standard input does.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/securelink-chat/securelink/link"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	root := link.GenerateRoot()
	server, err := link.NewServer(link.ServerConfig{
		Root:    root.Public(),
		Online:  root.NewOnline(1, time.Now().Add(time.Hour)),
		Tickets: &link.MemServerTickets{},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		listener.Close()
	}()
	fmt.Printf("%d %x\n", listener.Addr().(*net.TCPAddr).Port, root.Pin())
	for {
		c, err := listener.Accept()
		if err != nil {
			return nil // standard input has ended
		}
		go func() {
			conn, err := server.Accept(context.Background(), link.NetConn(c))
			if err != nil {
				return
			}
			serve(conn)
		}()
	}
}

// serve answers until the other side or a word of it ends the link.
func serve(conn *link.Conn) {
	defer conn.Abort()
	for {
		payload, err := conn.Read()
		if err != nil {
			return
		}
		var answer []byte
		switch string(payload) {
		case "drop":
			return
		case "close":
			conn.Write([]byte("bye"))
			conn.Close()
			return
		case "exporter":
			exporter := conn.Exporter()
			answer = exporter[:]
		default:
			sum := sha256.Sum256(payload)
			answer = append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))), sum[:]...)
		}
		if err := conn.Write(answer); err != nil {
			return
		}
	}
}
