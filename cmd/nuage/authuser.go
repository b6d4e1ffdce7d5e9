package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) poolUsers() kind[api.PoolUser] {
	return kind[api.PoolUser]{
		word: "user",
		name: func(u *api.PoolUser) string { return u.Email },
		columns: []column[api.PoolUser]{
			{head: "EMAIL", cell: func(u api.PoolUser) string { return u.Email }},
			{head: "NAME", cell: func(u api.PoolUser) string { return u.Name }},
			{head: "ROLES", cell: func(u api.PoolUser) string { return strings.Join(u.Roles, ", ") }},
			{head: "SECOND FACTOR", cell: func(u api.PoolUser) string { return onOff(u.SecondFactor) }},
			{head: "AGE", cell: func(u api.PoolUser) string { return c.age(u.CreatedAt) }},
			{head: "ID", cell: func(u api.PoolUser) string { return u.ID }},
		},
	}
}

func (c *cli) authUserCmd() *cobra.Command {
	return group("user", "The users of a pool",
		lines("nuage auth user add staff ada@example.com --role admin", "nuage auth user list staff", "nuage auth user reset staff ada@example.com"),
		c.poolUserAddCmd(), c.poolUserListCmd(), c.poolUserRemoveCmd(), c.poolUserResetCmd())
}

func (c *cli) poolUserAddCmd() *cobra.Command {
	var spec api.PoolUserSpec
	cmd := &cobra.Command{
		Use: "add POOL EMAIL", Short: "Add a user; the code with which they choose a password is printed once",
		Long:    "Add a user to a pool. There is no mail: hand the printed code and address over; the code is good for a day, once.",
		Example: lines("nuage auth user add staff ada@example.com", "nuage auth user add staff ada@example.com --name 'Ada Lovelace' --role admin --role editor"),
		Args:    takes(2, 2),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			spec.Email = args[1]
			u, err := s.cloud.PoolUsers.Add(ctx, s.project, args[0], spec)
			if err != nil {
				return err
			}
			if done, err := c.encode(u); done {
				return err
			}
			return c.printReset(u.Email, *u.Reset)
		}),
	}
	cmd.Flags().StringVar(&spec.Name, "name", "", "name of the person; default: none")
	cmd.Flags().StringArrayVar(&spec.Roles, "role", nil, "a role that apps are told, repeatable; default: none")
	cmd.ValidArgsFunction = c.authPools().complete(c)
	return cmd
}

// printReset prints the code alone on stdout, so that a shell can catch it.
func (c *cli) printReset(email string, reset api.PoolReset) error {
	c.note("%s chooses a password at %s until %s, with this code; it is not shown again:", email, reset.URL, timeText(reset.ExpiresAt))
	return c.done(reset.Code, reset.Code)
}

func (c *cli) poolUserListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list POOL", Aliases: []string{"ls"}, Short: "List the users of a pool",
		Example:           lines("nuage auth user list staff", "nuage auth user list staff -o json"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.authPools().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			list, err := all(func(p api.Page) (api.List[api.PoolUser], error) {
				return s.cloud.PoolUsers.List(ctx, s.project, args[0], p)
			})
			if err != nil {
				return err
			}
			return printList(c, c.poolUsers(), list)
		}),
	}
}

func (c *cli) poolUserRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use: "remove POOL EMAIL", Aliases: []string{"delete", "rm"}, Short: "Remove a user for good, with all sessions",
		Example:           "nuage auth user remove staff ada@example.com",
		Args:              takes(2, 2),
		ValidArgsFunction: c.authPools().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if err := s.cloud.PoolUsers.Remove(ctx, s.project, args[0], args[1]); err != nil {
				return err
			}
			return c.done("removed user "+args[1], args[1])
		}),
	}
}

func (c *cli) poolUserResetCmd() *cobra.Command {
	return &cobra.Command{
		Use: "reset POOL EMAIL", Short: "Print a code with which a user chooses a password anew",
		Long: "Print a code with which a user chooses a password anew, at the address that goes to stderr. There is no mail: hand both over.\n" +
			"The code is good for a day, once; using it ends all sessions and switches the second factor off.",
		Example:           lines("nuage auth user reset staff ada@example.com", "code=$(nuage auth user reset staff ada@example.com)"),
		Args:              takes(2, 2),
		ValidArgsFunction: c.authPools().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			reset, err := s.cloud.PoolUsers.Reset(ctx, s.project, args[0], args[1])
			if err != nil {
				return err
			}
			if done, err := c.encode(reset); done {
				return err
			}
			return c.printReset(args[1], reset)
		}),
	}
}
