// Command nuage-bench measures nuage against the least that could do the same, in one run, and prints ratios: machines
// differ and are shared, so times alone say little. It starts clouds of its own in temporary homes, and all load goes
// to loopback.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// row is one line of the table: what was measured, and what it is measured against.
type row struct {
	name           string
	ours, base     string
	ratio          float64
	oursIs, baseIs string
}

func main() {
	binary := flag.String("nuage", "bin/nuage", "the program to measure")
	only := flag.String("only", "", "api, wasm, functions, apps, instance, crowd, memory or bill; default: all but wasm, which is part of functions")
	receipts := flag.Int("receipts", 1_000_000, "how many calls the bill is of; ten million take some minutes and 6 GB of disk")
	yard := flag.String("yardsticks", "", "for itself: serve what functions are measured against, with a store in this folder")
	flag.Parse()
	if *yard != "" {
		fmt.Fprintln(os.Stderr, "nuage-bench:", serveYardsticks(*yard))
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	benches := []struct {
		name string
		run  func(context.Context, string) ([]row, error)
	}{{"api", benchAPI}, {"wasm", benchWasm}, {"functions", benchFunctions}, {"memory", benchMemory}, {"apps", benchApps}, {"instance", benchInstance}, {"crowd", benchCrowd},
		{"bill", func(ctx context.Context, binary string) ([]row, error) { return benchBill(ctx, binary, *receipts) }}}
	failed := false
	fmt.Printf("%-44s %14s %14s %8s\n", "WHAT", "NUAGE", "BASE", "RATIO")
	for _, b := range benches {
		if *only != b.name && (*only != "" || b.name == "wasm") {
			continue
		}
		rows, err := b.run(ctx, *binary)
		for _, r := range rows {
			fmt.Printf("%-44s %14s %14s %8.2f  %s / %s\n", r.name, r.ours, r.base, r.ratio, r.oursIs, r.baseIs)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "nuage-bench: %s: %v\n", b.name, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// timeRow compares two durations: how many times as long ours takes.
func timeRow(name string, ours, base time.Duration, oursIs, baseIs string) row {
	return row{name, round(ours), round(base), float64(ours) / float64(base), oursIs, baseIs}
}

// rateRow compares two rates: how much of the base's rate is reached.
func rateRow(name string, ours, base float64, oursIs, baseIs string) row {
	return row{name, fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("%.0f/s", base), ours / base, oursIs, baseIs}
}

func round(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}
