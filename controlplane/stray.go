package controlplane

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"nuage/compute"
)

const (
	strayAfter = 10 * time.Second // a program that accepts nothing for so long is looked into
	strayEvery = 2 * time.Second
)

// search finds out why a replica accepts no connections: programs that listen on another port than the app's, or on
// loopback only, are the usual mistakes, and seen from outside they look like slow ones.
type search struct {
	cp     *ControlPlane
	target target
	since  time.Time // of the first refusal in a row
	last   time.Time // of the last look inside
	found  string
}

// after takes in how a probe ended and says what is wrong with where the program listens, "" if nothing is known.
func (s *search) after(ctx context.Context, refused bool) string {
	now := s.cp.Now()
	engine, ok := s.cp.Engine.(compute.Execer)
	switch {
	case !refused || !ok || s.target.engine != "" || s.target.gateway != "": // nothing is run in a machine but through its guest
		s.since, s.found = time.Time{}, ""
	case s.since.IsZero():
		s.since = now
	case now.Sub(s.since) >= strayAfter && now.Sub(s.last) >= strayEvery:
		s.last = now
		s.found = strayText(listenersIn(ctx, engine, s.target.id), s.target.port)
	}
	return s.found
}

// listener is a TCP port that a program listens on.
type listener struct {
	port     int
	loopback bool // nobody from outside reaches it
}

// listenersIn asks a replica's own system. A container without cat says nothing.
func listenersIn(ctx context.Context, engine compute.Execer, id string) []listener {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var out bytes.Buffer
	_, err := engine.Exec(ctx, id, compute.Process{Command: []string{"cat", "/proc/net/tcp", "/proc/net/tcp6"}, Stdout: &out, Stderr: io.Discard})
	if err != nil {
		return nil
	}
	return parseListeners(out.String())
}

// parseListeners reads the lines of /proc/net/tcp and tcp6 that are about listening sockets.
func parseListeners(table string) []listener {
	const listen = "0A"
	var all []listener
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) < 4 || words[3] != listen {
			continue
		}
		address, port, _ := strings.Cut(words[1], ":")
		n, err := strconv.ParseUint(port, 16, 16)
		if err == nil {
			all = append(all, listener{int(n), isLoopbackHex(address)})
		}
	}
	return all
}

// isLoopbackHex reads an address as the kernel prints it: 32-bit words of hex digits, each in the machine's byte order,
// which is little-endian wherever nuage runs.
func isLoopbackHex(address string) bool {
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw) < 4 {
		return false
	}
	last := raw[len(raw)-4:]
	if len(raw) == 4 || strings.HasPrefix(address, "0000000000000000FFFF0000") {
		return last[3] == 127
	}
	return address == "00000000000000000000000001000000"
}

// strayText words the mistake, if it is one: the port itself on loopback, or another port for all to reach.
func strayText(all []listener, port int) string {
	text := ""
	for _, l := range all {
		switch {
		case l.port == port && l.loopback:
			return fmt.Sprintf("its program listens on 127.0.0.1:%d, where only itself can connect: make it listen on 0.0.0.0", port)
		case l.port == port:
			return ""
		case !l.loopback && text == "":
			text = fmt.Sprintf("its program listens on port %d: deploy with --port %d, or make it listen on $PORT", l.port, l.port)
		}
	}
	return text
}
