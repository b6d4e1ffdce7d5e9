package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

// scaleFlags say how the cloud chooses the number of replicas.
type scaleFlags struct {
	api.AppScaling
	idle, cooldown span
}

func (c *cli) appScaleCmd() *cobra.Command {
	flags := scaleFlags{idle: span(5 * time.Minute), cooldown: span(time.Minute)}
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "scale NAME (N | --min N --max N [--rps N | --cpu PERCENT])", Short: "Run N replicas of an app, or as many as its load asks for",
		Long: "Run N replicas of an app; 0 switches it off. With --max the cloud chooses the number, by requests per second or by cpu of each\n" +
			"replica: out at once, in one by one. With --min 0 an app without requests has no replica and costs nothing; the first\n" +
			"request then waits until one is there, up to 30 s. Each scaling is in nuage activity list --layer scaling, with its reason.",
		Example:           lines("nuage app scale shop 3", "nuage app scale shop 0", "nuage app scale shop --min 1 --max 5 --rps 50", "nuage app scale shop --min 0 --max 2 --cpu 60 --idle 10m"),
		ValidArgsFunction: c.apps().complete(c),
	})
	given := cmd.Flags().Changed
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if err := takes(1, 2)(cmd, args); err != nil {
			return err
		}
		if (len(args) == 2) == given("max") {
			return usagef("cannot scale an app so: give either a number of replicas or --max, with --min, --rps or --cpu")
		}
		if len(args) == 2 {
			_, err := replicaNumber(args[1])
			return err
		}
		return nil
	}
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		a, err := c.apps().edit(ctx, s, args[0], func(spec *api.AppSpec) error { return flags.apply(spec, args[1:], given) })
		if err != nil {
			return err
		}
		return c.finishDeploy(ctx, s, a)
	})
	flags.declare(cmd)
	return cmd
}

func (f *scaleFlags) declare(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.Min, "min", 1, "fewest replicas; 0: none while there are no requests")
	flags.IntVar(&f.Max, "max", 0, "most replicas")
	flags.IntVar(&f.RPS, "rps", 0, "requests per second that each replica shall get")
	flags.IntVar(&f.CPU, "cpu", 0, "use of cpu that each replica shall have, in percent of its size")
	flags.Var(&f.idle, "idle", "with --min 0: time without a request after which no replica is left")
	flags.Var(&f.cooldown, "cooldown", "rest after a scaling; three times as long before the next replica goes")
}

// apply sets the number of replicas, or how it is chosen.
func (f *scaleFlags) apply(spec *api.AppSpec, number []string, given func(string) bool) error {
	if len(number) == 1 {
		n, err := replicaNumber(number[0])
		spec.Replicas, spec.Scaling = &n, nil
		return err
	}
	scaling := f.AppScaling
	for flag, into := range map[string]struct {
		given   span
		seconds *int
	}{"idle": {f.idle, &scaling.IdleSeconds}, "cooldown": {f.cooldown, &scaling.CooldownSeconds}} {
		if !given(flag) {
			continue
		}
		n, err := wholeSeconds(flag, into.given)
		if err != nil {
			return err
		}
		*into.seconds = n
	}
	spec.Scaling = &scaling
	return nil
}

func replicaNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, usagef("cannot scale to %q: give the number of replicas, as 3", text)
	}
	return n, nil
}

// scalingText says how the number of an app's replicas is chosen: 1 to 5, 50 requests/s each.
func scalingText(a api.App) string {
	s := a.Spec.Scaling
	if s == nil {
		return ""
	}
	text := fmt.Sprintf("%d to %d", s.Min, s.Max)
	switch {
	case s.RPS > 0:
		text += fmt.Sprintf(", %d requests/s each", s.RPS)
	case s.CPU > 0:
		text += fmt.Sprintf(", %d%% cpu each", s.CPU)
	}
	return text
}
