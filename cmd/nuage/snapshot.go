package main

import (
	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) snapshots() noun[api.Snapshot, api.SnapshotSpec] {
	n := noun[api.Snapshot, api.SnapshotSpec]{
		title: "a snapshot",
		of:    func(cloud api.Cloud) api.Resource[api.Snapshot, api.SnapshotSpec] { return cloud.Snapshots },
		head:  (*api.Snapshot).Head,
		state: func(s *api.Snapshot) *api.Status { return &s.Status.Status },
		spec:  func(s *api.Snapshot) *api.SnapshotSpec { return &s.Spec },
	}
	n.word, n.name = "snapshot", func(s *api.Snapshot) string { return s.Name }
	n.columns = n.common(c,
		column[api.Snapshot]{head: "VOLUME", cell: func(s api.Snapshot) string { return s.Spec.Volume }},
		column[api.Snapshot]{head: "SIZE", cell: func(s api.Snapshot) string { return bytesText(s.Status.SizeBytes) }},
		column[api.Snapshot]{head: "OF", cell: func(s api.Snapshot) string { return bytesText(s.Status.VolumeSize) }},
	)
	return n
}

func (c *cli) snapshotCmd() *cobra.Command {
	n := c.snapshots()
	return group("snapshot", "Copies of volumes as they were at one moment",
		lines("nuage volume snapshot data monday", "nuage snapshot list", "nuage volume restore monday data-2", "nuage snapshot delete monday"),
		n.listCmd(c), n.showCmd(c), n.deleteCmd(c))
}
