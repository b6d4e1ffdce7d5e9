package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"nuage/api"
)

const (
	watchPause = 200 * time.Millisecond // between two looks, however much changes
	watchBeat  = 15 * time.Second       // a comment shows that the connection lives
	mostPage   = 1000
)

func (f *face) watchRoutes() []route {
	return []route{{get, "/v1/projects/{project}/watch", anyToken, "projects", "watch", "Follow what changes in a project, as server-sent events",
		stream(f.watch, bytesOut(http.StatusOK, "text/event-stream",
			"Events added, changed and removed, each with a Change as its data: first all there is as added, then an event synced, then what changes."))}}
}

type watchInput struct {
	InProject
	Noun []string `query:"noun,explode" maxItems:"20" doc:"only these nouns, as instances; all when absent"`
	Name string   `query:"name" doc:"only what has this name"`
}

// watched is a noun as a watch lists it, whatever its type.
type watched struct {
	noun string
	list func(ctx context.Context, project string, page api.Page) ([]seen, string, error)
}

// seen is a thing as it was when it was looked at last.
type seen struct {
	noun, id, name string
	text           []byte // the object as JSON
}

// watchable are all nouns of a project.
func watchable(c api.Cloud) []watched {
	return []watched{
		watchedNoun("instances", c.Instances), watchedNoun("images", c.Images), watchedNoun("volumes", c.Volumes),
		watchedNoun("snapshots", c.Snapshots), watchedNoun("networks", c.Networks), watchedNoun("load-balancers", c.LoadBalancers),
		watchedNoun("instance-groups", c.InstanceGroups), watchedNoun("keys", c.Keys), watchedNoun("security-groups", c.SecurityGroups),
		watchedNoun("apps", c.Apps), watchedNoun("databases", c.Databases), watchedNoun("backups", c.Backups),
		watchedNoun("auth-pools", c.AuthPools), watchedNoun("functions", c.Functions), watchedNoun("triggers", c.Triggers),
		watchedNoun("queues", c.Queues), watchedNoun("topics", c.Topics), watchedNoun("budgets", c.Budgets),
	}
}

func watchedNoun[T, S any](plural string, r api.Resource[T, S]) watched {
	return watched{plural, func(ctx context.Context, project string, page api.Page) (all []seen, next string, err error) {
		l, err := r.List(ctx, project, page)
		for i := range l.Items {
			text, err := json.Marshal(l.Items[i])
			if err != nil {
				return nil, "", err
			}
			m := head(&l.Items[i])
			all = append(all, seen{plural, m.ID, m.Name, text})
		}
		return all, l.Next, err
	}}
}

// watch looks again each time the cloud says that something has changed, and sends what is different.
func (f *face) watch(w http.ResponseWriter, r *http.Request, in *watchInput) error {
	nouns, err := f.chosen(in.Noun)
	if err != nil {
		return err
	}
	out := &events{w: w, c: http.NewResponseController(w)}
	before := map[string]seen{}
	for first := true; ; first = false {
		changed := f.changed()
		now, err := look(r.Context(), nouns, in)
		if err != nil && r.Context().Err() == nil {
			return err
		}
		if first {
			out.begin()
		}
		out.differences(before, now)
		if first {
			out.send("synced", struct{}{})
		}
		out.flush()
		before = now
		if out.err != nil || !out.rest(r.Context(), changed) {
			return nil // the client has gone
		}
	}
}

// changed is closed when it is worth looking again.
func (f *face) changed() <-chan struct{} {
	if f.Changed != nil {
		return f.Changed()
	}
	later := make(chan struct{})
	time.AfterFunc(time.Second, func() { close(later) })
	return later
}

// chosen are the nouns a watch was asked for. Invalid: there is no such noun.
func (f *face) chosen(names []string) ([]watched, error) {
	all := watchable(f.Cloud)
	for _, name := range names {
		if !slices.ContainsFunc(all, func(w watched) bool { return w.noun == name }) {
			return nil, api.Errorf(api.Invalid, "cannot watch %q: it is no noun of a project, as instances or apps", name)
		}
	}
	if len(names) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(w watched) bool { return !slices.Contains(names, w.noun) }), nil
}

// look lists all there is, by id.
func look(ctx context.Context, nouns []watched, in *watchInput) (map[string]seen, error) {
	now := map[string]seen{}
	for _, n := range nouns {
		for page := (api.Page{Limit: mostPage}); ; {
			items, next, err := n.list(ctx, in.Project, page)
			if err != nil {
				return nil, err
			}
			for _, item := range items {
				if in.Name == "" || in.Name == item.name {
					now[n.noun+"/"+item.id] = item
				}
			}
			if page.After = next; next == "" {
				break
			}
		}
	}
	return now, nil
}

// events writes server-sent events. After an error it writes no more.
type events struct {
	w   http.ResponseWriter
	c   *http.ResponseController
	err error
}

func (e *events) begin() {
	e.w.Header().Set("Content-Type", "text/event-stream")
	e.w.WriteHeader(http.StatusOK)
}

// differences sends what was added, changed and removed between two looks, in the order of nouns and names.
func (e *events) differences(before, now map[string]seen) {
	var all []seen
	kinds := map[string]string{}
	note := func(kind string, key string, s seen) {
		kinds[key] = kind
		all = append(all, s)
	}
	for key, s := range now {
		if old, there := before[key]; !there {
			note("added", key, s)
		} else if !bytes.Equal(old.text, s.text) {
			note("changed", key, s)
		}
	}
	for key, s := range before {
		if _, there := now[key]; !there {
			note("removed", key, s)
		}
	}
	slices.SortFunc(all, func(a, b seen) int {
		return bytes.Compare([]byte(a.noun+"/"+a.name+"/"+a.id), []byte(b.noun+"/"+b.name+"/"+b.id))
	})
	for _, s := range all {
		e.send(kinds[s.noun+"/"+s.id], api.Change{Noun: s.noun, Name: s.name, Object: s.text})
	}
}

func (e *events) send(kind string, v any) {
	text, err := json.Marshal(v)
	if e.err == nil {
		e.err = err
	}
	if e.err == nil {
		_, e.err = fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", kind, text)
	}
}

func (e *events) flush() {
	if e.err == nil {
		e.err = e.c.Flush()
	}
}

// rest waits for a change, sending a sign of life now and then. It is false when the client has gone.
func (e *events) rest(ctx context.Context, changed <-chan struct{}) bool {
	pause := time.NewTimer(watchPause)
	defer pause.Stop()
	beat := time.NewTicker(watchBeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-changed:
			select {
			case <-pause.C:
				return true
			case <-ctx.Done():
				return false
			}
		case <-beat.C:
			if _, e.err = fmt.Fprint(e.w, ": alive\n\n"); e.err == nil {
				e.flush()
			}
			if e.err != nil {
				return false
			}
		}
	}
}
