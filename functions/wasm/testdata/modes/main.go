// Command modes does what the first word of its event says.
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	event, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	mode, rest, _ := bytes.Cut(event, []byte(" "))
	switch string(mode) {
	case "echo":
		os.Stdout.Write(rest)
	case "env":
		fmt.Print(os.Getenv(string(rest)))
	case "log":
		fmt.Fprintf(os.Stderr, "%s", rest)
	case "exit":
		n, _ := strconv.Atoi(string(rest))
		os.Exit(n)
	case "panic":
		panic(string(rest))
	case "spin":
		for n := 0; ; n++ {
		}
	case "sleep":
		d, _ := time.ParseDuration(string(rest))
		time.Sleep(d)
		fmt.Print("slept")
	case "big":
		big(rest)
	case "grow":
		var keep [][]byte
		for {
			keep = append(keep, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "random":
		b := make([]byte, 16)
		rand.Read(b)
		fmt.Printf("%x", b)
	case "time":
		fmt.Print(time.Now().UnixMilli())
	case "files":
		_, err := os.ReadFile("/etc/passwd")
		_, dial := net.Dial("tcp", "127.0.0.1:1")
		fmt.Printf("%v\n%v", err, dial)
	}
}

func big(count []byte) {
	n, _ := strconv.Atoi(string(count))
	w := bufio.NewWriter(os.Stdout)
	for range n {
		w.WriteByte('x')
	}
	w.Flush()
}
