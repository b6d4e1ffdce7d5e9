package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/storage"
)

func (c *cli) backupCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Save the cloud's state into a file while it runs",
		Long: "Save a consistent copy of the cloud's state into a file only you can read, while the cloud runs: what should run, the\n" +
			"record, the bill, sealed secrets. Data in databases and instances is not in it. Secrets need the home's secret.key, which\n" +
			"is not in the file either: keep both, apart.",
		Example: lines("nuage backup monday.nuage", "nuage backup monday.nuage --force"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil && !force {
				return api.Errorf(api.Conflict, "cannot write %q: it exists; choose another name or add --force", args[0])
			}
			if err := c.backup(ctx, s, args[0]); err != nil {
				return err
			}
			return c.done("saved the state in "+args[0], args[0])
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE where it exists; default: refuse")
	return cmd
}

func (c *cli) backup(ctx context.Context, s session, path string) error {
	err := writeFrom(path, 0o600, func(w io.Writer) error { return s.cloud.System.Backup(ctx, w) })
	var known *api.Error
	if err != nil && !errors.As(err, &known) {
		return api.Errorf(api.Unavailable, "cannot write %q: %w", path, err)
	}
	return err
}

func (c *cli) restoreCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a saved state in place of the home's; the cloud must be down",
		Long: "Put a saved state in place of the home's. The cloud must be down. What was there stays beside it as\n" +
			"state.db.before-restore. The next nuage up makes the world as the saved state says.",
		Example: lines("nuage down && nuage restore monday.nuage && nuage up --detach"),
		Args:    takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			home, err := c.ensureHome()
			if err != nil {
				return err
			}
			if err := restoreFrom(home, args[0]); err != nil {
				return err
			}
			return c.done("restored the state from "+args[0]+"; nuage up starts it", args[0])
		},
	}
}

func restoreFrom(home, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return api.Errorf(api.Invalid, "cannot restore: %w", err)
	}
	return errors.Join(storage.Restore(statePath(home), f, storage.Options{}), f.Close())
}
