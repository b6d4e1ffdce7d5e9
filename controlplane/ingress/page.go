package ingress

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"nuage/api"
)

// page is an answer of the edge itself.
type page struct {
	status int
	code   api.Code
	title  string
	detail string // what happened and what to do next
	retry  int    // seconds; 0: no advice
}

// unknownHost names no other route: what runs here is not for strangers.
func unknownHost(r *http.Request) page {
	host := hostName(r.Host)
	p := page{status: http.StatusNotFound, code: api.NotFound, title: "Nothing answers here"}
	p.detail = fmt.Sprintf("cannot find anything that serves %q: deploy an app or a function, then use the address that %s prints",
		host, "`nuage app show` or `nuage trigger show`")
	if command := howToDeploy(host); command != "" {
		p.detail = fmt.Sprintf("cannot find anything that serves %q: deploy it with `%s`", host, command)
	}
	return p
}

// howToDeploy is the command after which host would answer, or empty where no command could do that.
func howToDeploy(host string) string {
	words := strings.Split(strings.TrimSuffix(host, ".localhost"), ".")
	if !strings.HasSuffix(host, ".localhost") || len(words) < 2 || len(words) > 3 {
		return ""
	}
	for _, w := range words {
		if api.CheckName("route", w) != nil {
			return ""
		}
	}
	name, project := words[0], ""
	if len(words) == 3 {
		project = " --project " + words[1]
	}
	switch words[len(words)-1] {
	case "app":
		return "nuage" + project + " app deploy " + name + " --source DIR"
	case "fn":
		return "nuage" + project + " trigger create " + name + " --function " + name + " --http"
	}
	return ""
}

func noTunnel() page {
	return page{status: http.StatusMethodNotAllowed, code: api.Invalid, title: "No tunnels here",
		detail: "cannot CONNECT through the edge or a load balancer: send an ordinary request"}
}

func noBackend(r Route) page {
	note := r.Note
	if note == "" {
		note = "no " + member(r) + " is ready"
	}
	return page{status: http.StatusServiceUnavailable, code: api.Unavailable, title: r.Name + " is not serving", retry: 1,
		detail: fmt.Sprintf("cannot reach %s %q: %s", r.Kind, r.Name, note)}
}

// crowded and asleep are for a route that holds requests while it wakes.
func crowded(r Route) page {
	return page{status: http.StatusServiceUnavailable, code: api.Unavailable, title: r.Name + " is waking", retry: 1,
		detail: fmt.Sprintf("cannot reach %s %q: it is being started, and %d requests wait for it already", r.Kind, r.Name, r.Hold.Most)}
}

func asleep(r Route) page {
	p := noBackend(r)
	p.detail += fmt.Sprintf("; the request waited %s for a %s", r.Hold.For, member(r))
	return p
}

func brokenBackend(r Route) page {
	look := "nuage app logs"
	if r.Kind == KindBalancer {
		look = "nuage load-balancer show"
	}
	return page{status: http.StatusBadGateway, code: api.Unavailable, title: r.Name + " did not answer", retry: 1,
		detail: fmt.Sprintf("cannot get an answer from %s %q: every %s refused, did not take or broke the connection; see `%s %s`", r.Kind, r.Name, member(r), look, r.Name)}
}

// member is what the backends of a route are called.
func member(r Route) string {
	if r.Kind == KindBalancer {
		return "target"
	}
	return "replica"
}

func slowBackend(r Route) page {
	return page{status: http.StatusGatewayTimeout, code: api.Unavailable, title: r.Name + " is too slow",
		detail: fmt.Sprintf("cannot wait longer for %s %q: it sent no answer within %s", r.Kind, r.Name, patience(r))}
}

func slowCaller(r Route) page {
	return page{status: http.StatusRequestTimeout, code: api.Invalid, title: "The request came to a halt",
		detail: fmt.Sprintf("cannot pass the request on to %s %q: nothing of its body came for %s", r.Kind, r.Name, r.Limits.Idle)}
}

func tooLarge(r Route) page {
	return page{status: http.StatusRequestEntityTooLarge, code: api.Invalid, title: "The request is too large",
		detail: fmt.Sprintf("cannot pass the request on to %s %q: it takes bodies of up to %d bytes", r.Kind, r.Name, r.Limits.Body)}
}

func tooMany(r Route) page {
	return page{status: http.StatusTooManyRequests, code: api.Exhausted, title: "Too many requests", retry: 1,
		detail: fmt.Sprintf("cannot pass the request on to %s %q: it takes %d requests per second; try again in a second", r.Kind, r.Name, r.Limits.Rate)}
}

var pageHTML = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em;color-scheme:light dark}</style>
<h1>{{.Title}}</h1>
<p>{{.Detail}}</p>
<p><small>nuage edge, status {{.Status}}, request {{.RequestID}}</small></p>
</html>
`))

// writePage answers in HTML to a browser, with a problem document to who asks for JSON, else in plain text.
func writePage(w http.ResponseWriter, r *http.Request, p page) {
	problem := api.Problem{Title: p.title, Status: p.status, Detail: p.detail, Code: p.code, RequestID: w.Header().Get(api.HeaderRequestID)}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	// A caller that left while its page was written is no error of ours: nothing can be done about it here.
	switch accept := strings.Join(r.Header.Values("Accept"), ","); {
	case strings.Contains(accept, "text/html"):
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(p.status)
		_ = pageHTML.Execute(w, problem)
	case strings.Contains(accept, "json"):
		h.Set("Content-Type", api.ProblemType)
		w.WriteHeader(p.status)
		_ = json.NewEncoder(w).Encode(problem)
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.status)
		_, _ = fmt.Fprintln(w, p.detail)
	}
}
