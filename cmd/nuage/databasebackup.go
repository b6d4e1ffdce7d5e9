package main

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) backups() noun[api.Backup, api.BackupSpec] {
	n := noun[api.Backup, api.BackupSpec]{
		title: "a backup",
		of:    func(cloud api.Cloud) api.Resource[api.Backup, api.BackupSpec] { return cloud.Backups },
		head:  (*api.Backup).Head,
		state: func(b *api.Backup) *api.Status { return &b.Status.Status },
		spec:  func(b *api.Backup) *api.BackupSpec { return &b.Spec },
	}
	n.word, n.name = "backup", func(b *api.Backup) string { return b.Name }
	n.columns = n.common(c,
		column[api.Backup]{head: "DATABASE", cell: func(b api.Backup) string { return b.Spec.Database }},
		column[api.Backup]{head: "TAKEN", cell: takenText},
		column[api.Backup]{head: "FOR", cell: func(b api.Backup) string { return b.Status.Trigger }},
		column[api.Backup]{head: "SIZE", cell: func(b api.Backup) string { return bytesText(b.Status.SizeBytes) }},
		column[api.Backup]{head: "VERIFIED", cell: func(b api.Backup) string { return yesText(b.Status.Verified) }},
		column[api.Backup]{head: "TABLES", cell: func(b api.Backup) string { return strconv.Itoa(b.Status.Tables) }},
		column[api.Backup]{head: "ROWS", cell: func(b api.Backup) string { return strconv.FormatInt(b.Status.Rows, 10) }},
	)
	return n
}

func takenText(b api.Backup) string {
	if b.Status.TakenAt == nil {
		return "-"
	}
	return timeText(*b.Status.TakenAt)
}

func yesText(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func (c *cli) databaseBackupCmd() *cobra.Command {
	n := c.backups()
	var name string
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "backup NAME", Short: "Back a database up now, and verify it",
		Long: "Back a database up while it serves, and verify the backup: it is restored into a server of its own, and what is there is\n" +
			"counted. The command ends when that is done. The backup holds one moment and outlives the database.",
		Example:           lines("nuage database backup orders", "nuage database backup orders --name before-upgrade"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.databases().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			b, err := n.create(ctx, c, s, cmp.Or(name, api.BackupName(args[0], c.now())), api.BackupSpec{Database: args[0]})
			if err != nil {
				return err
			}
			return printItem(c, n.kind, b)
		}),
	})
	cmd.Flags().StringVar(&name, "name", "", "what to call the backup; default: the database's name and the time")
	return cmd
}

func (c *cli) databaseBackupsCmd() *cobra.Command {
	n := c.backups()
	var remove []string
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "backups [NAME]", Short: "List the backups of a database, or of all, those of deleted ones too",
		Example:           lines("nuage database backups orders", "nuage database backups -o json", "nuage database backups orders --delete orders-20260131-120000"),
		Args:              takes(0, 1),
		ValidArgsFunction: c.databases().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			for _, name := range remove {
				if err := n.remove(ctx, c, s, name); err != nil {
					return err
				}
			}
			if len(remove) > 0 {
				return nil
			}
			list, err := all(func(p api.Page) (api.List[api.Backup], error) { return s.cloud.Backups.List(ctx, s.project, p) })
			if err != nil {
				return err
			}
			if len(args) > 0 {
				list.Items = backupsOf(list.Items, args[0])
			}
			return printList(c, n.kind, list)
		}),
	})
	cmd.Flags().StringSliceVar(&remove, "delete", nil, "NAME of a backup to delete for good, repeatable; default: list")
	offer(cmd, "delete", n.complete(c))
	return cmd
}

func backupsOf(items []api.Backup, database string) []api.Backup {
	of := []api.Backup{}
	for _, b := range items {
		if b.Spec.Database == database {
			of = append(of, b)
		}
	}
	return of
}

func (c *cli) databaseRestoreCmd() *cobra.Command {
	var as, from, at string
	spec := api.DatabaseSpec{}
	var storage size
	n := c.databases()
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "restore NAME --as NEW", Short: "Make a new database with what another held: a backup, or any moment",
		Long: "Make a new database, called NEW, with what a backup of NAME holds: the newest verified one, unless --backup names another.\n" +
			"NAME may have been deleted; where it is there, it stays as it is. The new database has a password of its own.\n\n" +
			"With --time, NEW begins with what NAME held at that moment, such as the second before a table was dropped. NAME must be a PostgreSQL\n" +
			"database with scheduled backups (--backup 24h); database show says from which moment on this is possible.",
		Example: lines("nuage database restore orders --as orders-2", "nuage database restore orders --as orders-2 --backup orders-20260131-120000",
			"nuage database restore orders --as orders-2 --time 2026-01-31T12:00:00Z", "nuage database restore orders --as orders-2 --time 10m"),
		Args:              takes(1, 1),
		ValidArgsFunction: c.databases().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if as == "" {
				return usagef("cannot restore database %q: say what the new one is called, as --as %s-2", args[0], args[0])
			}
			spec.StorageBytes = int64(storage)
			spec.Restore = &api.Restore{Database: args[0]}
			if from != "" {
				spec.Restore = &api.Restore{Backup: from}
			}
			if at != "" {
				moment, err := momentOf(at, c.now())
				if err != nil || from != "" {
					return usagef("cannot restore to %q: give a time as 2026-01-31T12:00:00Z or how long ago as 10m, and no --backup with it", at)
				}
				spec.Restore = &api.Restore{Database: args[0], Time: &moment}
			}
			d, err := n.create(ctx, c, s, as, spec)
			if err != nil {
				return err
			}
			return printItem(c, n.kind, d)
		}),
	})
	f := cmd.Flags()
	f.StringVar(&as, "as", "", "name of the new database; needed")
	f.StringVar(&from, "backup", "", "name of the backup; default: the newest verified one")
	f.StringVar(&at, "time", "", "the moment it begins with, as 2026-01-31T12:00:00Z, or 10m for ten minutes ago; default: that of the backup")
	offer(cmd, "backup", c.backups().complete(c))
	spec.Size = "micro"
	f.Var(optional(&spec.Size, sizeNames()...), "size", "nano, micro, small, medium or large")
	f.Var(&storage, "storage", "size of the disk, as 2GiB; default: 1GiB")
	return cmd
}

func (c *cli) databaseUpdateCmd() *cobra.Command {
	var spec api.DatabaseSpec
	var every span
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change the size of a database, or how it is backed up, while it serves",
		Example: lines("nuage database update orders --size small", "nuage database update orders --backup 24h --keep 7", "nuage database update orders --backup 0s"),
	}
	f := cmd.Flags()
	f.Var(optional(&spec.Size, sizeNames()...), "size", "nano, micro, small, medium or large")
	scheduleFlags(cmd, &every, &spec.Keep)
	return c.databases().changeCmd(c, cmd, func(now *api.DatabaseSpec) (err error) {
		now.Size = cmp.Or(spec.Size, now.Size)
		if f.Changed("backup") {
			if now.BackupSeconds, err = pause(every); err != nil {
				return err
			}
		}
		if now.BackupSeconds == 0 {
			now.Keep = 0
		}
		if f.Changed("keep") {
			now.Keep = spec.Keep
		}
		return nil
	})
}

// scheduleFlags are those of scheduled backups.
func scheduleFlags(cmd *cobra.Command, every *span, keep *int) {
	cmd.Flags().Var(every, "backup", "back it up this often, as 24h; at least 60s; default: only when asked for")
	cmd.Flags().IntVar(keep, "keep", 0, "how many of these backups stay; default: 7")
}

// pause is the time between two backups, in seconds; 0 for none.
func pause(every span) (int64, error) {
	if every == 0 {
		return 0, nil
	}
	n, err := wholeSeconds("backup", every)
	return int64(n), err
}

// momentOf reads a moment: RFC 3339, or how long ago it was.
func momentOf(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), nil
	}
	var ago span
	err := ago.Set(text)
	return now.Add(-time.Duration(ago)).UTC(), err
}
