package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) functionVersions() kind[api.FunctionVersion] {
	return kind[api.FunctionVersion]{
		word: "version",
		name: func(v *api.FunctionVersion) string { return strconv.Itoa(v.Version) },
		columns: []column[api.FunctionVersion]{
			{head: "FUNCTION", cell: func(v api.FunctionVersion) string { return v.Function }},
			{head: "VERSION", cell: func(v api.FunctionVersion) string { return releaseText(v.Version) }},
			{head: "ALIASES", cell: func(v api.FunctionVersion) string { return strings.Join(v.Aliases, ",") }},
			{head: "RUNTIME", cell: func(v api.FunctionVersion) string { return v.Spec.Runtime }},
			{head: "MEMORY", cell: func(v api.FunctionVersion) string { return fmt.Sprintf("%d MB", v.Spec.MemoryMB) }},
			{head: "PUBLISHED", cell: func(v api.FunctionVersion) string { return timeText(v.PublishedAt) }},
			{head: "SOURCE", cell: func(v api.FunctionVersion) string { return v.Spec.Source }, detail: true},
		},
	}
}

func (c *cli) functionAliases() kind[api.FunctionAlias] {
	return kind[api.FunctionAlias]{
		word: "alias",
		name: func(a *api.FunctionAlias) string { return a.Name },
		columns: []column[api.FunctionAlias]{
			{head: "ALIAS", cell: func(a api.FunctionAlias) string { return a.Name }},
			{head: "FUNCTION", cell: func(a api.FunctionAlias) string { return a.Function }},
			{head: "VERSIONS", cell: func(a api.FunctionAlias) string { return versionSharesText(a.Versions) }},
			{head: "CHANGED", cell: func(a api.FunctionAlias) string { return timeText(a.ChangedAt) }},
		},
	}
}

// qualified is a function with the alias or version of it that is meant.
func qualified(function, qualifier string) string {
	if qualifier == "" {
		return function
	}
	return function + ":" + qualifier
}

// versionSharesText is v4, or v4 10%, v3 90%.
func versionSharesText(shares []api.VersionShare) string {
	if len(shares) == 1 {
		return releaseText(shares[0].Version)
	}
	var out []string
	for _, s := range shares {
		out = append(out, releaseText(s.Version)+" "+percentCell(s.Percent))
	}
	return strings.Join(out, ", ")
}

func (c *cli) functionPublishCmd() *cobra.Command {
	return &cobra.Command{
		Use: "publish NAME", Short: "Keep what was deployed last as a version that never changes",
		Long: "Keep what was deployed last, code and settings, as a version that never changes. It has the number of that deploy and is called\n" +
			"as NAME:3, whatever is deployed after it. Publishing again what is published does nothing.",
		Example: lines("nuage function publish hello", "nuage function invoke hello:3"), Args: takes(1, 1),
		ValidArgsFunction: c.functions().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			v, err := s.cloud.Versions.Publish(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return printItem(c, c.functionVersions(), v)
		}),
	}
}

func (c *cli) functionVersionsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "versions NAME", Short: "List the published versions of a function, newest first",
		Example: "nuage function versions hello", Args: takes(1, 1), ValidArgsFunction: c.functions().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			list, err := s.cloud.Versions.Versions(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return printList(c, c.functionVersions(), list)
		}),
	}
}

func (c *cli) functionUnpublishCmd() *cobra.Command {
	return &cobra.Command{
		Use: "unpublish NAME vN", Short: "Delete a published version that no alias or trigger uses",
		Example: "nuage function unpublish hello v3", Args: takes(2, 2), ValidArgsFunction: c.functions().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			number, err := releaseNumber(args[1])
			if err != nil {
				return err
			}
			return s.cloud.Versions.Unpublish(ctx, s.project, args[0], number)
		}),
	}
}

func (c *cli) functionAliasCmd() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "alias NAME [ALIAS vN[=PERCENT]...]", Short: "Name a published version, or two that share the calls by weight",
		Long: "Let an alias lead to a published version, or to two of which each call takes one by chance, in percent that are 100 together.\n" +
			"Calls of NAME:ALIAS and triggers of --function NAME:ALIAS follow it from the next call on. With NAME alone the aliases are listed.",
		Example: lines("nuage function alias hello live v3", "nuage function alias hello live v3=90 v4=10", "nuage function alias hello",
			"nuage function alias hello live --delete"),
		Args: takes(1, 4), ValidArgsFunction: c.functions().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error { return c.alias(ctx, s, args, remove) }),
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "delete the alias; default: do not")
	return cmd
}

func (c *cli) alias(ctx context.Context, s session, args []string, remove bool) error {
	switch {
	case remove && len(args) == 2:
		return s.cloud.Versions.DeleteAlias(ctx, s.project, args[0], args[1])
	case remove:
		return usagef("cannot delete an alias: give the function and the alias, and no versions")
	case len(args) == 1:
		list, err := s.cloud.Versions.Aliases(ctx, s.project, args[0])
		if err != nil {
			return err
		}
		return printList(c, c.functionAliases(), list)
	case len(args) == 2:
		return usagef("cannot set alias %q: say which version it leads to, as v3, or v3=90 v4=10", args[1])
	}
	shares, err := parseVersionShares(args[2:])
	if err != nil {
		return err
	}
	a, err := s.cloud.Versions.SetAlias(ctx, s.project, args[0], args[1], shares)
	if err != nil {
		return err
	}
	return printItem(c, c.functionAliases(), a)
}

// parseVersionShares reads v3, or v3=90 v4=10.
func parseVersionShares(args []string) ([]api.VersionShare, error) {
	var out []api.VersionShare
	for _, arg := range args {
		if !strings.Contains(arg, "=") {
			arg += "=0" // the rest
		}
		share, err := parseShare(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, api.VersionShare{Version: share.Release, Percent: share.Percent})
	}
	return out, nil
}
