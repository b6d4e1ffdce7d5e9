package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"nuage/api"
)

type functions struct {
	resource[api.Function, api.FunctionSpec]
}

func (f functions) Invoke(ctx context.Context, project, name string, call api.Invocation) (api.Answer, error) {
	if call.Type == "" {
		call.Type = api.Sync
	}
	header := http.Header{api.HeaderInvocationType: {string(call.Type)}, api.HeaderLogType: {"tail"}, "Accept": {"*/*"}}
	if call.ContentType != "" {
		header.Set("Content-Type", call.ContentType)
	}
	query := url.Values{}
	if call.Qualifier != "" {
		query.Set("qualifier", call.Qualifier)
	}
	answer, err := f.c.send(ctx, request{
		method: http.MethodPost, path: f.at(project, name, "invocations"), query: query, header: header, content: bytes.NewReader(call.Payload),
	})
	if err != nil {
		return api.Answer{}, err
	}
	defer answer.Body.Close()
	payload, err := io.ReadAll(answer.Body)
	if err != nil {
		return api.Answer{}, f.c.garbled(ctx, err)
	}
	return readAnswer(answer.Header, payload)
}

// readAnswer puts together what the headers and the body say. An async call has no receipt yet but for its id.
func readAnswer(h http.Header, payload []byte) (api.Answer, error) {
	a := api.Answer{Payload: payload, ContentType: h.Get("Content-Type"), FunctionError: h.Get(api.HeaderFunctionError)}
	a.Receipt.RequestID = h.Get(api.HeaderInvocationID)
	log, err := base64.StdEncoding.DecodeString(h.Get(api.HeaderLog))
	if err != nil {
		return a, api.Errorf(api.Internal, "cannot read the header %s of an answer: %w", api.HeaderLog, err)
	}
	a.Log = string(log)
	if receipt := h.Get(api.HeaderReceipt); receipt != "" {
		if err := json.Unmarshal([]byte(receipt), &a.Receipt); err != nil {
			return a, api.Errorf(api.Internal, "cannot read the header %s of an answer: %w", api.HeaderReceipt, err)
		}
	}
	return a, nil
}

func (f functions) Calls(ctx context.Context, project, name string, last int) (api.List[api.Receipt], error) {
	query := url.Values{}
	if last != 0 {
		query.Set("last", strconv.Itoa(last))
	}
	return ask[api.List[api.Receipt]](ctx, f.c, request{method: http.MethodGet, path: f.at(project, name, "invocations"), query: query})
}

type sources struct{ c *conn }

func (s sources) Put(ctx context.Context, project string, content io.Reader) (api.Source, error) {
	return ask[api.Source](ctx, s.c, request{
		method: http.MethodPut, path: path("projects", project, "sources"), content: &bounded{content, api.MaxSourceBytes},
		header: http.Header{"Content-Type": {"application/x-tar"}},
	})
}

// bounded fails as soon as content is too large, before the cloud has to break the connection.
type bounded struct {
	content io.Reader
	left    int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.content.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, api.Errorf(api.Invalid, "cannot upload a source of more than %d bytes: leave out what is not needed", int64(api.MaxSourceBytes))
	}
	return n, err
}

type system struct{ c *conn }

func (s system) Status(ctx context.Context) (api.CloudStatus, error) {
	return ask[api.CloudStatus](ctx, s.c, request{method: http.MethodGet, path: path("status")})
}

func (s system) Backup(ctx context.Context, w io.Writer) error {
	answer, err := s.c.send(ctx, request{method: http.MethodGet, path: path("backup"), header: http.Header{"Accept": {"application/octet-stream"}}})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	to := &outlet{Writer: w}
	if _, err := io.Copy(to, answer.Body); err != nil {
		if to.err != nil {
			return api.Errorf(api.Internal, "cannot write the backup: %w", to.err)
		}
		return s.c.garbled(ctx, err)
	}
	return nil
}

// outlet remembers which side of a copy failed.
type outlet struct {
	io.Writer
	err error
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.err = errors.Join(o.err, err)
	return n, err
}

func (s system) Shutdown(ctx context.Context) error {
	return s.c.call(ctx, request{method: http.MethodPost, path: path("shutdown")}, nil)
}

type streams struct{ c *conn }

func (s streams) Logs(ctx context.Context, project, noun, name string, q api.LogQuery) (io.ReadCloser, error) {
	query := url.Values{}
	if q.Tail != 0 {
		query.Set("tail", strconv.Itoa(q.Tail))
	}
	if q.Follow {
		query.Set("follow", "true")
	}
	if q.Request != "" {
		query.Set("request", q.Request)
	}
	if q.Build != 0 {
		query.Set("build", strconv.Itoa(q.Build))
	}
	answer, err := s.c.send(ctx, request{
		method: http.MethodGet, path: path("projects", project, noun, name, "logs"), query: query, header: http.Header{"Accept": {"text/plain"}},
	})
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}
