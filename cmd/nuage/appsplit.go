package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

// percent is a flag of a part of 100, as 10%.
type percent int

func (p *percent) String() string {
	if *p == 0 {
		return ""
	}
	return percentCell(int(*p))
}
func (p *percent) Type() string { return "percent" }
func (p *percent) Set(text string) error {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || n < 1 || n > 99 {
		return fmt.Errorf("it must be 1%% to 99%%")
	}
	*p = percent(n)
	return nil
}

func percentCell(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + "%"
}

// releasesText is what serves: v3, or while requests are split v3 10%, v2 90%.
func releasesText(a api.App) string {
	if len(a.Status.Shares) == 0 {
		return releaseText(a.Status.Release)
	}
	var out []string
	for _, s := range a.Status.Shares {
		out = append(out, releaseText(s.Release)+" "+percentCell(s.Percent))
	}
	return strings.Join(out, ", ")
}

func (c *cli) appSplitCmd() *cobra.Command {
	var sticky bool
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "split NAME vN=PERCENT...", Short: "Share requests out between releases of an app",
		Long: "Share requests out between releases that served once, in percent that are 100 together. Each has all of the app's replicas; where\n" +
			"one has none yet, requests go on as before until they are healthy. When they don't come up within the app's deadline it stays so,\n" +
			"and the cause and the last log lines are printed. A release that is not named ends its requests and goes. All to one release ends\n" +
			"the split, as the next deploy does.",
		Example:           lines("nuage app split shop v3=10 v2=90", "nuage app split shop v3=50 v2=50 --sticky", "nuage app split shop v3=100"),
		Args:              takes(2, -1),
		ValidArgsFunction: c.apps().complete(c),
	})
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		split := api.Split{}
		for _, arg := range args[1:] {
			share, err := parseShare(arg)
			if err != nil {
				return err
			}
			split.Shares = append(split.Shares, share)
		}
		if cmd.Flags().Changed("sticky") {
			split.Sticky = &sticky
		}
		a, err := s.cloud.Apps.Split(ctx, s.project, args[0], split)
		if err != nil {
			return err
		}
		return c.finishSplit(ctx, s, a, split)
	})
	cmd.Flags().BoolVar(&sticky, "sticky", false, "a client stays, by a cookie, with the release that answered it first; default: as it was")
	return cmd
}

// finishSplit waits until requests are shared out so, or it is clear that a release does not come back.
func (c *cli) finishSplit(ctx context.Context, s session, a api.App, split api.Split) error {
	n := c.apps()
	if c.flags.noWait {
		return printItem(c, n.kind, a)
	}
	a, err := n.settle(ctx, c, s, a.Name)
	if err != nil {
		return err
	}
	if f := a.Status.Failure; f != nil && slices.ContainsFunc(split.Shares, func(s api.Share) bool { return s.Release == f.Release && s.Percent > 0 }) {
		c.failureLog(f, "")
		return api.Errorf(api.Unavailable, "cannot split app %q: release %s did not come back: %s; requests go on to %s", a.Name, releaseText(f.Release), f.Reason, releasesText(a))
	}
	return printItem(c, n.kind, a)
}

// parseShare reads v3=10, 3=10 or v3=10%.
func parseShare(text string) (api.Share, error) {
	release, part, _ := strings.Cut(text, "=")
	number, err := strconv.Atoi(strings.TrimPrefix(release, "v"))
	percent, err2 := strconv.Atoi(strings.TrimSuffix(part, "%"))
	if err != nil || err2 != nil || number < 1 {
		return api.Share{}, usagef("cannot split by %q: give releases and percents, as v3=10 v2=90", text)
	}
	return api.Share{Release: number, Percent: percent}, nil
}
