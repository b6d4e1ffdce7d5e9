package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nuage/api"
)

// waitSlice is how long one question to the cloud waits, so that a change of phase is shown soon.
const waitSlice = 2 * time.Second

// wait asks until the world has caught up with the thing's spec. A failed thing is an error that gives the reason.
func (n noun[T, S]) wait(ctx context.Context, c *cli, s session, name string) (T, error) {
	item, err := n.settle(ctx, c, s, name)
	if err != nil {
		return item, err
	}
	if st := n.state(&item); st.Phase == api.Failed {
		return item, api.Errorf(api.Unavailable, "cannot get %s %q going: %s; see nuage %s show %s", n.word, name, reason(st), n.word, name)
	}
	return item, nil
}

func reason(st *api.Status) string {
	if st.Reason == "" {
		return string(st.Phase)
	}
	return st.Reason
}

// settle asks until nothing is under way any more, for better or worse.
func (n noun[T, S]) settle(ctx context.Context, c *cli, s session, name string) (T, error) {
	var last T
	err := n.watch(ctx, c, s, name, func(item T) bool {
		last = item
		return api.Settled(*n.head(&item), *n.state(&item))
	})
	return last, err
}

// waitGone asks until the thing is no more.
func (n noun[T, S]) waitGone(ctx context.Context, c *cli, s session, name string) error {
	err := n.watch(ctx, c, s, name, func(T) bool { return false })
	if errors.Is(err, api.NotFound) {
		return nil
	}
	return err
}

// watch asks for the thing again and again, showing its phase, until done says so, something fails or time is up.
func (n noun[T, S]) watch(ctx context.Context, c *cli, s session, name string, done func(T) bool) error {
	what, look := fmt.Sprintf("%s %q", n.word, name), fmt.Sprintf("nuage %s show %s", n.word, name)
	p := c.progress(what)
	defer p.stop()
	for end := c.now().Add(waitLimit); c.now().Before(end); {
		item, err := n.of(s.cloud).Wait(ctx, s.project, name, waitSlice)
		if err != nil {
			return errors.Join(interrupted(ctx, what, look), ignoreCancel(ctx, err))
		}
		p.show(phaseText(n.state(&item)))
		if done(item) {
			return nil
		}
	}
	return api.Errorf(api.Unavailable, "cannot wait for %s any longer: %s have passed; the work goes on, see %s", what, waitLimit, look)
}

// ignoreCancel drops an error that only says that ctx has ended.
func ignoreCancel(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func phaseText(st *api.Status) string {
	if st.Reason == "" {
		return string(st.Phase)
	}
	return string(st.Phase) + ": " + st.Reason
}
