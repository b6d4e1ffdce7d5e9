package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"sync"

	"nuage/api"
)

const execProtocol = "nuage-exec"

// Exec runs a command in the machine and returns its exit status, 128+n where signal n ended it, 127 where there is no
// such command. The command is killed when ctx ends or the link is lost, and Exec then returns an error. A Read of
// s.Stdin may still be under way when Exec returns. Conflict: the machine is stopping.
func (c *Client) Exec(ctx context.Context, cmd Command, s Stdio) (int, error) {
	resp, err := c.send(ctx, http.MethodPost, "/exec", cmd, execProtocol)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return 0, remoteError(resp.Body)
	}
	stream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return 0, api.Errorf(api.Internal, "cannot write to the guest's stream")
	}
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	frames := &frameWriter{w: stream}
	slots := make(chan struct{}, window)
	go sendStdin(sending, frames, s.Stdin, slots)
	go sendSizes(sending, frames, s.Resize)
	return await(ctx, stream, s, slots)
}

// await receives until the command or ctx ends; nothing is delivered after it returns.
func await(ctx context.Context, stream io.ReadCloser, s Stdio, slots <-chan struct{}) (int, error) {
	type result struct {
		status int
		err    error
	}
	done := make(chan result, 1)
	var delivery gate
	go func() {
		status, err := receive(stream, &delivery, s, slots)
		done <- result{status, err}
	}()
	select {
	case r := <-done:
		return r.status, r.err
	case <-ctx.Done():
		stream.Close() // tells the guest to kill it
		delivery.close()
		return 0, api.Errorf(api.Unavailable, "cannot wait for the command: %w", context.Cause(ctx))
	}
}

// gate lets bytes through until it is closed; close waits for a write under way.
type gate struct {
	mu     sync.Mutex
	closed bool
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

func (g *gate) deliver(w io.Writer, p []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w == nil || g.closed {
		return nil
	}
	_, err := w.Write(p)
	return err
}

func sendStdin(ctx context.Context, frames *frameWriter, stdin io.Reader, slots chan<- struct{}) {
	buf := make([]byte, chunk)
	for stdin != nil {
		n, err := stdin.Read(buf)
		if n > 0 {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if frames.write(frameStdin, buf[:n]) != nil {
				return // the reader of the same stream sees it too and reports it
			}
		}
		if err != nil {
			break
		}
	}
	frames.write(frameEOF, nil)
}

func sendSizes(ctx context.Context, frames *frameWriter, sizes <-chan [2]int) {
	for {
		select {
		case size, ok := <-sizes:
			if !ok || frames.write(frameResize, encodeSize(size)) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// receive takes the guest's frames until the last one.
func receive(r io.Reader, delivery *gate, s Stdio, slots <-chan struct{}) (int, error) {
	for {
		kind, p, err := readFrame(r)
		if err != nil {
			return 0, api.Errorf(api.Unavailable, "cannot follow the command: the link to the guest broke: %w", noEOF(err))
		}
		switch kind {
		case frameStdout:
			err = delivery.deliver(s.Stdout, p)
		case frameStderr:
			err = delivery.deliver(s.Stderr, p)
		case frameAck:
			<-slots
		case frameFail:
			return 0, remoteError(bytes.NewReader(p))
		case frameExit:
			return exitStatus(p)
		}
		if err != nil {
			return 0, api.Errorf(api.Unavailable, "cannot deliver the command's output: %w", err)
		}
	}
}

func exitStatus(p []byte) (int, error) {
	if len(p) != 4 {
		return 0, api.Errorf(api.Internal, "cannot read an exit status of %d bytes", len(p))
	}
	return int(int32(binary.BigEndian.Uint32(p))), nil
}
