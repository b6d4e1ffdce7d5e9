//go:build linux

package guest

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

func newSigner(t *testing.T) gossh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// eager is a pipe's end whose writes do not wait for the reader: both sides of SSH begin by writing.
type eager struct {
	net.Conn
	out  chan []byte
	done chan struct{}
	once *sync.Once
}

func newEager(conn net.Conn) eager {
	e := eager{conn, make(chan []byte, 100), make(chan struct{}), new(sync.Once)}
	go func() {
		for {
			select {
			case b := <-e.out:
				conn.Write(b)
			case <-e.done:
				return
			}
		}
	}()
	return e
}

func (e eager) Write(p []byte) (int, error) {
	e.out <- bytes.Clone(p)
	return len(p), nil
}

func (e eager) Close() error {
	e.once.Do(func() { close(e.done) })
	return e.Conn.Close()
}

// TestLoginGrace holds two connections: one that never logs in, and one that has and asks for nothing, as ssh -N
// does until a forwarded port is used.
func TestLoginGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest("test", nil, io.Discard, time.Now)
		defer g.console.close()
		user := newSigner(t)
		g.ssh.login.keys = keyring{"root": {string(user.PublicKey().Marshal()): "laptop"}}
		server := g.ssh.newServer(newSigner(t))
		connect := func() net.Conn {
			inside, outside := net.Pipe()
			go server.HandleConn(inside)
			return outside
		}
		silent := connect()
		defer silent.Close()
		cut := make(chan time.Duration, 1)
		start := time.Now()
		go func() {
			io.Copy(io.Discard, silent)
			cut <- time.Since(start)
		}()
		config := &gossh.ClientConfig{User: "root", Auth: []gossh.AuthMethod{gossh.PublicKeys(user)}, HostKeyCallback: gossh.InsecureIgnoreHostKey()}
		conn, channels, requests, err := gossh.NewClientConn(newEager(connect()), "machine", config)
		if err != nil {
			t.Fatal(err)
		}
		client := gossh.NewClient(conn, channels, requests)
		time.Sleep(2 * loginGrace)
		if after := <-cut; after != loginGrace {
			t.Errorf("who does not log in is cut after %s", after)
		}
		if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			t.Errorf("who has logged in is cut: %v", err)
		}
		client.Close()
		synctest.Wait()
	})
}

// TestStrangers: of those who connect and say nothing only so many are held, and each that goes makes room.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest("test", nil, io.Discard, time.Now)
		defer g.console.close()
		server := g.ssh.newServer(newSigner(t))
		greeted := func() (net.Conn, bool) {
			inside, outside := net.Pipe()
			go server.HandleConn(inside)
			_, err := io.ReadFull(outside, make([]byte, len("SSH-2.0-nuage")))
			return outside, err == nil
		}
		var held []net.Conn
		for i := range maxStrangers {
			conn, ok := greeted()
			if !ok {
				t.Fatalf("connection %d is refused", i)
			}
			held = append(held, conn)
		}
		if _, ok := greeted(); ok {
			t.Errorf("%d connections are held of %d", len(held)+1, maxStrangers)
		}
		held[0].Close()
		synctest.Wait()
		conn, ok := greeted()
		if !ok {
			t.Error("one that has gone makes no room")
		}
		for _, c := range append(held, conn) {
			c.Close()
		}
		synctest.Wait()
	})
}
