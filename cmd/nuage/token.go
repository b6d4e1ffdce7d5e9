package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) tokens() kind[api.Token] {
	return kind[api.Token]{
		word: "token",
		name: func(t *api.Token) string { return t.Name },
		columns: []column[api.Token]{
			{head: "NAME", cell: func(t api.Token) string { return t.Name }},
			{head: "PROJECT", cell: func(t api.Token) string { return tokenScope(t.Spec) }},
			{head: "USER", cell: func(t api.Token) string { return t.Spec.User }},
			{head: "EXPIRES", cell: func(t api.Token) string { return tokenEnd(t.Spec) }},
			{head: "AGE", cell: func(t api.Token) string { return c.age(t.CreatedAt) }},
		},
	}
}

func tokenScope(spec api.TokenSpec) string {
	if spec.Project == "" {
		return "(all)"
	}
	return spec.Project
}

func tokenEnd(spec api.TokenSpec) string {
	if spec.ExpiresAt == nil {
		return "never"
	}
	return timeText(*spec.ExpiresAt)
}

func (c *cli) tokenCmd() *cobra.Command {
	return group("token", "Tokens let programs and people in",
		lines("nuage token create ci --project shop", "nuage token list", "nuage token revoke ci"),
		c.tokenCreateCmd(), c.tokenListCmd(), c.tokenRevokeCmd())
}

func (c *cli) tokenCreateCmd() *cobra.Command {
	var spec api.TokenSpec
	var expires span
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a token; its secret is printed once and never again",
		Example: lines("nuage token create ci --project shop --expires 30d", "export NUAGE_TOKEN=$(nuage token create me)"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if expires > 0 {
				end := c.now().Add(time.Duration(expires)).UTC()
				spec.ExpiresAt = &end
			}
			token, err := s.cloud.Tokens.Create(ctx, args[0], spec)
			if err != nil {
				return err
			}
			return c.printSecret(token)
		}),
	}
	cmd.Flags().StringVar(&spec.Project, "project", "", "the only project the token may act on; default: all projects, or the user's")
	cmd.Flags().StringVar(&spec.User, "user", "", "the user who acts with it; default: activities name the token")
	cmd.Flags().Var(&expires, "expires", "how long the token is good, as 12h or 30d; default: until it is revoked")
	return cmd
}

// printSecret prints the secret alone on stdout, so that a shell can catch it.
func (c *cli) printSecret(token api.Token) error {
	if done, err := c.encode(token); done {
		return err
	}
	if c.flags.output == "name" {
		return c.done("", token.Name)
	}
	c.note("token %s, for %s; keep this secret, it is not shown again:", token.Name, tokenScope(token.Spec))
	_, err := fmt.Fprintln(c.out, token.Secret)
	return err
}

func (c *cli) tokenListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the tokens, without their secrets",
		Example: "nuage token list",
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := all(func(p api.Page) (api.List[api.Token], error) { return s.cloud.Tokens.List(ctx, p) })
			if err != nil {
				return err
			}
			return printList(c, c.tokens(), list)
		}),
	}
}

func (c *cli) tokenRevokeCmd() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME", Aliases: []string{"delete", "rm"}, Short: "Make a token useless at once",
		Example: "nuage token revoke ci",
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if err := s.cloud.Tokens.Revoke(ctx, args[0]); err != nil {
				return err
			}
			return c.done("revoked token "+args[0], args[0])
		}),
	}
}
