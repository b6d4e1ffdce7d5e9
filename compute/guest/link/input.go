package link

import (
	"context"
	"io"
)

// input takes the host's frames for one command. It is always ready for the next frame: stdin waits in a queue as
// long as the host's window, so a command that does not read its stdin never hides that the host has gone.
type input struct {
	frames *frameWriter
	queue  chan []byte
	sizes  chan [2]int
	stdin  *io.PipeReader
	pipe   *io.PipeWriter
}

func newInput(frames *frameWriter) *input {
	r, w := io.Pipe()
	return &input{frames: frames, queue: make(chan []byte, window), sizes: make(chan [2]int, 1), stdin: r, pipe: w}
}

// receive reads frames until the stream breaks, which is how the host says that it no longer waits.
func (in *input) receive(r io.Reader) {
	open := true
	end := func() {
		if open {
			close(in.queue)
			open = false
		}
	}
	defer end()
	for {
		kind, p, err := readFrame(r)
		if err != nil {
			return
		}
		switch {
		case kind == frameStdin && open:
			select {
			case in.queue <- p:
			default:
				return // more than the window: not a host of ours
			}
		case kind == frameEOF:
			end()
		case kind == frameResize:
			in.resize(p)
		}
	}
}

// resize keeps the newest size only.
func (in *input) resize(p []byte) {
	size, ok := decodeSize(p)
	if !ok {
		return
	}
	select {
	case <-in.sizes:
	default:
	}
	in.sizes <- size
}

// pump moves the queue into the command's stdin and acknowledges each piece.
func (in *input) pump(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { in.stdin.CloseWithError(io.ErrClosedPipe) })()
	defer in.pipe.Close()
	for p := range in.queue {
		in.pipe.Write(p) // a command that has closed its stdin loses the rest, as in a shell's pipe
		if in.frames.write(frameAck, nil) != nil {
			return
		}
	}
}
