package ingress

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkEdge is the whole way over real connections: a client and a backend that do as little as possible, and the edge between.
func BenchmarkEdge(b *testing.B) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n\r\nok"
	backend := parrot(b, "\r\n\r\n", answer)
	e := New(Options{Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now})
	e.SetRoutes([]Route{shop(Backend{ID: "app-1", Address: backend})})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := e.Server(slog.New(slog.DiscardHandler))
	go server.Serve(l)
	b.Cleanup(func() { server.Close(); e.Close() })
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for pb.Next() {
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop.app.localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
			for line := ""; line != "\r\n"; {
				if line, err = in.ReadString('\n'); err != nil {
					b.Error(err)
					return
				}
			}
			if _, err := in.Discard(2); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// parrot says the same after each end of a request, and returns its address.
func parrot(b *testing.B, end, answer string) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := conn.Read(buffer)
					if err != nil {
						return
					}
					if bytes.HasSuffix(buffer[:n], []byte(end)) {
						io.WriteString(conn, answer)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
