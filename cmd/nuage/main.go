// Command nuage runs a small cloud on a laptop (nuage up) and is its command line: one file per noun.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"charm.land/fang/v2"
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is main with everything it touches passed in. It returns the exit status: 0 done, 1 refused or failed, 2 wrong
// usage, and for commands run elsewhere the remote status.
func run(args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second Ctrl-C kills
	return newCLI(env, stdin, stdout, stderr).execute(ctx, args)
}

// execute runs one command line.
func (c *cli) execute(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	usage := func(_ io.Writer, _ fang.Styles, err error) { c.explain(err) }
	err := fang.Execute(ctx, root, fang.WithVersion(version()), fang.WithoutManpage(), fang.WithErrorHandler(usage))
	if err == nil && c.failure != nil {
		err = c.failure
		c.explain(err)
	}
	return c.exitCode(err)
}

// exitCode maps an error to the exit status of the contract.
func (c *cli) exitCode(err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case c.isUsage(err):
		return 2
	default:
		return 1
	}
}
