package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"nuage/api"
)

// conn makes requests.
type conn struct {
	base, token, agent string
	http               *http.Client
}

// request is one request to make. In, where not nil, is sent as JSON; content, where not nil, as it is.
type request struct {
	method  string
	path    string
	query   url.Values
	header  http.Header
	in      any
	content io.Reader
}

// path joins and escapes the parts of a path under /v1.
func path(parts ...string) string {
	var b strings.Builder
	b.WriteString("/v1")
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// call makes a request and decodes the answer into out, where that is not nil.
func (c *conn) call(ctx context.Context, r request, out any) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, answer.Body)
	} else {
		err = json.NewDecoder(answer.Body).Decode(out)
	}
	if err != nil {
		return c.garbled(ctx, err)
	}
	return nil
}

// garbled words an answer that broke off or is not what it should be.
func (c *conn) garbled(ctx context.Context, err error) error {
	return c.failed(ctx, fmt.Errorf("its answer broke off or cannot be read: %w", err))
}

// send makes a request and returns the answer, whose body the caller closes. A problem comes back as the error it was.
func (c *conn) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		return nil, c.refused(answer)
	}
	return answer, nil
}

func (c *conn) request(ctx context.Context, r request) (*http.Request, error) {
	content := r.content
	if r.in != nil {
		text, err := json.Marshal(r.in)
		if err != nil {
			return nil, api.Errorf(api.Invalid, "cannot send the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	where := c.base + r.path
	if len(r.query) > 0 {
		where += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, where, content)
	if err != nil {
		return nil, api.Errorf(api.Invalid, "cannot use %q as the address of a cloud: give one as http://127.0.0.1:7070", c.base)
	}
	req.Header = c.header(ctx, r)
	return req, nil
}

func (c *conn) header(ctx context.Context, r request) http.Header {
	h := http.Header{"User-Agent": {c.agent}, "Accept": {"application/json"}}
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
	if r.in != nil {
		h.Set("Content-Type", "application/json")
	}
	if key := api.IdempotencyKeyFrom(ctx); key != "" && r.method == http.MethodPost {
		h.Set(api.HeaderIdempotencyKey, key)
	}
	for name, values := range r.header {
		h[name] = values
	}
	return h
}

// failed words an error of the connection.
func (c *conn) failed(ctx context.Context, err error) error {
	var known *api.Error
	if errors.As(err, &known) { // what was being sent could not be read
		return known
	}
	if ctx.Err() != nil {
		return api.Errorf(api.Unavailable, "cannot wait for the cloud at %s any longer: %w", c.base, context.Cause(ctx))
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		e := api.Errorf(api.Unavailable, "cannot reach the cloud at %s: start it with `nuage up`", c.base)
		e.Cause = err
		return e
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // it names the URL again
	}
	return api.Errorf(api.Unavailable, "cannot reach the cloud at %s: %w", c.base, err)
}

// refused turns a problem back into the error it was.
func (c *conn) refused(answer *http.Response) error {
	var p api.Problem
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind == api.ProblemType && json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&p) == nil && p.Code != "" {
		return problemError(p)
	}
	return api.Errorf(codeOf(answer.StatusCode), "cannot understand the answer of %s: it is HTTP %s and no problem document; is this a nuage cloud?", c.base, answer.Status)
}

func problemError(p api.Problem) *api.Error {
	e := &api.Error{Code: p.Code, Message: p.Detail}
	if p.Code == api.Internal && p.RequestID != "" {
		e.Cause = errors.New("request " + p.RequestID)
	}
	return e
}

// codeOf is for answers that something other than a cloud gave.
func codeOf(status int) api.Code {
	switch {
	case status == http.StatusUnauthorized:
		return api.Unauthenticated
	case status == http.StatusForbidden:
		return api.Forbidden
	case status == http.StatusNotFound:
		return api.NotFound
	case status == http.StatusTooManyRequests:
		return api.Exhausted
	case status >= 500:
		return api.Unavailable
	}
	return api.Invalid
}

// ask makes a request and returns the answer as a T.
func ask[T any](ctx context.Context, c *conn, r request) (out T, err error) {
	err = c.call(ctx, r, &out)
	return out, err
}

// pageQuery sends only what is set.
func pageQuery(p api.Page) url.Values {
	q := url.Values{}
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	setIf(q, "after", p.After)
	return q
}

func setIf(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}
