package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"nuage/api"
	"nuage/compute"
	"nuage/controlplane/billing"
	"nuage/storage"
)

// makeReady brings a release to where its replicas can start: it gets its image, then its release command runs. What is wrong with the
// source or the command fails the deploy; what is wrong with the engine is tried again.
func (cp *ControlPlane) makeReady(ctx context.Context, a api.App, r release) error {
	log := cp.buildLogs.open(releaseKey(a.ID, r.Number))
	var last tail
	said := io.MultiWriter(&last, log)
	var err error
	switch {
	case r.Image == "":
		r, err = cp.findOrBuild(ctx, a, r, said)
	case r.held():
		err = cp.holdImage(ctx, a, r)
	}
	if err == nil && r.Command != "" && !r.Prepared {
		err = cp.runReleaseCommand(ctx, a, r, said)
	}
	if errors.Is(err, api.Unavailable) || ctx.Err() != nil {
		return err
	}
	log.end()
	if err != nil {
		return cp.failDeploy(ctx, a, r, err.Error()+buildAdvice(last.lines()), last.lines())
	}
	return cp.startReplicas(a, r)
}

// startReplicas lets the replicas of a release start.
func (cp *ControlPlane) startReplicas(a api.App, r release) error {
	return cp.Store.Update(func(tx *storage.Tx) error {
		now, err := releaseTable.Get(tx, releaseKey(a.ID, r.Number))
		if err != nil || now.State != building || now.Image == "" {
			return ignoreGone(err)
		}
		now.State, now.Reason, now.Since, now.Prepared = deploying, "starting its replicas", cp.Now().UTC(), true
		return releaseTable.Put(tx, now)
	})
}

// findOrBuild gives a release its image and commits that. It returns the release as it is then.
func (cp *ControlPlane) findOrBuild(ctx context.Context, a api.App, r release, log io.Writer) (release, error) {
	from := cp.billingNow()
	now, err := cp.releaseImage(ctx, a, r, log)
	if err != nil {
		return r, err
	}
	gone := false
	err = cp.Store.Update(func(tx *storage.Tx) error {
		stored, err := releaseTable.Get(tx, releaseKey(a.ID, r.Number))
		if gone = errors.Is(err, api.NotFound); err != nil {
			return ignoreGone(err)
		}
		if now.Tag != "" {
			if err := cp.billBuild(tx, a, r, from); err != nil {
				return err
			}
			if err := cp.record(tx, platform("builder"), "app", &a.Meta, "build", fmt.Sprintf("release %d as image %s, from %s", r.Number, short(now.Image), now.Built)); err != nil {
				return err
			}
		}
		stored.Image, stored.Bytes, stored.Tag = now.Image, now.Bytes, now.Tag // kept for a superseded one too: oldImages finds it
		stored.Built, stored.Command = now.Built, now.Command
		now = stored
		return releaseTable.Put(tx, stored)
	})
	if err == nil && gone && now.Tag != "" {
		err = cp.Engine.(compute.Images).RemoveImage(ctx, now.Tag)
	}
	return now, err
}

// billBuild writes the minutes of a build that made an image; one that failed costs nothing, nor does a patch of the platform's. from is in
// billing time.
func (cp *ControlPlane) billBuild(tx *storage.Tx, a api.App, r release, from time.Time) error {
	if r.Patch != nil {
		return nil
	}
	end := cp.billingNow()
	u := api.Usage{ID: "build-" + releaseKey(a.ID, r.Number), Project: a.Project, Service: "apps", Resource: a.Name, ResourceID: a.ID,
		Meter: billing.BuildMinutes, Quantity: billing.Millis(from, end), Start: from, End: end}
	if err := billing.CheckUsage(u); err != nil {
		return err
	}
	_, err := usageLog.Append(tx, u)
	return err
}

func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// releaseImage returns a release with its image: found, or built.
func (cp *ControlPlane) releaseImage(ctx context.Context, a api.App, r release, log io.Writer) (release, error) {
	if r.Patch != nil {
		image, err := cp.buildPatch(ctx, a, r, log)
		r.Image, r.Bytes, r.Tag = image.ID, image.Size, imageTag(a.ID, r.Number)
		return r, err
	}
	if r.Spec.Source == "" {
		image, err := cp.findImage(ctx, r.Spec.Image)
		r.Image, r.Bytes = image.ID, image.Size
		return r, err
	}
	image, plan, err := cp.buildImage(ctx, a, r, log)
	r.Image, r.Bytes, r.Tag, r.Built, r.Command = image.ID, image.Size, imageTag(a.ID, r.Number), plan.taken, plan.release
	return r, err
}

// runReleaseCommand runs the line "release" of the Procfile in a fresh container of the new release, with its settings. A command that
// was cut off with the control plane runs again.
func (cp *ControlPlane) runReleaseCommand(ctx context.Context, a api.App, r release, log io.Writer) error {
	if err := cp.sayBuilding(a, r, "running its release command"); err != nil {
		return err
	}
	fmt.Fprintf(log, "release command: %s\n", r.Command)
	w, err := cp.read()
	if err != nil {
		return err
	}
	l := w.replica(a, r, 0)
	if !cp.networks.has(l.Network) {
		return api.Errorf(api.Unavailable, "cannot run the release command of app %q yet: its network is being made", a.Name)
	}
	p := compute.Process{Command: []string{"/bin/sh", "-c", r.Command}, Stdout: log, Stderr: log}
	status, err := cp.oneOff(ctx, l, p)
	if err == nil && status != 0 {
		err = api.Errorf(api.Invalid, "its release command %q exited with status %d", r.Command, status)
	}
	return err
}
