package engineio_test

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/securelink-chat/securelink/internal/eioclient"
	"github.com/securelink-chat/securelink/socketio/engineio"
)

// TestOverTLS goes the way of connections that cannot be read and written past
// the standard library: buffers are held while waiting, and all writes wait.
func TestOverTLS(t *testing.T) {
	st := start(t, engineio.Options{MaxBuffered: 1 << 20, WriteTimeout: 10 * time.Second})
	web := httptest.NewTLSServer(st.Server)
	defer web.Close()
	dial := func() (*eioclient.Conn, *engineio.Session) {
		t.Helper()
		c, err := eioclient.Dial(web.URL+"/", "EIO=4&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Read(); err != nil {
			t.Fatal(err)
		}
		return c, <-st.opened
	}
	c, session := dial()
	for _, size := range []int{0, 1, 126, 65_536, 300_000} {
		data := bytes.Repeat([]byte{byte(size)}, size)
		if err := errors.Join(c.Binary(data), c.Text("4between")); err != nil {
			t.Fatal(err)
		}
		got, binary, err := c.Read()
		if err != nil || !binary || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
		}
		wantNext(t, c, "4between")
	}
	if err := session.Send(engineio.Message{Data: []byte("bye")}); err != nil {
		t.Fatal(err)
	}
	session.Close(engineio.ReasonForced)
	wantNext(t, c, "4bye")
	if _, _, err := c.Read(); !errors.Is(err, io.EOF) {
		t.Fatalf("read %v, want a close frame", err)
	}
	c.Close()
	st.wantReason(t, engineio.ReasonForced)

	// An upgrade.
	p := &eioclient.Poller{Base: web.URL + "/", Client: web.Client()}
	if _, err := p.Open(); err != nil {
		t.Fatal(err)
	}
	<-st.opened
	c, err := eioclient.Dial(web.URL+"/", "EIO=4&transport=websocket&sid="+p.SID, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Text("2probe")
	wantNext(t, c, "3probe")
	_ = errors.Join(c.Text("5"), c.Text("4over"))
	wantNext(t, c, "4over")
	c.Close()
	st.wantReason(t, engineio.ReasonTransportClose)

	// One who does not read.
	c, session = dial()
	defer c.Close()
	for err = nil; err == nil; {
		err = session.Send(engineio.Message{Data: make([]byte, 100_000), Binary: true})
	}
	if !errors.Is(err, engineio.ErrSlow) {
		t.Fatal(err)
	}
	st.wantReason(t, engineio.ReasonSlow)
	eventually(t, "nothing is left", func() bool { return st.Sessions() == 0 })
}
