package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"nuage/api"
	"nuage/api/client"
)

// waitLimit is how long a verb waits for the cloud in all.
const waitLimit = 10 * time.Minute

// cli is one run of the program: its surroundings and the settings all commands share.
type cli struct {
	env      map[string]string
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	dial     func(url, token string) api.Cloud

	flags   globals
	started bool   // a command's own code has begun
	failure error  // what came of it
	path    string // the command that was found, as "nuage app deploy"
}

// globals are the flags every command has.
type globals struct {
	home, url, token, project string
	output                    string
	noWait                    bool
}

func newCLI(env []string, stdin io.Reader, stdout, stderr io.Writer) *cli {
	c := &cli{env: map[string]string{}, in: stdin, out: stdout, err: stderr, now: time.Now, path: "nuage"}
	c.dial = func(url, token string) api.Cloud { return client.New(url, token) }
	for _, entry := range env {
		if k, v, ok := strings.Cut(entry, "="); ok {
			c.env[k] = v
		}
	}
	return c
}

// session is a connection to the cloud with the project commands work in.
type session struct {
	cloud   api.Cloud
	project string
}

// connect reads the settings; it does not talk to the cloud yet.
func (c *cli) connect() (session, error) {
	s, err := c.settings()
	if err != nil {
		return session{}, err
	}
	return session{cloud: c.dial(s.URL, s.Token), project: s.Project}, nil
}

// inCloud makes the body of a command that needs the cloud.
func (c *cli) inCloud(body func(ctx context.Context, s session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := c.connect()
		if err != nil {
			return err
		}
		return body(cmd.Context(), s, args)
	}
}

// isTerminal reports whether stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colour reports whether w may get more than plain text.
func (c *cli) colour(w io.Writer) bool {
	return isTerminal(w) && c.env["NO_COLOR"] == "" && c.env["TERM"] != "dumb"
}
