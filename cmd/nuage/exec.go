package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"nuage/api"
)

// exec runs a command in the cloud with this program's streams and passes its exit status on. On a terminal the command
// gets one too.
func (c *cli) exec(ctx context.Context, s session, noun, name string, cmd api.Command) error {
	stdio := api.Stdio{In: c.in, Out: c.out, Err: c.err}
	restore := func() error { return nil }
	if isTerminal(c.in) && isTerminal(c.out) {
		var err error
		if restore, err = c.rawTerminal(ctx, &cmd, &stdio); err != nil {
			return err
		}
	}
	status, err := s.cloud.Streams.Exec(ctx, s.project, noun, name, cmd, stdio)
	if err := errors.Join(err, restore()); err != nil {
		return err
	}
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

// rawTerminal asks for a terminal on the other side and makes the one here hand everything over.
func (c *cli) rawTerminal(ctx context.Context, cmd *api.Command, stdio *api.Stdio) (restore func() error, err error) {
	fd := int(c.in.(*os.File).Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot use the terminal: %w", err)
	}
	cmd.TTY = true
	if cols, rows, err := term.GetSize(fd); err == nil {
		cmd.Rows, cmd.Cols = rows, cols
	}
	if name := c.env["TERM"]; name != "" {
		cmd.Env = pairs{"TERM": name}.into(cmd.Env)
	}
	ctx, cancel := context.WithCancel(ctx)
	stdio.Resize = windowSizes(ctx, fd)
	return func() error {
		cancel()
		return term.Restore(fd, before)
	}, nil
}

// envLines are K=V in the order of the keys.
func envLines(m map[string]string) []string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, k+"="+m[k])
	}
	return words
}

// logsCmd makes the command that prints what a noun has printed.
func (c *cli) logsCmd(verb, word, plural, short string, complete cobra.CompletionFunc) *cobra.Command {
	var q api.LogQuery
	cmd := &cobra.Command{
		Use:               verb + " NAME",
		Short:             short,
		Example:           lines("nuage "+word+" "+verb+" NAME", "nuage "+word+" "+verb+" NAME --tail 50 -f"),
		Args:              takes(1, 1),
		ValidArgsFunction: complete,
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			log, err := s.cloud.Streams.Logs(ctx, s.project, plural, args[0], q)
			if err != nil {
				return err
			}
			_, err = io.Copy(c.out, log)
			return errors.Join(ignoreCancel(ctx, err), log.Close())
		}),
	}
	if plural == "apps" {
		cmd.Flags().IntVar(&q.Build, "build", 0, "number of a release: print the log of its build and of its release command; default: what the replicas print")
	}
	if plural == "functions" {
		cmd.Flags().StringVar(&q.Request, "request", "", "id of a call: print only what that has printed; default: all calls")
	}
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on and print what comes; default: end")
	cmd.Flags().IntVar(&q.Tail, "tail", 0, "how many of the last lines; default: all that is kept")
	return cmd
}
