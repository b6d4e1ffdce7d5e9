package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) authPools() noun[api.AuthPool, api.AuthPoolSpec] {
	n := noun[api.AuthPool, api.AuthPoolSpec]{
		title: "a user pool",
		of:    func(cloud api.Cloud) api.Resource[api.AuthPool, api.AuthPoolSpec] { return cloud.AuthPools },
		head:  (*api.AuthPool).Head,
		state: func(p *api.AuthPool) *api.Status { return &p.Status.Status },
		spec:  func(p *api.AuthPool) *api.AuthPoolSpec { return &p.Spec },
	}
	n.word, n.name = "auth", func(p *api.AuthPool) string { return p.Name }
	n.columns = n.common(c,
		column[api.AuthPool]{head: "USERS", cell: func(p api.AuthPool) string { return strconv.Itoa(p.Status.Users) }},
		column[api.AuthPool]{head: "SIGN-UP", cell: func(p api.AuthPool) string { return p.Spec.SignUp }},
		column[api.AuthPool]{head: "ISSUER", cell: func(p api.AuthPool) string { return p.Status.Issuer }},
		column[api.AuthPool]{head: "APPS", cell: func(p api.AuthPool) string { return strings.Join(p.Status.Apps, ", ") }, detail: true},
	)
	return n
}

func (c *cli) authCmd() *cobra.Command {
	n := c.authPools()
	return group("auth", "Pools of users who sign in to apps, by OpenID Connect",
		lines("nuage auth create staff", "nuage auth user add staff ada@example.com --role admin", "nuage app deploy shop --source ./shop --auth staff:required"),
		c.authCreateCmd(), n.listCmd(c), n.showCmd(c), c.authUpdateCmd(), n.deleteCmd(c), c.authBindCmd(), c.authUnbindCmd(), c.authUserCmd())
}

// signUpFlag declares who adds users.
func signUpFlag(cmd *cobra.Command, spec *api.AuthPoolSpec) {
	spec.SignUp = "open"
	cmd.Flags().Var(optional(&spec.SignUp, "open", "closed"), "sign-up", "who adds users: open, where anybody signs up, or closed, where only nuage auth user add does")
}

func (c *cli) authCreateCmd() *cobra.Command {
	var spec api.AuthPoolSpec
	cmd := &cobra.Command{
		Use: "create POOL", Short: "Make a user pool: an OpenID provider with pages to sign up and sign in",
		Example: lines("nuage auth create staff", "nuage auth create staff --sign-up closed"),
		Args:    takes(1, 1),
	}
	signUpFlag(cmd, &spec)
	return c.authPools().createCmd(c, cmd, func(context.Context, session, []string) (api.AuthPoolSpec, error) { return spec, nil })
}

func (c *cli) authUpdateCmd() *cobra.Command {
	var wanted api.AuthPoolSpec
	cmd := &cobra.Command{Use: "update POOL", Short: "Change who may add users to a pool", Example: "nuage auth update staff --sign-up closed"}
	signUpFlag(cmd, &wanted)
	return c.authPools().changeCmd(c, cmd, func(spec *api.AuthPoolSpec) error {
		*spec = wanted
		return nil
	})
}

// authOf reads POOL or POOL:required. Another pool has other callbacks.
func authOf(text string, now api.AppAuth) api.AppAuth {
	pool, word, _ := strings.Cut(text, ":")
	next := api.AppAuth{Pool: pool, Required: word == "required"}
	if pool == now.Pool {
		next.Callbacks = now.Callbacks
	}
	return next
}

// checkAuthFlag refuses what is neither POOL nor POOL:required.
func checkAuthFlag(text string) error {
	if _, word, more := strings.Cut(text, ":"); more && word != "required" {
		return usagef("cannot use --auth %q: give POOL, or POOL:required", text)
	}
	return nil
}

func authText(a api.AppAuth) string {
	if a.Required {
		return a.Pool + ", required"
	}
	return a.Pool
}

func (c *cli) authBindCmd() *cobra.Command {
	required := false
	cmd := &cobra.Command{
		Use: "bind POOL APP", Short: "Give an app a user pool; this makes a release",
		Long: "Give an app a user pool as OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and OIDC_INTERNAL_URL. With --required the edge\n" +
			"lets only signed-in users through, and tells the app who they are in X-Nuage-User, X-Nuage-Email, X-Nuage-Roles and the\n" +
			"signed X-Nuage-Token.",
		Example: lines("nuage auth bind staff shop", "nuage auth bind staff shop --required"),
		Args:    takes(2, 2),
	}
	cmd.Flags().BoolVar(&required, "required", false, "let only signed-in users through; default: the app signs users in itself")
	cmd = c.noWaitFlag(c.bindingCmd(cmd, func(spec *api.AppSpec, pool, _ string) error {
		spec.Auth = authOf(pool, spec.Auth)
		spec.Auth.Required = required
		return nil
	}))
	cmd.ValidArgsFunction = c.authPools().complete(c)
	return cmd
}

func (c *cli) authUnbindCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unbind POOL APP", Short: "Take a user pool away from an app; the users stay",
		Example: "nuage auth unbind staff shop",
		Args:    takes(2, 2),
	}
	cmd = c.noWaitFlag(c.bindingCmd(cmd, func(spec *api.AppSpec, pool, app string) error {
		if spec.Auth.Pool != pool {
			return api.Errorf(api.NotFound, "cannot unbind auth pool %q from app %q: it is not bound to it", pool, app)
		}
		spec.Auth = api.AppAuth{}
		return nil
	}))
	cmd.ValidArgsFunction = c.authPools().complete(c)
	return cmd
}
