// Server is all there is in the image "server" of the integration tests: one static program. It says which machine it is
// on 8080 (HTTP) and on 9090 (TCP), and can be made to take its time, to use the processor, and to fall silent.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) > 1 { // a command, as `nuage instance exec` runs it where there is no shell
		fmt.Println("server says", os.Args[1])
		return
	}
	name, err := os.Hostname()
	if err != nil {
		panic(err)
	}
	go greet(name)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", name, r.Header.Get("X-Forwarded-For"))
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		took, err := time.ParseDuration(r.URL.Query().Get("for"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		time.Sleep(took)
		fmt.Fprint(w, name)
	})
	http.HandleFunc("/burn", func(http.ResponseWriter, *http.Request) {
		go func() {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
			}
		}()
	})
	http.HandleFunc("/end", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	panic(http.ListenAndServe(":8080", nil))
}

// greet says its name on each connection and then what it hears.
func greet(name string) {
	l, err := net.Listen("tcp", ":9090")
	if err != nil {
		panic(err)
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer conn.Close()
			fmt.Fprintln(conn, name)
			_, _ = io.Copy(conn, conn) // it ends with the client
		}()
	}
}
