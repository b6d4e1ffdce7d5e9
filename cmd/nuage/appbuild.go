package main

import (
	"bufio"
	"context"
	"errors"

	"nuage/api"
)

// followBuild prints what the build of the release under way says, and its release command, until they end. It returns the last
// line, "" where there is nothing to build.
func (c *cli) followBuild(ctx context.Context, s session, a api.App) (last string, err error) {
	if a.Spec.Source == "" || a.Status.Target == 0 {
		return "", nil
	}
	log, err := s.cloud.Streams.Logs(ctx, s.project, "apps", a.Name, api.LogQuery{Follow: true, Build: a.Status.Target})
	if errors.Is(err, api.NotFound) { // the release needs no build
		return "", nil
	}
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text := lines.Text(); text != "" {
			last = text
			c.note("  | %s", last)
		}
	}
	return last, errors.Join(ignoreCancel(ctx, lines.Err()), log.Close())
}

// failureLog prints the last lines of a failed release, unless they were seen as they came.
func (c *cli) failureLog(f *api.Failure, seen string) {
	if n := len(f.Log); n > 0 && f.Log[n-1] == seen {
		return
	}
	for _, line := range f.Log {
		c.note("  | %s", line)
	}
}
