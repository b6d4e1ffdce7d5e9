package ingress

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// TestHTTP2WithoutTLS: a body is streamed both ways at once over h2c, while plain HTTP/1.1 goes on as ever.
func TestHTTP2WithoutTLS(t *testing.T) {
	b := newBench(t, nil)
	one, _ := replica(t, "app-1", func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		if err := controller.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "%s for %s\n", lines.Text(), r.Header.Get("X-Forwarded-For"))
			if err := controller.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	b.SetRoutes([]Route{shop(one)})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := b.Server(slog.New(slog.DiscardHandler))
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	for name, set := range map[string]func(*http.Protocols, bool){"HTTP/2.0": (*http.Protocols).SetUnencryptedHTTP2, "HTTP/1.1": (*http.Protocols).SetHTTP1} {
		protocols := new(http.Protocols)
		set(protocols, true)
		transport := &http.Transport{Protocols: protocols}
		defer transport.CloseIdleConnections()
		body, write := io.Pipe()
		request, err := http.NewRequest(http.MethodPost, "http://"+listener.Addr().String(), body)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "shop.app.localhost"
		go func() {
			fmt.Fprintln(write, "one")
			if name == "HTTP/1.1" { // an answer begins when the request is sent
				write.Close()
			}
		}()
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.Proto != name {
			t.Errorf("it answered over %s, want %s", response.Proto, name)
		}
		answers := bufio.NewScanner(response.Body)
		for _, line := range []string{"one", "two"} { // each is answered before the next is sent
			if line != "one" && name == "HTTP/1.1" {
				break
			}
			if line != "one" {
				go fmt.Fprintln(write, line)
			}
			if !answers.Scan() || answers.Text() != line+" for 127.0.0.1" {
				t.Errorf("%s: %q was answered with %q, %v", name, line, answers.Text(), answers.Err())
			}
		}
		write.Close()
	}
}
