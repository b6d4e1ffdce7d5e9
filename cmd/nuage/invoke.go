package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) functionInvokeCmd() *cobra.Command {
	var data, contentType string
	var log, async, dryRun bool
	cmd := &cobra.Command{
		Use:   "invoke NAME[:ALIAS|:VERSION]",
		Short: "Call a function and print its answer",
		Long: "Call a function and print its answer on stdout. The receipt of the call goes to stderr: what it took and what it costs.\n" +
			"An error of the function is printed on stdout like an answer, and the exit status is 1. With --async the call is only taken,\n" +
			"durably, and its request id is printed; it runs soon, and again where it fails.",
		Example: lines(`nuage function invoke hello --data '{"name":"you"}'`, "nuage function invoke resize --data @photo.jpg > small.jpg",
			"date | nuage function invoke hello --data - --log", "nuage function invoke hello --async"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.functions().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			payload, err := c.payload(data)
			if err != nil {
				return err
			}
			call := api.Invocation{Payload: payload, ContentType: contentType, Type: api.Sync}
			if call.ContentType == "" {
				call.ContentType = guessType(payload)
			}
			if async {
				call.Type = api.Async
			}
			if dryRun {
				call.Type = api.DryRun
			}
			var name string
			name, call.Qualifier, _ = strings.Cut(args[0], ":")
			answer, err := s.cloud.Functions.Invoke(ctx, s.project, name, call)
			if err != nil {
				return err
			}
			if dryRun {
				c.note("version %d of function %q could be called", answer.Receipt.Version, name)
				return nil
			}
			if async {
				return c.done(answer.Receipt.RequestID, answer.Receipt.RequestID)
			}
			return c.printAnswer(answer, log)
		}),
	}
	f := cmd.Flags()
	f.StringVarP(&data, "data", "d", "", "the event: text such as JSON, @FILE for a file's content, - for stdin; default: empty")
	f.StringVar(&contentType, "content-type", "", "type of the event; default: application/json where it is JSON, else application/octet-stream")
	f.BoolVar(&dryRun, "dry-run", false, "only look whether the call could be made; default: make it")
	f.BoolVar(&log, "log", false, "print the last 4 KB of the call's log on stderr too; default: do not")
	f.BoolVar(&async, "async", false, "do not wait for the answer; default: wait")
	return cmd
}

// payload reads the event as it was typed.
func (c *cli) payload(data string) ([]byte, error) {
	var bytes []byte
	var err error
	switch path, isFile := strings.CutPrefix(data, "@"); {
	case isFile:
		bytes, err = os.ReadFile(path)
	case data == "-":
		bytes, err = io.ReadAll(io.LimitReader(c.in, api.MaxPayloadBytes+1))
	default:
		bytes = []byte(data)
	}
	if err != nil {
		return nil, api.Errorf(api.Invalid, "cannot read the event: %w", err)
	}
	if len(bytes) > api.MaxPayloadBytes {
		return nil, api.Errorf(api.Invalid, "cannot send the event: it is larger than %s", bytesText(api.MaxPayloadBytes))
	}
	return bytes, nil
}

func guessType(payload []byte) string {
	switch {
	case len(payload) == 0:
		return ""
	case json.Valid(payload):
		return "application/json"
	default:
		return "application/octet-stream"
	}
}

// printAnswer prints the answer on stdout and the rest on stderr. Text on a terminal gets a line end.
func (c *cli) printAnswer(a api.Answer, log bool) error {
	if _, err := c.out.Write(a.Payload); err != nil {
		return err
	}
	if n := len(a.Payload); n > 0 && a.Payload[n-1] != '\n' && isTerminal(c.out) {
		fmt.Fprintln(c.out)
	}
	if log && a.Log != "" {
		c.note("%s", strings.TrimRight(a.Log, "\n"))
	}
	c.note("%s", receiptText(a.Receipt))
	if a.FunctionError != "" {
		c.note("nuage: function %q failed (%s)", a.Receipt.Function, a.FunctionError)
		return exitStatus(1)
	}
	return nil
}

// receiptText is a receipt in one line.
func receiptText(r api.Receipt) string {
	start := ""
	if r.Cold {
		start = fmt.Sprintf("  init %s ms (cold)", r.InitMs)
	}
	return fmt.Sprintf("request %s  duration %s ms%s  billed %d ms  memory %d of %d MB  cost %s",
		r.RequestID, r.DurationMs, start, r.BilledMs, r.MaxMemoryUsedMB, r.MemoryMB, amount(r.Cost, 12))
}

func (c *cli) receipts() kind[api.Receipt] {
	return kind[api.Receipt]{
		word: "receipt",
		name: func(r *api.Receipt) string { return r.RequestID },
		columns: []column[api.Receipt]{
			{head: "REQUEST", cell: func(r api.Receipt) string { return r.RequestID }},
			{head: "STARTED", cell: func(r api.Receipt) string { return timeText(r.StartedAt) }},
			{head: "VERSION", cell: func(r api.Receipt) string { return fmt.Sprint(r.Version) }},
			{head: "STATUS", cell: func(r api.Receipt) string { return r.Status }},
			{head: "DURATION MS", cell: func(r api.Receipt) string { return r.DurationMs }},
			{head: "INIT MS", cell: initText},
			{head: "BILLED MS", cell: func(r api.Receipt) string { return fmt.Sprint(r.BilledMs) }},
			{head: "MEMORY MB", cell: func(r api.Receipt) string { return fmt.Sprintf("%d of %d", r.MaxMemoryUsedMB, r.MemoryMB) }},
			{head: "GB-S", cell: func(r api.Receipt) string { return r.GBSeconds }},
			{head: "COST", cell: func(r api.Receipt) string { return amount(r.Cost, 12) }},
		},
	}
}

func initText(r api.Receipt) string {
	if !r.Cold {
		return "warm"
	}
	return r.InitMs
}

func (c *cli) invocationsCmd() *cobra.Command {
	return c.receiptsCmd("invocations NAME", "List the last calls of a function, newest first", "nuage function invocations hello --last 5")
}

// receiptsCmd makes a command that lists the receipts of a function.
func (c *cli) receiptsCmd(use, short, example string) *cobra.Command {
	var last int
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args:              takes(1, 1),
		ValidArgsFunction: c.functions().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if last < 1 {
				return usagef("cannot list the last %d calls: give a number from 1", last)
			}
			list, err := s.cloud.Functions.Calls(ctx, s.project, args[0], last)
			if err != nil {
				return err
			}
			return printList(c, c.receipts(), list)
		}),
	}
	cmd.Flags().IntVar(&last, "last", 20, "how many calls")
	return cmd
}
