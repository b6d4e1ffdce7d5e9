package main

import (
	"context"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) appConfigCmd() *cobra.Command {
	return group("config", "The settings an app gets as environment; a change makes a release",
		lines("nuage app config set shop MODE=production", "nuage app config list shop", "nuage app config unset shop MODE"),
		c.appConfigSetCmd(), c.appConfigUnsetCmd(), c.appConfigListCmd())
}

func (c *cli) appConfigSetCmd() *cobra.Command {
	return c.appChangeCmd(&cobra.Command{
		Use: "set NAME K=V...", Short: "Set settings of an app",
		Example: `nuage app config set shop MODE=production GREETING="hello there"`,
		Args:    takes(2, -1),
	}, func(spec *api.AppSpec, args []string) error {
		changes := pairs{}
		for _, arg := range args[1:] {
			if err := changes.Set(arg); err != nil {
				return usagef("cannot set %q: %s", arg, err)
			}
		}
		spec.Env = changes.into(maps.Clone(spec.Env))
		return nil
	})
}

func (c *cli) appConfigUnsetCmd() *cobra.Command {
	return c.appChangeCmd(&cobra.Command{
		Use: "unset NAME K...", Short: "Remove settings of an app",
		Example: "nuage app config unset shop MODE",
		Args:    takes(2, -1),
	}, func(spec *api.AppSpec, args []string) error {
		spec.Env = maps.Clone(spec.Env)
		for _, key := range args[1:] {
			if _, ok := spec.Env[key]; !ok {
				return api.Errorf(api.NotFound, "cannot unset %q: app %q has no such setting; see nuage app config list %s", key, args[0], args[0])
			}
			delete(spec.Env, key)
		}
		return nil
	})
}

func (c *cli) appConfigListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list NAME", Aliases: []string{"ls"}, Short: "List the settings of an app",
		Long:              "List the settings of an app as K=V. What the platform gives besides (PORT, DATABASE_URL, NUAGE_APP, ...) is not listed.",
		Example:           lines("nuage app config list shop", "nuage app config list shop -o json"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			a, err := s.cloud.Apps.Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return c.printEnv(a.Spec.Env)
		}),
	}
}

func (c *cli) printEnv(env map[string]string) error {
	if env == nil {
		env = map[string]string{}
	}
	if done, err := c.encode(env); done {
		return err
	}
	for _, line := range envLines(env) {
		if _, err := fmt.Fprintln(c.out, line); err != nil {
			return err
		}
	}
	return nil
}
