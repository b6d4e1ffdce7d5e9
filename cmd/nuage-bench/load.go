package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is what one kind of traffic came to.
type load struct {
	rate float64 // answers a second
	p99  time.Duration
}

// drive keeps a number of connections to an address busy for a time, each with one GET / for a host after the other. It speaks just
// enough HTTP/1.1 to be quick itself: what is measured shares the processors with it.
func drive(address, host string, connections int, d time.Duration) (load, error) {
	var wg sync.WaitGroup
	times, errs := make([][]time.Duration, connections), make([]error, connections)
	begin := time.Now()
	for i := range connections {
		wg.Go(func() { times[i], errs[i] = askAgain(address, host, begin.Add(d)) })
	}
	wg.Wait()
	took := time.Since(begin)
	all := slices.Concat(times...)
	if err := errors.Join(errs...); err != nil || len(all) == 0 {
		return load{}, errors.Join(err, fmt.Errorf("%d answers from %s", len(all), address))
	}
	slices.Sort(all)
	return load{rate: float64(len(all)) / took.Seconds(), p99: all[len(all)*99/100]}, nil
}

// askAgain sends requests over one connection until a time, at least one, and returns how long each took.
func askAgain(address, host string, until time.Time) (times []time.Duration, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: nuage-bench\r\nAccept: */*\r\n\r\n")
	answers := bufio.NewReader(conn)
	for begin := time.Now(); len(times) == 0 || begin.Before(until); begin = time.Now() {
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		if err := readAnswer(answers); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	return times, nil
}

// readAnswer reads an answer 200 with a Content-Length, and leaves it.
func readAnswer(r *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			return fmt.Errorf("the answer is %q", line)
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		case len(line) == 0 && length < 0:
			return errors.New("the answer has no Content-Length")
		case len(line) == 0:
			_, err := io.CopyN(io.Discard, r, int64(length))
			return err
		}
	}
}
