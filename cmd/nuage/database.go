package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) databases() noun[api.Database, api.DatabaseSpec] {
	n := noun[api.Database, api.DatabaseSpec]{
		title: "a database",
		of:    func(cloud api.Cloud) api.Resource[api.Database, api.DatabaseSpec] { return cloud.Databases },
		head:  (*api.Database).Head,
		state: func(d *api.Database) *api.Status { return &d.Status.Status },
		spec:  func(d *api.Database) *api.DatabaseSpec { return &d.Spec },
	}
	n.word, n.name = "database", func(d *api.Database) string { return d.Name }
	n.columns = n.common(c,
		column[api.Database]{head: "ENGINE", cell: func(d api.Database) string {
			return strings.TrimSpace(d.Spec.Engine + " " + firstWord(d.Status.Version))
		}},
		column[api.Database]{head: "SIZE", cell: func(d api.Database) string { return d.Spec.Size }},
		column[api.Database]{head: "ADDRESS", cell: func(d api.Database) string { return hostPort(d.Status.Host, d.Status.Port) }},
		column[api.Database]{head: "DATA", cell: func(d api.Database) string { return bytesText(d.Status.SizeBytes) }},
		column[api.Database]{head: "INSIDE", cell: func(d api.Database) string { return hostPort(d.Status.InternalHost, d.Status.InternalPort) }, detail: true},
		column[api.Database]{head: "STORAGE", cell: func(d api.Database) string { return bytesText(orDefault(d.Spec.StorageBytes, 1<<30)) }, detail: true},
		column[api.Database]{head: "CLIENTS", cell: clientsText, detail: true},
		column[api.Database]{head: "BACKUPS", cell: scheduleText, detail: true},
		column[api.Database]{head: "RESTARTS", cell: func(d api.Database) string { return strconv.Itoa(d.Status.Restarts) }, detail: true},
	)
	return n
}

// clientsText is how many clients there are of how many there may be.
func clientsText(d api.Database) string {
	if d.Status.MaxConnections == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", d.Status.Connections, d.Status.MaxConnections)
}

// scheduleText is how a database is backed up.
func scheduleText(d api.Database) string {
	if d.Spec.BackupSeconds == 0 {
		return "when asked for"
	}
	return fmt.Sprintf("every %s, the newest %d stay", time.Duration(d.Spec.BackupSeconds)*time.Second, d.Spec.Keep)
}

func hostPort(host string, port int) string {
	if host == "" {
		return ""
	}
	return host + ":" + strconv.Itoa(port)
}

func (c *cli) databaseCmd() *cobra.Command {
	n := c.databases()
	return group("database", "Databases the platform runs and keeps",
		lines("nuage database create orders --engine postgres --backup 24h", "nuage database psql orders", "nuage database bind orders shop",
			"nuage database backup orders", "nuage database restore orders --as orders-2"),
		c.databaseCreateCmd(), n.listCmd(c), n.showCmd(c), n.deleteCmd(c), c.databaseUpdateCmd(), c.databasePsqlCmd(), c.databaseCredentialsCmd(),
		c.bindCmd(), c.unbindCmd(), c.databaseBackupCmd(), c.databaseBackupsCmd(), c.databaseRestoreCmd())
}

func (c *cli) databaseCreateCmd() *cobra.Command {
	var spec api.DatabaseSpec
	var storage size
	var every span
	n := c.databases()
	cmd := c.noWaitFlag(&cobra.Command{
		Use:     "create NAME",
		Short:   "Make a database with a generated password, its data on a volume",
		Example: lines("nuage database create orders --engine postgres", "nuage database create orders --engine postgres --size small --storage 2GiB --backup 24h --keep 7"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			between, err := pause(every)
			if err != nil {
				return err
			}
			spec.StorageBytes, spec.BackupSeconds = int64(storage), between
			d, err := n.create(ctx, c, s, args[0], spec)
			if err != nil {
				return err
			}
			return printItem(c, n.kind, d)
		}),
	})
	f := cmd.Flags()
	f.Var(newChoice(&spec.Engine, "postgres", "mariadb", "redis"), "engine", "which server: postgres, mariadb or redis")
	spec.Size = "micro"
	f.Var(optional(&spec.Size, sizeNames()...), "size", "nano, micro, small, medium or large")
	f.Var(&storage, "storage", "size of the disk, as 2GiB; default: 1GiB")
	scheduleFlags(cmd, &every, &spec.Keep)
	return cmd
}

func (c *cli) databasePsqlCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "psql NAME [-- ARGS...]",
		Short:             "Talk SQL to a database; nothing needs to be installed here",
		Long:              "Run psql beside the server, logged in. What follows -- is given to psql. The exit status is psql's.",
		Example:           lines("nuage database psql orders", `nuage database psql orders -- -c "select count(*) from entries"`, "nuage database psql orders < schema.sql"),
		Args:              takes(1, -1),
		ValidArgsFunction: c.databases().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			d, err := s.cloud.Databases.Get(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			cmd := api.Command{Words: append([]string{api.DatabaseClient(d.Spec.Engine)}, args[1:]...)}
			return c.exec(ctx, s, "databases", args[0], cmd)
		}),
	}
}

func (c *cli) databaseCredentialsCmd() *cobra.Command {
	k := kind[api.Credentials]{
		word: "credentials",
		name: func(cred *api.Credentials) string { return cred.User },
		columns: []column[api.Credentials]{
			{head: "USER", cell: func(cred api.Credentials) string { return cred.User }},
			{head: "PASSWORD", cell: func(cred api.Credentials) string { return cred.Password }},
			{head: "URL", cell: func(cred api.Credentials) string { return cred.URL }},
			{head: "INTERNAL URL", cell: func(cred api.Credentials) string { return cred.InternalURL }},
		},
	}
	return &cobra.Command{
		Use: "credentials NAME", Short: "Print user, password and addresses of a database",
		Long:              "Print user, password and addresses of a database: the URL is for this laptop, the internal URL for apps, functions and\ninstances of the project.",
		Example:           lines("nuage database credentials orders", "nuage database credentials orders -o json"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.databases().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			cred, err := s.cloud.Databases.Credentials(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return printDetail(c, k, cred)
		}),
	}
}

func (c *cli) bindCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bind DATABASE APP", Short: "Give an app a database as DATABASE_URL; this makes a release",
		Example: "nuage database bind orders shop",
		Args:    takes(2, 2),
	}
	return c.noWaitFlag(c.bindingCmd(cmd, func(spec *api.AppSpec, database, _ string) error {
		spec.Database = database
		return nil
	}))
}

func (c *cli) unbindCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unbind DATABASE APP", Short: "Take a database away from an app; the data stays",
		Example: "nuage database unbind orders shop",
		Args:    takes(2, 2),
	}
	return c.noWaitFlag(c.bindingCmd(cmd, func(spec *api.AppSpec, database, app string) error {
		if spec.Database != database {
			return api.Errorf(api.NotFound, "cannot unbind database %q from app %q: it is not bound to it", database, app)
		}
		spec.Database = ""
		return nil
	}))
}

// bindingCmd completes bind or unbind: an edit of the app, which is the second argument.
func (c *cli) bindingCmd(cmd *cobra.Command, edit func(spec *api.AppSpec, database, app string) error) *cobra.Command {
	cmd.ValidArgsFunction = c.databases().complete(c)
	cmd.RunE = c.inCloud(func(ctx context.Context, s session, args []string) error {
		a, err := c.apps().edit(ctx, s, args[1], func(spec *api.AppSpec) error { return edit(spec, args[0], args[1]) })
		if err != nil {
			return err
		}
		return c.finishDeploy(ctx, s, a)
	})
	return cmd
}
