package controlplane

import (
	"context"
	"fmt"
	"time"

	"nuage/api"
)

// user does what a customer may do.
func (s *scene) user(a act) error {
	ctx, name := asCustomer(), fmt.Sprint("x", a.n)
	project := []string{"default", "default", "default", "other"}[a.n]
	sizes := []string{"nano", "micro", "small", "medium", "large", "nano"}
	var err error
	switch a.name {
	case "instance":
		_, err = s.cloud.Instances.Create(ctx, project, name, s.machine(a, sizes[a.m]))
	case "stop", "start", "reboot":
		_, err = s.cloud.Instances.Power(ctx, project, name, api.PowerAction(a.name))
	case "resize":
		var i api.Instance
		if i, err = s.cloud.Instances.Get(ctx, project, name); err == nil {
			i.Spec.Type = sizes[a.m]
			_, err = s.cloud.Instances.Update(ctx, project, name, i.Spec, 0)
		}
	case "reclaim":
		_, err = s.cloud.Instances.Reclaim(ctx, project, name, time.Duration(a.m)*7*time.Second)
	case "delete-instance":
		err = s.cloud.Instances.Delete(ctx, project, name, 0)
	case "database":
		_, err = s.cloud.Databases.Create(ctx, project, name, api.DatabaseSpec{Engine: "postgres", Size: sizes[a.m]})
	case "resize-database":
		_, err = s.cloud.Databases.Update(ctx, project, name, api.DatabaseSpec{Engine: "postgres", Size: sizes[a.m]}, 0)
	case "delete-database":
		err = s.cloud.Databases.Delete(ctx, project, name, 0)
	case "project":
		_, err = s.cloud.Projects.Create(ctx, "other", api.ProjectSpec{})
	case "delete-project":
		err = s.cloud.Projects.Delete(ctx, "other")
	default:
		return s.otherAct(ctx, a, project, name)
	}
	return err
}

func (s *scene) otherAct(ctx context.Context, a act, project, name string) error {
	switch a.name {
	case "backup", "restore-database", "delete-backup":
		return s.backupAct(ctx, a, project, name)
	case "network", "close-network", "delete-network":
		return s.networkAct(ctx, a, project, name)
	case "volume", "write", "attach", "detach", "grow", "delete-volume", "snapshot", "restore", "delete-snapshot", "image", "delete-image":
		return s.diskAct(ctx, a, project, name)
	}
	return s.appAct(ctx, a, project, name)
}

func (s *scene) backupAct(ctx context.Context, a act, project, name string) (err error) {
	other := fmt.Sprint("x", a.m%3)
	switch a.name {
	case "backup":
		_, err = s.cloud.Backups.Create(ctx, project, other, api.BackupSpec{Database: name})
	case "restore-database":
		_, err = s.cloud.Databases.Create(ctx, project, name, api.DatabaseSpec{Restore: &api.Restore{Database: other}})
	case "delete-backup":
		err = s.cloud.Backups.Delete(ctx, project, name, 0)
	}
	return err
}

func (s *scene) networkAct(ctx context.Context, a act, project, name string) (err error) {
	switch a.name {
	case "network":
		_, err = s.cloud.Networks.Create(ctx, project, name, api.NetworkSpec{CIDR: fmt.Sprintf("10.%d.0.0/%d", 20+a.m/2, 16+8*(a.m%2)), NoNAT: a.m == 3})
	case "close-network":
		_, err = s.cloud.Networks.Update(ctx, project, name, api.NetworkSpec{NoNAT: a.m%2 == 0}, 0)
	case "delete-network":
		err = s.cloud.Networks.Delete(ctx, project, name, 0)
	}
	return err
}

func (s *scene) diskAct(ctx context.Context, a act, project, name string) (err error) {
	other := fmt.Sprint("x", a.m%3)
	switch a.name {
	case "volume":
		_, err = s.cloud.Volumes.Create(ctx, project, name, api.VolumeSpec{SizeBytes: 1 << 20})
	case "write":
		s.write(ctx, project, name, int64(a.m+1)<<18)
	case "attach":
		_, err = s.cloud.Volumes.Attach(ctx, project, name, api.Attachment{Instance: other, Path: "/data" + name}, a.m > 0)
	case "detach":
		_, err = s.cloud.Volumes.Detach(ctx, project, name, a.m > 0)
	case "grow":
		_, err = s.cloud.Volumes.Update(ctx, project, name, api.VolumeSpec{SizeBytes: int64(a.m+1) << 20}, 0)
	case "delete-volume":
		err = s.cloud.Volumes.Delete(ctx, project, name, 0)
	case "snapshot":
		_, err = s.cloud.Snapshots.Create(ctx, project, other, api.SnapshotSpec{Volume: name})
	case "restore":
		_, err = s.cloud.Volumes.Create(ctx, project, name, api.VolumeSpec{Snapshot: other})
	case "delete-snapshot":
		err = s.cloud.Snapshots.Delete(ctx, project, name, 0)
	case "image":
		_, err = s.cloud.Images.Create(ctx, project, name, api.ImageSpec{Instance: other})
	case "delete-image":
		err = s.cloud.Images.Delete(ctx, project, name, 0)
	}
	return err
}

// machine is an instance of one kind or another.
func (s *scene) machine(a act, size string) api.InstanceSpec {
	spec, other := api.InstanceSpec{Type: size}, fmt.Sprint("x", a.m%3)
	switch a.m {
	case 2:
		spec.Network = other
	case 3:
		spec.Volumes = []api.VolumeMount{{Volume: other, Path: "/data"}}
	case 4:
		spec.Image, spec.Private = other, true
	case 5:
		spec.Spot = true
	}
	return spec
}

// write puts data on a volume that can be used; it must be there at the end.
func (s *scene) write(ctx context.Context, project, name string, bytes int64) {
	v, err := s.cloud.Volumes.Get(ctx, project, name)
	if err == nil && v.Status.Phase == api.Running {
		s.sim.Faults().Fill(v.ID, bytes)
		s.truth.data[v.ID] = bytes
	}
}

func (s *scene) appAct(ctx context.Context, a act, project, name string) error {
	switch a.name {
	case "app":
		spec := api.AppSpec{Image: "web:1", Replicas: &a.m}
		if a.m%2 == 1 {
			spec.Database = name
		}
		_, err := s.cloud.Apps.Create(ctx, project, name, spec)
		return err
	case "rollback":
		_, err := s.cloud.Apps.Rollback(ctx, project, name, 0)
		return err
	case "promote":
		_, err := s.cloud.Apps.Promote(ctx, project, name, []string{"other", "other", "other", "default"}[a.n])
		return err
	case "delete-app":
		return s.cloud.Apps.Delete(ctx, project, name, 0)
	}
	app, err := s.cloud.Apps.Get(ctx, project, name)
	if err != nil {
		return err
	}
	replicas := a.m % 4
	switch a.name {
	case "configure":
		app.Spec.Env = map[string]string{"COLOR": fmt.Sprint(a.m)}
	case "rebind":
		app.Spec.Database = []string{"", fmt.Sprint("x", a.m%3)}[a.m%2]
	case "scale":
		app.Spec.Replicas = &replicas
	case "scale-zero":
		replicas = 0
		app.Spec.Replicas = &replicas
	}
	_, err = s.cloud.Apps.Update(ctx, project, name, app.Spec, 0)
	return err
}
