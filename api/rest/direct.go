package rest

import (
	"net/http"
	"strings"

	"nuage/api"
)

// invocationPath is the template of the path of calls.
const invocationPath = "/v1/projects/{project}/functions/{name}/invocations"

// direct serves calls of functions before the router does: its expressions and the decoding behind them cost more than a small
// function. What it does not see at once to be a proper call goes on to the router, which tells what is wrong with it.
func (f *face) direct(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, ok := directCall(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		rec := recordOf(r.Context())
		rec.route = invocationPath
		actor, err := f.admit(r, anyToken, in.Project)
		if err != nil {
			f.fail(w, r, err)
			return
		}
		if err := f.call(api.WithActor(r.Context(), actor), w, r, in); err != nil {
			f.broken(w, r, err)
		}
	})
}

// directCall reads a call without a query off a request.
func directCall(r *http.Request) (*invokeInput, bool) {
	if r.Method != http.MethodPost || r.URL.RawQuery != "" || r.URL.RawPath != "" {
		return nil, false
	}
	project, rest, ok := cut(r.URL.Path, "/v1/projects/")
	if !ok {
		return nil, false
	}
	name, rest, ok := cut(rest, "/functions/")
	if !ok || rest != "/invocations" {
		return nil, false
	}
	in := &invokeInput{Named: Named{InProject{project}, name}, Type: r.Header.Get(api.HeaderInvocationType), LogType: r.Header.Get(api.HeaderLogType)}
	return in, in.known()
}

// cut takes the segment behind a prefix off a path; rest begins with the slash after it.
func cut(path, prefix string) (segment, rest string, ok bool) {
	path, ok = strings.CutPrefix(path, prefix)
	end := strings.IndexByte(path, '/')
	if !ok || end < 1 {
		return "", "", false
	}
	return path[:end], path[end:], true
}

// known tells that the words of the headers are among those there are.
func (in *invokeInput) known() bool {
	switch api.InvocationType(in.Type) {
	case "", api.Sync, api.Async, api.DryRun:
		return in.LogType == "" || in.LogType == "tail" || in.LogType == "none"
	}
	return false
}
