package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) clockCmd() *cobra.Command {
	speed := &cobra.Command{
		Use:     "speed N",
		Short:   "Let billing time run N times as fast as real time; 1 is real time",
		Example: lines("nuage clock speed 3600", "nuage clock speed 1"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || n < 1 || n > 1_000_000 {
				return usagef("cannot use the speed %q: give a number from 1 to 1000000", args[0])
			}
			return c.changeClock(ctx, s, api.ClockChange{Speed: n})
		}),
	}
	advance := &cobra.Command{
		Use:     "advance TIME",
		Short:   "Put billing time forward, as 30d or 12h: what runs is billed as if it had passed",
		Example: lines("nuage clock advance 30d", "nuage clock advance 12h"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			by, err := days(args[0])
			if err != nil {
				return err
			}
			return c.changeClock(ctx, s, api.ClockChange{AdvanceSeconds: by})
		}),
	}
	show := &cobra.Command{
		Use: "show", Short: "Show billing time beside real time",
		Example: lines("nuage clock show", "nuage clock show -o json"),
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			state, err := s.cloud.Clock.Get(ctx)
			if err != nil {
				return err
			}
			return c.printClock(state)
		}),
	}
	cmd := group("clock", "The billing clock: a month's bill in a minute", lines("nuage clock show", "nuage clock advance 30d"), show, speed, advance)
	cmd.Long = "Money follows the billing clock. It can run faster than real time or be put forward, never back. What runs or exists is billed as if that\n" +
		"time had passed; calls of functions keep the time they took. Each bill made under such a clock says so."
	return cmd
}

func (c *cli) changeClock(ctx context.Context, s session, change api.ClockChange) error {
	state, err := s.cloud.Clock.Change(ctx, change)
	if err != nil {
		return err
	}
	return c.printClock(state)
}

func (c *cli) printClock(state api.ClockState) error {
	if done, err := c.encode(state); done {
		return err
	}
	return c.printTable(nil, [][]string{{"billing time", timeText(state.Now)}, {"real time", timeText(state.Real)}, {"clock", clockText(state)}})
}

// clockText says in words how the billing clock goes.
func clockText(state api.ClockState) string {
	text := "as real time"
	if state.Speed != 1 {
		text = fmt.Sprintf("%d times as fast as real time", state.Speed)
	}
	if state.AheadSeconds > 0 {
		text += ", " + daysText(state.AheadSeconds) + " ahead"
	}
	return text
}

// daysText writes seconds as 30d4h0m5s, without the parts that are nothing at its end.
func daysText(seconds int64) string {
	text := ""
	if d := seconds / 86400; d > 0 {
		text = strconv.FormatInt(d, 10) + "d"
	}
	if rest := seconds % 86400; rest > 0 || text == "" {
		text += (time.Duration(rest) * time.Second).String()
	}
	return text
}

// days reads a time as 30d or 12h, in whole seconds.
func days(text string) (int64, error) {
	var d span
	if err := d.Set(text); err != nil || time.Duration(d) < time.Second {
		return 0, usagef("cannot use the time %q: give it as 30d or 12h, one second at least", text)
	}
	return int64(time.Duration(d) / time.Second), nil
}
