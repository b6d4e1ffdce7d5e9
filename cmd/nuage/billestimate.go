package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/controlplane/billing"
)

// estimated is a workload and what it costs, as it is printed.
type estimated struct {
	Requests   int64              `json:"requests" yaml:"requests"`
	DurationMS int64              `json:"durationMs" yaml:"durationMs"`
	MemoryMB   int64              `json:"memoryMb" yaml:"memoryMb"`
	Hours      int64              `json:"hours" yaml:"hours"`
	Instance   string             `json:"instance" yaml:"instance"`
	StorageGB  int64              `json:"storageGb" yaml:"storageGb"`
	Items      []billing.Estimate `json:"items" yaml:"items"`
}

func (c *cli) billEstimateCmd() *cobra.Command {
	requests, duration, chart := count(3_000_000), span(100*time.Millisecond), ""
	w := billing.Workload{}
	cmd := &cobra.Command{
		Use:   "estimate",
		Short: "What a month of work costs on each model under every price book, and where they break even",
		Long: "Price a month of work three ways: as calls of a function, as an app and as an instance that run for --hours. The columns at the right\n" +
			"say from how many calls a month on a function costs more. Free amounts, minimums and each provider's rounding are in it. It needs no cloud.",
		Example: lines("nuage bill estimate --requests 3M --duration 100ms --memory 512 --instance micro", "nuage bill estimate --requests 20M --chart estimate.html"),
		Args:    takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			w.Requests, w.DurationMS = int64(requests), (time.Duration(duration) + time.Millisecond - 1).Milliseconds()
			all, err := estimateAll(w)
			if err != nil {
				return err
			}
			if chart != "" {
				if err := writeChart(chart, w, all); err != nil {
					return err
				}
			}
			return c.printEstimates(w, all)
		},
	}
	f := cmd.Flags()
	f.Var(&requests, "requests", "calls a month, as 500k, 3M or 2G")
	f.Var(&duration, "duration", "how long each takes")
	f.Int64Var(&w.MemoryMB, "memory", 128, "MB of memory of the function")
	f.Int64Var(&w.Hours, "hours", 730, "hours of the month that the instance and the app run; 730 is all of it")
	f.Int64Var(&w.StorageGB, "storage", 0, "GB kept all month, the same on each model")
	f.Var(newChoice(&w.Instance, sizeNames()...), "instance", "size of the instance and of the app")
	w.Instance, f.Lookup("instance").DefValue = "small", "small"
	f.StringVar(&chart, "chart", "", "write a chart to this file too: .svg or .html, which need nothing else")
	return cmd
}

func estimateAll(w billing.Workload) ([]billing.Estimate, error) {
	books, err := billing.Load()
	if err != nil {
		return nil, err
	}
	var all []billing.Estimate
	for _, b := range books.Books() {
		e, err := b.Estimate(w)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func (c *cli) printEstimates(w billing.Workload, all []billing.Estimate) error {
	done, err := c.encode(estimated{w.Requests, w.DurationMS, w.MemoryMB, w.Hours, w.Instance, w.StorageGB, all})
	if done {
		return err
	}
	var rows [][]string
	for _, e := range all {
		rows = append(rows, []string{e.Book, amount(e.IaaS, 6), amount(e.PaaS, 6), amount(e.FaaS, 6), modelWord(e.Cheapest), breakEvenText(e.OfIaaS), breakEvenText(e.OfPaaS)})
	}
	if err := c.printTable([]string{"BOOK", "INSTANCE", "APP", "FUNCTION", "CHEAPEST", "DEARER THAN INSTANCE FROM", "DEARER THAN APP FROM"}, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, workloadText(w))
	return err
}

func modelWord(model string) string {
	return map[string]string{"iaas": "instance", "paas": "app", "faas": "function"}[model]
}

func breakEvenText(b *billing.BreakEven) string {
	if b == nil {
		return "never"
	}
	return fmt.Sprintf("%d calls, %s/s", b.Requests, b.PerSecond)
}

func workloadText(w billing.Workload) string {
	text := fmt.Sprintf("a month of 730 h: %d calls of %d ms at %d MB, or a %s instance or app for %d h", w.Requests, w.DurationMS, w.MemoryMB, w.Instance, w.Hours)
	if w.StorageGB > 0 {
		text += fmt.Sprintf("; %d GB kept", w.StorageGB)
	}
	return text
}

// count is a flag for a large number: 500k, 3M, 2G.
type count int64

func (n *count) String() string { return strconv.FormatInt(int64(*n), 10) }
func (n *count) Type() string   { return "number" }

func (n *count) Set(text string) error {
	digits, times := text, int64(1)
	for suffix, by := range map[string]int64{"k": 1_000, "M": 1_000_000, "G": 1_000_000_000} {
		if cut, ok := strings.CutSuffix(text, suffix); ok {
			digits, times = cut, by
		}
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v < 0 || v > 1_000_000_000_000/times {
		return fmt.Errorf("it must be a number such as 500000, 500k, 3M or 2G, up to 1000G")
	}
	*n = count(v * times)
	return nil
}

// writeChart writes the chart that the name of the file asks for.
func writeChart(path string, w billing.Workload, all []billing.Estimate) error {
	var text string
	switch filepath.Ext(path) {
	case ".svg":
		text = chartSVG(w, all)
	case ".html":
		text = chartHTML(w, all)
	default:
		return usagef("cannot write the chart %q: its name must end in .svg or .html", path)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return api.Errorf(api.Unavailable, "cannot write the chart %q: %w", path, err)
	}
	return nil
}
