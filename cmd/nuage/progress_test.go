package main

import (
	"bytes"
	"testing"
)

func TestProgressIsForTerminalsOnly(t *testing.T) {
	for _, c := range []struct{ name, progress, output, want string }{
		{"by default", "", "table", ""},
		{"asked for", "NUAGE_PROGRESS=plain", "table", "cloud starting\n"},
		{"asked for, but a program reads", "NUAGE_PROGRESS=plain", "json", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var errs bytes.Buffer
			cli := newCLI([]string{c.progress}, nil, nil, &errs)
			cli.flags.output = c.output
			p := cli.progress("cloud")
			p.show("starting")
			p.stop()
			if errs.String() != c.want {
				t.Errorf("stderr is %q, want %q", errs.String(), c.want)
			}
		})
	}
}
