package wasm

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/tetratelabs/wazero"

	"nuage/api"
	"nuage/functions"
)

// requestVariable is the one variable of an instance that is not its deployment's.
const requestVariable = "NUAGE_REQUEST_ID"

// largestAnswer is the size of answers whose buffer is kept for the next call.
const largestAnswer = 64 << 10

// seat is what an instance is connected to. A call has one for itself and leaves it to a later one, for making the configuration of
// an instance costs as much as a small function. Configurations made from one that has an environment share its memory, so that no
// two seats may have theirs from one.
type seat struct {
	config wazero.ModuleConfig
	event  bytes.Reader
	answer output
	log    printed
	run    context.Context // of the call
}

// seat finds one that is free, or makes one.
func (p *program) seat() *seat {
	if s, ok := p.seats.Get().(*seat); ok {
		return s
	}
	s := &seat{}
	s.config = p.config.WithStdin(&s.event).WithStdout(&s.answer).WithStderr(&s.log).WithNanosleep(s.sleep)
	for _, v := range p.env {
		s.config = s.config.WithEnv(v[0], v[1])
	}
	s.config = s.config.WithEnv(requestVariable, "")
	return s
}

// take gives the seat to a call. stop ends its run.
func (s *seat) take(run context.Context, stop context.CancelFunc, e functions.Event) {
	s.event.Reset(e.Payload)
	s.answer.stop, s.log.Writer, s.run = stop, e.Log, run
}

// leave gives a seat back whose instance is gone and whose answer was copied.
func (p *program) leave(s *seat) {
	s.event.Reset(nil)
	if s.answer.Cap() > largestAnswer {
		s.answer = output{}
	}
	s.answer.Reset()
	s.answer.stop, s.answer.over, s.log.Writer, s.run = nil, false, nil, nil
	p.seats.Put(s)
}

// sleep lets an instance sleep until its time is over.
func (s *seat) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.run.Done():
	}
}

// printed is where the log of the call goes.
type printed struct{ io.Writer }

// output takes an answer and stops the run when it grows over the limit.
type output struct {
	bytes.Buffer
	stop context.CancelFunc
	over bool
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if o.Len()+len(p) > api.MaxPayloadBytes {
		o.over = true
		o.stop()
		return 0, io.ErrShortWrite
	}
	return o.Buffer.Write(p)
}
