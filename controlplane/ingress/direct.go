package ingress

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"nuage/api"
)

// direct reports whether a request may go over a wire: it has no body, may be repeated, and asks for no other protocol.
func direct(r *http.Request) bool {
	return (r.Body == nil || r.Body == http.NoBody) && idempotent(r.Method) && r.Method != http.MethodTrace &&
		len(r.Header["Upgrade"]) == 0 && len(r.Header["Expect"]) == 0
}

// exchange passes a direct request on and its answer back.
func (p *proxy) exchange(a *answer, r *http.Request, f *flight) {
	if len(r.Header["Connection"]) > 0 {
		dropHopByHop(r.Header)
	}
	deadline := time.Now().Add(patience(f.route))
	var used *wire
	var release func() bool
	response, err := f.send(r, nil, func(b Backend) (response *http.Response, err error) {
		response, used, release, err = p.over(f, r, b, deadline, a)
		return response, err
	})
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			f.end(errSlow)
		}
		p.failed(a, r, f, err)
		return
	}
	kept := false
	defer func() {
		if release() && kept && used.in.Buffered() == 0 && !response.Close {
			p.wires.put(used)
		} else {
			used.close()
		}
	}()
	if err := p.answer(a, response, used, f); err != nil {
		p.logger.Debug("an answer broke off", "kind", f.route.Kind, "project", f.route.Project, "name", f.route.Name, "error", err)
		panic(http.ErrAbortHandler) // so that half of an answer is not taken for all of it
	}
	kept = true
}

// over sends a request over a wire to a backend. A kept one may have been closed at that very moment: then it goes over another.
// release ends the watch over the flight, and says that it was not cut.
func (p *proxy) over(f *flight, r *http.Request, b Backend, deadline time.Time, a *answer) (response *http.Response, used *wire, release func() bool, err error) {
	for {
		if used, err = p.wires.take(f.ctx, b.Address); err != nil {
			return nil, nil, nil, err
		}
		conn := used.conn
		release = context.AfterFunc(f.ctx, func() { _ = conn.Close() })
		response, err = used.ask(r, deadline, a.early)
		if err == nil {
			return response, used, release, nil
		}
		release()
		used.close()
		if used.used.IsZero() || !broken(err) || f.ctx.Err() != nil {
			return nil, nil, nil, err
		}
	}
}

// answer hands an answer on: its body as it comes, flushed whenever more is still to come.
func (p *proxy) answer(a *answer, response *http.Response, from *wire, f *flight) error {
	if len(response.Header["Connection"]) > 0 {
		dropHopByHop(response.Header)
	}
	adapt(response, f)
	header := a.Header()
	for name, values := range response.Header {
		if !hopByHop(name) {
			header[name] = append(header[name], values...)
		}
	}
	for name := range response.Trailer { // those that are announced
		header.Add("Trailer", name)
	}
	a.WriteHeader(response.StatusCode)
	if err := p.copyBody(a, response, from); err != nil {
		return err
	}
	for name, values := range response.Trailer {
		header[name] = values
	}
	return nil
}

// adapt makes of a backend's answer the edge's.
func adapt(response *http.Response, f *flight) {
	delete(response.Header, api.HeaderRequestID) // ours stands already
	stick(response, f)
}

// copyBody copies a body. A caller that left is no error of the backend's, but ends it too.
func (p *proxy) copyBody(a *answer, response *http.Response, from *wire) error {
	if response.Body == http.NoBody {
		return nil
	}
	buffer := p.buffers.Get()
	defer p.buffers.Put(buffer)
	next := 1 // bytes in hand with which a read does not wait
	if response.ContentLength < 0 {
		next = len("0\r\n\r\n")
	}
	for rest := response.ContentLength; rest != 0; {
		if from.in.Buffered() < next {
			if err := a.flush(); err != nil {
				return err
			}
		}
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if _, err := a.Write(buffer[:n]); err != nil {
				return err
			}
		}
		rest -= int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}
