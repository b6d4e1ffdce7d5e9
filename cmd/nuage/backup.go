package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) backupCmd() *cobra.Command {
	var force, full bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Save the cloud's state into a file while it runs",
		Long: "Save a consistent copy of the cloud's state into a file only you can read, while the cloud runs: what should run, the\n" +
			"record, the bill, sealed secrets. Data in databases and instances is not in it. Secrets need the home's secret.key, which\n" +
			"is not in the file either: keep both, apart. With --full that key is in it, and the code of functions, sources of apps,\n" +
			"backups of databases and keys of instances too: an empty home needs nothing else, and who has the file has every secret.",
		Example: lines("nuage backup monday.nuage", "nuage backup everything.nuage --full", "nuage backup monday.nuage --force"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if _, err := os.Lstat(args[0]); err == nil && !force {
				return api.Errorf(api.Conflict, "cannot write %q: it exists; choose another name or add --force", args[0])
			}
			if full {
				files, err := c.backupFull(ctx, s, args[0])
				if err != nil {
					return unlessKnown(err, args[0])
				}
				return c.done(fmt.Sprintf("saved state, key and %s in %s; it opens every secret of this cloud: keep it as you keep passwords", plural(files-1, "file"), args[0]), args[0])
			}
			if err := c.backup(ctx, s, args[0]); err != nil {
				return err
			}
			return c.done("saved the state in "+args[0], args[0])
		}),
	}
	cmd.Flags().BoolVar(&full, "full", false, "save the key of the secrets and the home's files too; default: the state alone")
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE where it exists; default: refuse")
	return cmd
}

func (c *cli) backup(ctx context.Context, s session, path string) error {
	return unlessKnown(writeFrom(path, 0o600, func(w io.Writer) error { return s.cloud.System.Backup(ctx, w) }), path)
}

// unlessKnown makes an error of the disk one of the API.
func unlessKnown(err error, path string) error {
	var known *api.Error
	if err != nil && !errors.As(err, &known) {
		return api.Errorf(api.Unavailable, "cannot write %q: %w", path, err)
	}
	return err
}
