package main

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

func (c *cli) images() noun[api.Image, api.ImageSpec] {
	n := noun[api.Image, api.ImageSpec]{
		title: "an image",
		of:    func(cloud api.Cloud) api.Resource[api.Image, api.ImageSpec] { return cloud.Images },
		head:  (*api.Image).Head,
		state: func(i *api.Image) *api.Status { return &i.Status.Status },
		spec:  func(i *api.Image) *api.ImageSpec { return &i.Spec },
	}
	n.word, n.name = "image", func(i *api.Image) string { return i.Name }
	n.columns = n.common(c,
		column[api.Image]{head: "FROM", cell: imageFrom},
		column[api.Image]{head: "SIZE", cell: imageSize},
		column[api.Image]{head: "PURPOSE", cell: func(i api.Image) string { return i.Status.Purpose }, detail: true},
		column[api.Image]{head: "NEEDS", cell: func(i api.Image) string { return i.Status.Needs }, detail: true},
		column[api.Image]{head: "REFERENCE", cell: func(i api.Image) string { return i.Status.Ref }, detail: true},
		column[api.Image]{head: "DIGEST", cell: func(i api.Image) string { return i.Status.Digest }, detail: true},
	)
	return n
}

// imageFrom says where an image comes from: catalog, instance web, nginx:1.27.
func imageFrom(i api.Image) string {
	switch {
	case i.Status.Catalog:
		return "catalog"
	case i.Spec.Instance != "":
		return "instance " + i.Spec.Instance
	}
	return i.Spec.Ref
}

// imageSize is empty for an image that is not here yet.
func imageSize(i api.Image) string {
	if i.Status.SizeBytes == 0 {
		return "-"
	}
	return bytesText(i.Status.SizeBytes)
}

func (c *cli) imageCmd() *cobra.Command {
	n := c.images()
	return group("image", "What instances boot from: the catalog, and what you add",
		lines("nuage image list", "nuage image pull nginx:1.27", "nuage image create golden --from web", "nuage instance create web-2 --image golden"),
		n.listCmd(c), n.showCmd(c), c.imagePullCmd(), c.imageCreateCmd(), n.deleteCmd(c))
}

func (c *cli) imagePullCmd() *cobra.Command {
	var name string
	n := c.images()
	cmd := c.noWaitFlag(&cobra.Command{
		Use: "pull REF", Short: "Get an image from a registry and keep it under a name",
		Long: "Get an image from a registry and keep it under a name: any image boots as an instance, unchanged. Without --name it is\n" +
			"called after its reference, nginx:1.27 as nginx-1-27. An image this machine's engine has already needs no registry.",
		Example: lines("nuage image pull nginx:1.27", "nuage image pull ghcr.io/example/tool:2 --name tool"),
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if name == "" {
				name = imageName(args[0])
			}
			i, err := c.pull(ctx, s, name, api.ImageSpec{Ref: args[0]})
			if err != nil {
				return err
			}
			return printItem(c, n.kind, i)
		}),
	})
	cmd.Flags().StringVar(&name, "name", "", "what to call it; default: after its reference")
	return cmd
}

// pull makes an image of a reference. One that is there already is as good, and one that failed is tried again.
func (c *cli) pull(ctx context.Context, s session, name string, spec api.ImageSpec) (api.Image, error) {
	n := c.images()
	old, err := s.cloud.Images.Get(ctx, s.project, name)
	switch {
	case errors.Is(err, api.NotFound) || err == nil && old.Spec != spec: // Create says that the name is taken
		return n.create(ctx, c, s, name, spec)
	case err != nil:
		return old, err
	case old.Status.Phase == api.Failed:
		if err := n.of(s.cloud).Delete(ctx, s.project, name, old.Generation); err != nil {
			return old, err
		}
		if err := n.waitGone(ctx, c, s, name); err != nil {
			return old, err
		}
		return n.create(ctx, c, s, name, spec)
	case c.flags.noWait:
		return old, nil
	}
	return n.wait(ctx, c, s, name)
}

// imageName makes a name of a reference: the last part of its path and the tag, as nginx-1-27.
func imageName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	base := strings.TrimSuffix(path.Base(ref), ":latest")
	clean := func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}
	name := strings.Map(clean, strings.ToLower(base))
	return strings.Trim(name[:min(len(name), 40)], "-")
}

func (c *cli) imageCreateCmd() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "create NAME --from INSTANCE", Short: "Make an image of an instance's root disk",
		Long: "Make an image of an instance's root disk as it is now. What boots from it has the files, but a host key and a machine id of\n" +
			"its own, and runs its own user data. Volumes are not part of it.",
		Example: lines("nuage image create golden --from web", "nuage instance create web-2 --image golden"),
		Args:    takes(1, 1),
	}
	cmd.Flags().StringVar(&from, "from", "", "instance to copy; needed")
	offer(cmd, "from", c.instances().complete(c))
	return c.images().createCmd(c, cmd, func(_ context.Context, _ session, args []string) (api.ImageSpec, error) {
		if from == "" {
			return api.ImageSpec{}, usagef("cannot create image %q: give the instance to copy, as --from web", args[0])
		}
		return api.ImageSpec{Instance: from}, nil
	})
}
