package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) users() kind[api.User] {
	return kind[api.User]{
		word: "user",
		name: func(u *api.User) string { return u.Name },
		columns: []column[api.User]{
			{head: "NAME", cell: func(u api.User) string { return u.Name }},
			{head: "PROJECT", cell: func(u api.User) string { return tokenScope(api.TokenSpec{Project: u.Spec.Project}) }},
			{head: "DESCRIPTION", cell: func(u api.User) string { return u.Spec.Description }},
			{head: "AGE", cell: func(u api.User) string { return c.age(u.CreatedAt) }},
		},
	}
}

func (c *cli) userCmd() *cobra.Command {
	return group("user", "Users are the people of the cloud; activities name them",
		lines("nuage user create ada --project shop", "nuage token create ada-laptop --user ada", "nuage user list", "nuage user delete ada"),
		c.userCreateCmd(), c.userListCmd(), c.userDeleteCmd())
}

func (c *cli) userCreateCmd() *cobra.Command {
	var spec api.UserSpec
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a user and a first token of theirs, of the same name; its secret is printed once",
		Example: lines("nuage user create ada --project shop", `nuage user create grace --description "Grace Hopper"`),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if _, err := s.cloud.Users.Create(ctx, args[0], spec); err != nil {
				return err
			}
			token, err := s.cloud.Tokens.Create(ctx, args[0], api.TokenSpec{User: args[0]})
			if err != nil {
				return errors.Join(err, s.cloud.Users.Delete(ctx, args[0]))
			}
			return c.printSecret(token)
		}),
	}
	cmd.Flags().StringVar(&spec.Project, "project", "", "the only project they may act on; default: all projects")
	cmd.Flags().StringVar(&spec.Description, "description", "", "as their full name")
	return cmd
}

func (c *cli) userListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the users",
		Example: "nuage user list",
		Args:    takes(0, 0),
		RunE: c.inCloud(func(ctx context.Context, s session, _ []string) error {
			list, err := all(func(p api.Page) (api.List[api.User], error) { return s.cloud.Users.List(ctx, p) })
			if err != nil {
				return err
			}
			return printList(c, c.users(), list)
		}),
	}
}

func (c *cli) userDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Aliases: []string{"rm"}, Short: "Remove a user, and revoke all their tokens at once",
		Example: "nuage user delete ada",
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if err := s.cloud.Users.Delete(ctx, args[0]); err != nil {
				return err
			}
			return c.done("deleted user "+args[0], args[0])
		}),
	}
}
