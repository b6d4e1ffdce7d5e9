package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
)

// machineFlags are what a machine is made from, alone or as a member of a group. Only what was given changes a spec.
type machineFlags struct {
	image, size, key  string
	userData, network string
	groups            []string
	env, tags         pairs
	private, spot     bool
	unrecorded        bool

	script string // what the file userData holds
	loaded bool
}

func newMachineFlags() *machineFlags { return &machineFlags{env: pairs{}, tags: pairs{}} }

func (m *machineFlags) declare(c *cli, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.image, "image", "debian-12", "name of an image, see nuage image list, or a reference for a registry")
	m.size = "small"
	f.Var(optional(&m.size, sizeNames()...), "type", "size of the machine: nano, micro, small, medium or large; see nuage instance types")
	f.StringVar(&m.key, "key", "", "key that is let in; default: the project's default key, made if need be")
	f.StringVar(&m.userData, "user-data", "", "file with a script (#!) or #cloud-config, run once as root at first boot; - reads stdin; default: none")
	f.StringVar(&m.network, "network", "", "network it is in; default: the project's network default")
	f.BoolVar(&m.unrecorded, "unrecorded", false, "record of SSH sessions only that there was one; default: the commands and the lines typed too, without passwords")
	f.BoolVar(&m.private, "private", false, "give it no public address: only its network reaches it; default: the laptop does too")
	f.StringSliceVar(&m.groups, "security-group", nil, "group whose rules apply, repeatable; default: the group default, which allows SSH")
	f.Var(m.env, "env", "a NAME=VALUE in the machine's environment, repeatable; default: none")
	f.Var(m.tags, "tag", "a NAME=VALUE noted on the machine and its bill, repeatable; default: none")
	f.BoolVar(&m.spot, "spot", false, "cheaper, but the cloud may take it back after a notice; default: it stays")
	offer(cmd, "image", c.images().complete(c))
	offer(cmd, "key", c.keys().complete(c))
	offer(cmd, "network", c.networks().complete(c))
	offer(cmd, "security-group", c.securityGroups().complete(c))
}

// load reads the file of user data; once, since it may be stdin.
func (m *machineFlags) load(c *cli) (err error) {
	if m.userData != "" && !m.loaded {
		m.script, err = c.readText(m.userData)
		m.loaded = true
	}
	return err
}

// fresh is the spec of a new machine.
func (m *machineFlags) fresh(ctx context.Context, c *cli, s session) (spec api.InstanceSpec, err error) {
	if err = m.load(c); err != nil {
		return spec, err
	}
	m.apply(&spec, func(string) bool { return true })
	if spec.Key != "" {
		return spec, nil
	}
	spec.Key = defaultKey
	return spec, c.ensureDefaultKey(ctx, s)
}

// apply puts what was given into the spec. Tags and environment are added to; the rest is replaced.
func (m *machineFlags) apply(spec *api.InstanceSpec, given func(string) bool) {
	for flag, set := range map[string]func(){
		"image":          func() { spec.Image = m.image },
		"type":           func() { spec.Type = m.size },
		"key":            func() { spec.Key = m.key },
		"network":        func() { spec.Network = m.network },
		"unrecorded":     func() { spec.Unrecorded = m.unrecorded },
		"private":        func() { spec.Private = m.private },
		"spot":           func() { spec.Spot = m.spot },
		"user-data":      func() { spec.UserData = m.script },
		"security-group": func() { spec.SecurityGroups = m.groups },
	} {
		if given(flag) {
			set()
		}
	}
	spec.Env, spec.Tags = m.env.into(maps.Clone(spec.Env)), m.tags.into(maps.Clone(spec.Tags))
}

// mounts is a repeatable flag VOLUME:/PATH.
type mounts []api.VolumeMount

func (m *mounts) String() string { return "" }
func (m *mounts) Type() string   { return "V:/PATH" }
func (m *mounts) Set(s string) error {
	volume, path, ok := strings.Cut(s, ":")
	if !ok || volume == "" || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("it must look like VOLUME:/PATH, as data:/srv")
	}
	*m = append(*m, api.VolumeMount{Volume: volume, Path: path})
	return nil
}

// mountsText is data:/srv, logs:/var/log.
func mountsText(all []api.VolumeMount) string {
	var words []string
	for _, m := range all {
		words = append(words, m.Volume+":"+m.Path)
	}
	return strings.Join(words, ", ")
}

// offer lets the shell complete the values of a flag.
func offer(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // a flag that is not declared, or twice: the program is wrong
	}
}

// words completes one of a few words.
func words(all []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return slices.Clone(all), cobra.ShellCompDirectiveNoFileComp
	}
}
