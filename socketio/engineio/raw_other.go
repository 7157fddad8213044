//go:build !unix

package engineio

import (
	"net"
	"syscall"
)

// rawConn is nil: reads and writes go through the net.Conn.
func rawConn(net.Conn) syscall.RawConn { return nil }

func rawRead(uintptr, []byte) (n int, again bool, err error) {
	panic("engineio: no raw connections here")
}

func rawWrite(uintptr, []byte) (int, error) { panic("engineio: no raw connections here") }
