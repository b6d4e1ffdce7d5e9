package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/storage"
)

const (
	// maxHistory bounds, in bytes, what one answer has of what was printed before it was asked for: what is older is left out. What the
	// engine keeps of each replica is bounded too.
	maxHistory = 8 << 20
	// lineCost is what a line takes in memory beside its text.
	lineCost = 64
	// logPause is how long a follower waits before it asks again for the log of a replica that has ended or could not be read.
	logPause = time.Second
)

// printed is a line that a replica has printed.
type printed struct {
	replica, text string
	at            time.Time
}

// appLog is one answer with what the replicas of an app print: first what there is, in the order of time, then lines as they come, of
// replicas that come later too.
type appLog struct {
	cp     *ControlPlane
	logger compute.Logger
	app    string
	q      api.LogQuery
	out    io.Writer

	newest map[string]time.Time // by replica, of what was read
	lines  chan printed
	ends   chan logEnd
}

// logEnd tells that the log of a replica has ended, or why it could not be read.
type logEnd struct {
	replica string
	err     error
}

// appLog reads the log of an app. The caller closes it.
func (s streams) appLog(ctx context.Context, logger compute.Logger, app string, q api.LogQuery) io.ReadCloser {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	l := &appLog{cp: s.cp, logger: logger, app: app, q: q, out: w, newest: map[string]time.Time{}, lines: make(chan printed), ends: make(chan logEnd)}
	go func() {
		defer cancel()
		w.CloseWithError(l.copy(ctx))
	}()
	return closer{r, cancel}
}

func (l *appLog) copy(ctx context.Context) error {
	ids, err := l.replicas()
	if err != nil {
		return err
	}
	history, err := l.history(ctx, ids)
	if err != nil {
		return err
	}
	for _, line := range history {
		if err := l.send(line); err != nil {
			return err
		}
	}
	if !l.q.Follow {
		return nil
	}
	return l.follow(ctx)
}

// replicas are the ids of the app's replicas now. NotFound: the app is gone.
func (l *appLog) replicas() (ids []string, err error) {
	var a api.App
	err = l.cp.Store.View(func(tx *storage.Tx) (err error) { a, err = appTable.Get(tx, l.app); return err })
	for _, r := range a.Status.Replicas {
		ids = append(ids, r.ID)
	}
	return ids, err
}

// send writes a line, named by its replica: r3-0 is the first one of release 3.
func (l *appLog) send(p printed) error {
	l.newest[p.replica] = p.at
	_, err := fmt.Fprintf(l.out, "%s | %s\n", p.replica[strings.LastIndex(p.replica, "-r")+1:], p.text)
	return err
}

// history is what the replicas have printed so far, oldest first.
func (l *appLog) history(ctx context.Context, ids []string) (all []printed, err error) {
	for _, id := range ids {
		q := compute.LogQuery{Tail: l.q.Tail, Stamped: true}
		err := l.read(ctx, id, q, func(p printed) error {
			all, l.newest[id] = append(all, p), p.at
			return nil
		})
		if err != nil && !noLog(err) {
			return nil, err
		}
		all = l.newestOf(all)
	}
	return all, nil
}

// newestOf sorts lines by time and leaves out the older ones that are more than was asked for, or than one answer holds.
func (l *appLog) newestOf(all []printed) []printed {
	slices.SortStableFunc(all, func(a, b printed) int { return a.at.Compare(b.at) })
	from, size := len(all), 0
	for from > 0 && (l.q.Tail == 0 || len(all)-from < l.q.Tail) {
		if size += len(all[from-1].text) + lineCost; size > maxHistory {
			break
		}
		from--
	}
	return slices.Clone(all[from:])
}

// follow sends lines as they come until ctx ends or the app is gone. A replica whose log ended is asked again while it is there: it
// may be started anew. One that can't be read twice in a row ends the answer.
func (l *appLog) follow(ctx context.Context) error {
	tick := time.NewTicker(logPause)
	defer tick.Stop()
	open, rests, failed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for {
		changed := l.cp.changes.next()
		ids, err := l.replicas()
		if err != nil {
			return ignoreGone(err)
		}
		for _, id := range ids {
			if !open[id] && !rests[id] {
				open[id] = true
				go l.tail(ctx, id, l.newest[id])
			}
		}
		select {
		case p := <-l.lines:
			delete(failed, p.replica)
			err = l.send(p)
		case end := <-l.ends:
			delete(open, end.replica)
			broken := end.err != nil && !noLog(end.err)
			if broken && failed[end.replica] && slices.Contains(ids, end.replica) {
				err = end.err
			}
			rests[end.replica], failed[end.replica] = true, broken
		case <-tick.C:
			clear(rests)
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// tail hands over what a replica prints after the line that was read last.
func (l *appLog) tail(ctx context.Context, id string, newest time.Time) {
	q := compute.LogQuery{Follow: true, Stamped: true}
	if !newest.IsZero() {
		q.Since = newest.Add(1)
	}
	err := l.read(ctx, id, q, func(p printed) error {
		select {
		case l.lines <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	select {
	case l.ends <- logEnd{id, err}:
	case <-ctx.Done():
	}
}

// noLog reports whether a replica has no log to read: it is not made yet, or it is being removed.
func noLog(err error) bool { return errors.Is(err, api.NotFound) || errors.Is(err, api.Conflict) }

// read gives each line of a replica's log to see; a very long one comes in parts.
func (l *appLog) read(ctx context.Context, id string, q compute.LogQuery, see func(printed) error) (err error) {
	log, err := l.logger.Logs(ctx, id, q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	defer context.AfterFunc(ctx, func() { log.Close() })() // ends a read that waits
	b := bufio.NewReaderSize(log, 64<<10)
	p, inLine := printed{replica: id}, false
	for {
		line, more, err := b.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p.text = string(line)
		if !inLine {
			p.at, p.text = unstamp(p.text, p.at)
		}
		inLine = more
		if err := see(p); err != nil {
			return err
		}
	}
}

// unstamp takes the time off a stamped line; one without is of the time of the line before.
func unstamp(line string, before time.Time) (time.Time, string) {
	stamp, text, _ := strings.Cut(line, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return before, line
	}
	return at, text
}
