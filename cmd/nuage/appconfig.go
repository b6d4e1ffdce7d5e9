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
	secret := false
	cmd := c.appChangeCmd(&cobra.Command{
		Use: "set NAME K=V...", Short: "Set settings of an app",
		Long: "Set settings of an app. With --secret they are sealed where the cloud keeps them and never shown again: lists say *** for them.\n" +
			"A setting is either plain or secret; setting it the other way moves it.",
		Example: lines(`nuage app config set shop MODE=production GREETING="hello there"`, `nuage app config set shop --secret API_KEY="$KEY"`),
		Args:    takes(2, -1),
	}, func(spec *api.AppSpec, args []string) error {
		changes := pairs{}
		for _, arg := range args[1:] {
			if err := changes.Set(arg); err != nil {
				return usagef("cannot set %q: %s", arg, err)
			}
		}
		spec.Env, spec.Secrets = maps.Clone(spec.Env), maps.Clone(spec.Secrets)
		for key := range changes {
			delete(spec.Env, key)
			delete(spec.Secrets, key)
		}
		if secret {
			spec.Secrets = changes.into(spec.Secrets)
		} else {
			spec.Env = changes.into(spec.Env)
		}
		return nil
	})
	cmd.Flags().BoolVar(&secret, "secret", false, "seal the values and never show them again")
	return cmd
}

func (c *cli) appConfigUnsetCmd() *cobra.Command {
	return c.appChangeCmd(&cobra.Command{
		Use: "unset NAME K...", Short: "Remove settings of an app",
		Example: "nuage app config unset shop MODE",
		Args:    takes(2, -1),
	}, func(spec *api.AppSpec, args []string) error {
		spec.Env, spec.Secrets = maps.Clone(spec.Env), maps.Clone(spec.Secrets)
		for _, key := range args[1:] {
			_, plain := spec.Env[key]
			if _, secret := spec.Secrets[key]; !plain && !secret {
				return api.Errorf(api.NotFound, "cannot unset %q: app %q has no such setting; see nuage app config list %s", key, args[0], args[0])
			}
			delete(spec.Env, key)
			delete(spec.Secrets, key)
		}
		return nil
	})
}

func (c *cli) appConfigListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list NAME", Aliases: []string{"ls"}, Short: "List the settings of an app",
		Long:              "List the settings of an app as K=V, secrets as K=***. What the platform gives besides (PORT, DATABASE_URL, NUAGE_APP, ...) is not listed.",
		Example:           lines("nuage app config list shop", "nuage app config list shop -o json"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.apps().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			a, err := s.cloud.Apps.Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return c.printEnv(settings(a.Spec))
		}),
	}
}

// settings are all that a user set, secrets masked.
func settings(spec api.AppSpec) map[string]string {
	all := map[string]string{}
	maps.Copy(all, spec.Env)
	maps.Copy(all, spec.Secrets)
	return all
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
