package main

import (
	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/compute/images"
)

// finding is one thing doctor looked at.
type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func (c *cli) doctorCmd() *cobra.Command {
	var fix bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what this machine lacks for a real cloud, and put it right with --fix",
		Long: "Look for an engine, the right to use it, base images, disk and memory. With --fix, install and start Docker where that\n" +
			"may be done and make or pull the base images. The exit status is 1 while something is missing.",
		Example: lines("nuage doctor", "sudo nuage doctor --fix"),
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fix {
				if err := images.Setup(cmd.Context(), c.err, images.Options{}); err != nil {
					return err
				}
			}
			home, err := c.home()
			if err != nil {
				return err
			}
			return c.printFindings(images.Doctor(cmd.Context(), home))
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "see to what is missing first; default: only look")
	return cmd
}

func findings() kind[finding] {
	return kind[finding]{
		word: "check",
		name: func(f *finding) string { return f.Name },
		columns: []column[finding]{
			{head: "CHECK", cell: func(f finding) string { return f.Name }},
			{head: "OK", cell: func(f finding) string { return yesNo(f.OK) }},
			{head: "FOUND", cell: func(f finding) string { return f.Detail }},
			{head: "TO DO", cell: func(f finding) string { return f.Fix }},
		},
	}
}

func (c *cli) printFindings(checks []images.Check) error {
	list := api.List[finding]{}
	missing := 0
	for _, check := range checks {
		list.Items = append(list.Items, finding{check.Name, check.OK, check.Detail, check.Fix})
		if !check.OK {
			missing++
		}
	}
	if err := printList(c, findings(), list); err != nil {
		return err
	}
	if missing > 0 {
		c.note("nuage: %s not as it should be", plural(missing, "check"))
		return exitStatus(1)
	}
	return nil
}
