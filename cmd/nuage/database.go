package main

import (
	"context"
	"errors"
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
		column[api.Database]{head: "RESTORABLE", cell: windowText, detail: true},
		column[api.Database]{head: "ROTATION", cell: c.rotationText, detail: true},
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

// windowText says to which moments a database can be restored.
func windowText(d api.Database) string {
	if d.Status.Restorable == nil {
		return "backups only"
	}
	return fmt.Sprintf("from %s on; archived to %s", timeText(d.Status.Restorable.From), timeText(d.Status.Restorable.Until))
}

// rotationText is how a change of credentials goes.
func (c *cli) rotationText(d api.Database) string {
	r := d.Status.Rotation
	if r == nil {
		return "none under way"
	}
	return fmt.Sprintf("since %s; the former credentials are valid until %s", c.age(r.Since), strings.Join(append(r.Waiting, "they are closed"), ", and "))
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
		Use:   "create NAME",
		Short: "Make a database with a generated password, its data on a volume",
		Long: "Make a database with a generated password, its data on a volume: PostgreSQL 15, MariaDB 10.11 or Redis 7.0, as Debian 12 has them.\n" +
			"Each answers a write when it is on disk, Redis too, which refuses what does not fit in its memory. The image of MariaDB or Redis is made\n" +
			"when the first database needs it.",
		Example: lines("nuage database create orders --engine postgres", "nuage database create orders --engine postgres --size small --storage 2GiB --backup 24h --keep 7",
			"nuage database create cache --engine redis"),
		Args: takes(1, 1),
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
		Short:             "Open the engine's own shell: psql, mariadb or redis-cli; nothing needs to be installed here",
		Long:              "Run the client of a database's engine beside its server, logged in: psql, mariadb or redis-cli. What follows -- is given to it.\nThe exit status is the client's.",
		Example:           lines("nuage database psql orders", `nuage database psql orders -- -c "select count(*) from entries"`, "nuage database psql orders < schema.sql", "nuage database psql cache -- info memory"),
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
	var rotate bool
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "credentials NAME", Short: "Print user, password and addresses of a database, or make others",
		Long: "Print user, password and addresses of a database: the URL is for this laptop, the internal URL for apps, functions and\n" +
			"instances of the project. With --rotate others are made and printed, valid at once. Those before stay valid until every\n" +
			"bound app has a release with the new ones, and functions have moved too; then the platform closes them and ends the\n" +
			"sessions that are left. Where an app does not come up with the new ones, those before stay valid, and the command fails.",
		Example:           lines("nuage database credentials orders", "nuage database credentials orders -o json", "nuage database credentials orders --rotate"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.databases().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if rotate {
				return c.rotate(ctx, s, k, args[0])
			}
			cred, err := s.cloud.Databases.Credentials(ctx, s.project, args[0])
			if err != nil {
				return err
			}
			return printDetail(c, k, cred)
		}),
	})
	cmd.Flags().BoolVar(&rotate, "rotate", false, "make others, and close those before when nothing uses them any more; default: print those there are")
	return cmd
}

// rotate prints new credentials as soon as they are valid, and waits until nothing uses those before.
func (c *cli) rotate(ctx context.Context, s session, k kind[api.Credentials], name string) error {
	cred, err := s.cloud.Databases.Rotate(ctx, s.project, name)
	if err != nil {
		return err
	}
	if err := printDetail(c, k, cred); err != nil || c.flags.noWait {
		return err
	}
	return c.awaitRotation(ctx, s, name)
}

// rotationEvery is the time between two questions how a rotation goes, while the database serves as ever.
const rotationEvery = 300 * time.Millisecond

// awaitRotation waits until the former credentials are closed. Conflict: something does not move to the new ones by itself.
func (c *cli) awaitRotation(ctx context.Context, s session, name string) error {
	what, look := fmt.Sprintf("database %q", name), "nuage database show "+name
	p := c.progress(what)
	defer p.stop()
	for end := c.now().Add(waitLimit); c.now().Before(end); {
		d, err := s.cloud.Databases.Get(ctx, s.project, name)
		if err != nil {
			return errors.Join(interrupted(ctx, what, look), ignoreCancel(ctx, err))
		}
		p.show(phaseText(&d.Status.Status))
		switch r := d.Status.Rotation; {
		case r == nil:
			return nil
		case r.Stuck:
			return api.Errorf(api.Conflict, "cannot close the former credentials of database %q: they stay valid until %s", name, strings.Join(r.Waiting, ", and "))
		}
		select {
		case <-time.After(rotationEvery):
		case <-ctx.Done():
		}
	}
	return api.Errorf(api.Unavailable, "cannot wait for %s any longer: %s have passed; the rotation goes on, see %s", what, waitLimit, look)
}

func (c *cli) bindCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "bind DATABASE APP", Short: "Give an app a database as DATABASE_URL; this makes a release",
		Long:    "Give an app a database as DATABASE_URL, a MariaDB as MYSQL_URL too, and a Redis as REDIS_URL too. This makes a release.",
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
