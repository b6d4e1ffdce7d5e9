package main

import (
	"context"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) volumes() noun[api.Volume, api.VolumeSpec] {
	n := noun[api.Volume, api.VolumeSpec]{
		title: "a volume",
		of:    func(cloud api.Cloud) api.Resource[api.Volume, api.VolumeSpec] { return cloud.Volumes },
		head:  (*api.Volume).Head,
		state: func(v *api.Volume) *api.Status { return &v.Status.Status },
		spec:  func(v *api.Volume) *api.VolumeSpec { return &v.Spec },
	}
	n.word, n.name = "volume", func(v *api.Volume) string { return v.Name }
	n.columns = n.common(c,
		column[api.Volume]{head: "SIZE", cell: func(v api.Volume) string { return bytesText(v.Spec.SizeBytes) }},
		column[api.Volume]{head: "USED", cell: func(v api.Volume) string { return bytesText(v.Status.UsedBytes) }},
		column[api.Volume]{head: "ATTACHED", cell: attachedText},
		column[api.Volume]{head: "SNAPSHOT", cell: func(v api.Volume) string { return v.Spec.Snapshot }, detail: true},
		column[api.Volume]{head: "LIMIT", cell: limitText, detail: true},
	)
	return n
}

// attachedText is where a volume is: web:/data, or nowhere.
func attachedText(v api.Volume) string {
	if v.Status.Attached == nil {
		return "-"
	}
	return v.Status.Attached.Instance + ":" + v.Status.Attached.Path
}

// limitText says what holds a volume to its size.
func limitText(v api.Volume) string {
	if v.Status.Enforced {
		return "enforced by the engine"
	}
	return "billed, not enforced: this engine can't; over its size it is degraded"
}

func (c *cli) volumeCmd() *cobra.Command {
	n := c.volumes()
	return group("volume", "Disks that outlive the instances they are attached to",
		lines("nuage volume create data --size 1GiB", "nuage instance create db --volume data:/srv", "nuage volume snapshot data monday",
			"nuage volume restore monday data-2", "nuage volume detach data --restart"),
		c.volumeCreateCmd(), n.listCmd(c), n.showCmd(c), c.volumeAttachCmd(), c.volumeDetachCmd(), c.volumeResizeCmd(),
		c.volumeSnapshotCmd(), c.volumeRestoreCmd(), n.deleteCmd(c))
}

func (c *cli) volumeCreateCmd() *cobra.Command {
	var space size
	cmd := &cobra.Command{
		Use: "create NAME --size S", Short: "Make an empty volume",
		Long: "Make an empty volume. It is attached by nuage volume attach, or by --volume of nuage instance create, and stays when its\n" +
			"instance is deleted. nuage volume show tells whether this engine holds it to its size.",
		Example: lines("nuage volume create data --size 1GiB", "nuage volume create logs --size 512MiB"),
		Args:    takes(1, 1),
	}
	cmd.Flags().Var(&space, "size", "how large, as 512MiB, 1GiB or 10GB; needed")
	return c.volumes().createCmd(c, cmd, func(_ context.Context, _ session, args []string) (api.VolumeSpec, error) {
		if space == 0 {
			return api.VolumeSpec{}, usagef("cannot create volume %q: give its size, as --size 1GiB", args[0])
		}
		return api.VolumeSpec{SizeBytes: int64(space)}, nil
	})
}

func (c *cli) volumeRestoreCmd() *cobra.Command {
	var space size
	n := c.volumes()
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "restore SNAPSHOT NAME", Short: "Make a volume with the content of a snapshot",
		Long:              "Make a new volume called NAME with the content of a snapshot. The volume the snapshot was made of stays as it is.",
		Example:           lines("nuage volume restore monday data-2", "nuage volume restore monday data-2 --size 4GiB"),
		Args:              takes(2, 2),
		ValidArgsFunction: c.snapshots().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			v, err := n.create(ctx, c, s, args[1], api.VolumeSpec{SizeBytes: int64(space), Snapshot: args[0]})
			if err != nil {
				return err
			}
			return printItem(c, n.kind, v)
		}),
	})
	cmd.Flags().Var(&space, "size", "size of the new volume, at least the old one's; default: the old one's")
	return cmd
}

func (c *cli) volumeResizeCmd() *cobra.Command {
	var space size
	cmd := &cobra.Command{
		Use: "resize NAME --size S", Short: "Make a volume larger, also while it is in use",
		Example: "nuage volume resize data --size 4GiB",
	}
	cmd.Flags().Var(&space, "size", "the new size, as 4GiB; it can only grow; needed")
	return c.volumes().changeCmd(c, cmd, func(spec *api.VolumeSpec) error {
		spec.SizeBytes = int64(space)
		return nil
	})
}

func (c *cli) volumeSnapshotCmd() *cobra.Command {
	n := c.snapshots()
	return c.noWaitFlag(&cobra.Command{
		Use: "snapshot VOLUME NAME", Short: "Copy a volume as it is now",
		Long:              "Copy a volume as it is now, under NAME. A running instance that has it is held while the copy is made.",
		Example:           "nuage volume snapshot data monday",
		Args:              takes(2, 2),
		ValidArgsFunction: c.volumes().complete(c),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			snapshot, err := n.create(ctx, c, s, args[1], api.SnapshotSpec{Volume: args[0]})
			if err != nil {
				return err
			}
			return printItem(c, n.kind, snapshot)
		}),
	})
}
