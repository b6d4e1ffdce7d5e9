package rest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humamux"

	"nuage/api"
)

// stream serves an operation that reads or writes its bytes by itself, for as long as it takes. What it returns
// becomes a problem, or, where the answer has begun, a broken connection: half an answer must not look whole.
func stream[I any](serve func(w http.ResponseWriter, r *http.Request, in *I) error, set ...func(*huma.Operation)) server {
	return func(f *face, op huma.Operation) {
		for _, change := range set {
			change(&op)
		}
		huma.Register(f.huma, op, func(_ context.Context, in *I) (*huma.StreamResponse, error) {
			return &huma.StreamResponse{Body: func(ctx huma.Context) {
				r, w := humamux.Unwrap(ctx)
				deadlines(w, time.Time{})
				if err := serve(w, r, in); err != nil {
					f.broken(w, r, err)
				}
			}}, nil
		})
	}
}

// deadlines takes the server's own off, or sets one for reading. A writer of a test has none to set.
func deadlines(w http.ResponseWriter, read time.Time) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(read)
	_ = c.SetWriteDeadline(time.Time{})
}

func (f *face) broken(w http.ResponseWriter, r *http.Request, err error) {
	if a, ok := w.(*answer); !ok || !a.begun() {
		f.fail(w, r, err)
		return
	}
	f.problemOf(r.Context(), err) // logs what is worth it
	panic(http.ErrAbortHandler)
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}

// limited is a request's body up to a size. It remembers that there was more.
type limited struct {
	io.Reader
	most int64
	over bool
}

func limitBody(w http.ResponseWriter, r *http.Request, most int64) *limited {
	return &limited{Reader: http.MaxBytesReader(w, r.Body, most), most: most}
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	var most *http.MaxBytesError
	if errors.As(err, &most) {
		l.over = true
	}
	return n, err
}

// explain returns the problem that the body is to blame for, else err.
func (l *limited) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case l.over:
		return tooLarge(l.most)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, "cannot wait any longer for the body of the request")
	}
	return err
}

func (f *face) sourceRoutes() []route {
	path := "/v1/projects/{project}/sources"
	upload := func(method, id string) route {
		return route{method, path, anyToken, "sources", id, "Upload a folder as a tar, plain or compressed by gzip",
			stream(f.putSource, bytesIn("application/x-tar", "the tar, 256 MiB at most", true), jsonOut[api.Source](http.StatusCreated, "What it is stored as."))}
	}
	return []route{upload(post, "create-source"), upload(put, "put-source")}
}

// jsonOut documents the document that a stream answers with.
func jsonOut[T any](code int, description string) func(*huma.Operation) {
	return func(op *huma.Operation) { document[T](op, code, description) }
}

func (f *face) putSource(w http.ResponseWriter, r *http.Request, in *struct{ InProject }) error {
	content := limitBody(w, r, api.MaxSourceBytes)
	source, err := f.Cloud.Sources.Put(r.Context(), in.Project, content)
	if err != nil {
		return content.explain(err)
	}
	return writeJSON(w, http.StatusCreated, source)
}

// logged and executed are the nouns with these verbs.
func (f *face) streamRoutes() []route {
	var routes []route
	for _, n := range []noun{{"instances", "instance"}, {"apps", "app"}, {"databases", "database"}, {"functions", "function"}} {
		routes = append(routes, route{get, n.path() + "/{name}/logs", anyToken, n.plural, "get-" + n.singular + "-logs",
			"Read the log of " + article(n.singular), stream(f.logs(n), bytesOut(http.StatusOK, "text/plain", "The log; with follow it goes on."))})
	}
	for _, n := range []noun{{"instances", "instance"}, {"apps", "app"}, {"databases", "database"}} {
		routes = append(routes, route{get, n.path() + "/{name}/exec", anyToken, n.plural, "exec-in-" + n.singular,
			"Run a command in " + article(n.singular) + ", over a WebSocket", stream(f.exec(n), webSocket)})
	}
	return routes
}

type logsInput struct {
	Named
	Tail    int    `query:"tail" minimum:"0" doc:"only so many last lines; all that are kept when 0 or absent"`
	Follow  bool   `query:"follow" doc:"go on as lines come"`
	Request string `query:"request" maxLength:"80" doc:"of a function: only what the call with this request id has printed"`
	Build   int    `query:"build" minimum:"0" doc:"of an app: what the build of this release said, and its release command"`
}

func (f *face) logs(n noun) func(http.ResponseWriter, *http.Request, *logsInput) error {
	return func(w http.ResponseWriter, r *http.Request, in *logsInput) error {
		lines, err := f.Cloud.Streams.Logs(r.Context(), in.Project, n.plural, in.Name, api.LogQuery{Tail: in.Tail, Follow: in.Follow, Build: in.Build, Request: in.Request})
		if err != nil {
			return err
		}
		defer lines.Close()
		defer context.AfterFunc(r.Context(), func() { lines.Close() })()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		return copyFlushing(w, r, lines)
	}
}

// copyFlushing sends each piece as it comes. The end of the client is the end of the answer, and no error.
func copyFlushing(w http.ResponseWriter, r *http.Request, from io.Reader) error {
	c := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	buf := make([]byte, 32<<10)
	for {
		if err := c.Flush(); err != nil {
			return nil // the client has gone
		}
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return nil
			}
		}
		if err == io.EOF || err != nil && r.Context().Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
