package controlplane

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"nuage/api"
	"nuage/storage"
)

// platform is the actor of what the cloud does by itself; part names which part of it.
func platform(part string) api.Actor { return api.Actor{Kind: api.Platform, Name: part} }

// record appends an activity in the transaction of the change it speaks of.
func (cp *ControlPlane) record(tx *storage.Tx, actor api.Actor, noun string, m *api.Meta, verb, detail string) error {
	_, err := activityLog.Append(tx, cp.activity(actor, noun, m, verb, detail))
	return err
}

func (cp *ControlPlane) activity(actor api.Actor, noun string, m *api.Meta, verb, detail string) api.Activity {
	return api.Activity{
		ID: cp.NewID("act"), Time: cp.Now().UTC(), Actor: actor, Layer: layerOf(noun, verb, detail), Project: m.Project,
		Noun: noun, Resource: m.Name, ResourceID: m.ID, Model: modelOf(noun), Verb: verb, Detail: detail,
	}
}

// note records platform work that no other change goes with. A failure is logged: the work itself is done.
func (cp *ControlPlane) note(part, noun string, m *api.Meta, verb, detail string) {
	err := cp.Store.Update(func(tx *storage.Tx) error { return cp.record(tx, platform(part), noun, m, verb, detail) })
	if err != nil {
		cp.log.Error("activity not recorded", "noun", noun, "name", m.Name, "verb", verb, "error", err)
	}
}

// modelOf says which service model a noun belongs to; keys and groups belong to instances.
func modelOf(noun string) string {
	switch noun {
	case "instance", "key", "security-group", "network", "image", "volume", "snapshot", "load-balancer", "instance-group":
		return "iaas"
	case "app", "database", "backup", "auth-pool":
		return "paas"
	case "function", "trigger", "queue", "topic":
		return "faas"
	}
	return ""
}

// layerOf is the one table that says in which layer a piece of work lies. What is not in it is configuration, or what its
// noun is about.
func layerOf(noun, verb, detail string) api.Layer {
	if noun == "backup" || noun == "queue" && (verb == "purge" || verb == "redrive") {
		return api.LayerData
	}
	switch verb {
	case "place", "recreate", "rebase", "removed", "reclaim", "reclaim-notice":
		return api.LayerVirtualization
	case "resize", "scale":
		return api.LayerScaling
	}
	switch noun + " " + verb {
	case "instance ssh", "instance exec":
		return commandLayer(detail)
	case "instance user-data", "instance boot", "instance oom":
		return api.LayerOperatingSystem
	case "instance restart":
		return api.LayerVirtualization
	case "app patch", "database patch":
		return api.LayerOperatingSystem
	case "app restart", "app build", "database restart", "function load":
		return api.LayerRuntime
	case "app route", "app drain", "app split", "trigger create", "trigger delete", "function alias", "function delete-alias":
		return api.LayerNetworkControls
	case "app create", "app deploy", "app deploy-failed", "app split-failed", "app rollback", "app promote", "app restart-all", "app run", "app delete",
		"function create", "function deploy", "function delete", "function publish", "function unpublish":
		return api.LayerApplication
	case "app certificate", "function certificate", "auth-pool certificate":
		return api.LayerNetworkControls
	case "database credentials", "database rotate", "database open-login", "database close-login":
		return api.LayerIdentities
	case "database exec", "database restore", "database schedule", "database archive", "database base", "database verify-base", "database base-failed":
		return api.LayerData
	}
	layer, _ := nounLayer(noun)
	return layer
}

// nounLayer is the layer of work on a noun that is not named above. known: somebody has decided it.
func nounLayer(noun string) (layer api.Layer, known bool) {
	switch noun {
	case "key", "user", "token", "project", "auth-pool":
		return api.LayerIdentities, true
	case "security-group", "network", "load-balancer":
		return api.LayerNetworkControls, true
	case "volume", "snapshot", "backup":
		return api.LayerData, true
	case "image":
		return api.LayerOperatingSystem, true
	case "instance-group":
		return api.LayerScaling, true
	case "instance", "app", "database", "function", "trigger", "queue", "topic", "budget", "invoice", "receipts", "clock", "cloud", "lab", "advisory":
		return api.LayerConfiguration, true
	}
	return api.LayerConfiguration, false
}

// commandLayer reads from a command on an instance what it was about; what it does not know is work on the operating system.
func commandLayer(command string) api.Layer {
	words := strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune(" \t\n;&|()'\"", r) })
	for _, w := range words {
		switch w[strings.LastIndexByte(w, '/')+1:] {
		case "apt-get", "apt", "dpkg", "apk", "useradd", "systemctl", "service", "sysctl", "mount":
			return api.LayerOperatingSystem
		case "psql", "createdb", "createuser", "pg_dump", "pg_restore", "mysql", "redis-cli":
			return api.LayerData
		case "pip", "pip3", "npm", "venv":
			return api.LayerRuntime
		case "sftp-server", "scp", "sftp", "rsync", "git", "nohup", "setsid":
			return api.LayerApplication
		case "iptables", "nft", "ip", "ufw":
			return api.LayerNetworkControls
		}
	}
	return api.LayerOperatingSystem
}

// activities implements api.Activities.
type activities struct{ cp *ControlPlane }

func (a activities) List(ctx context.Context, q api.ActivityQuery) (api.List[api.Activity], error) {
	out := api.List[api.Activity]{Items: []api.Activity{}}
	actor, err := a.cp.actor(ctx)
	if err != nil {
		return out, err
	}
	if q.Project, err = narrow(actor, q.Project); err != nil {
		return out, err
	}
	if q.Layer != "" && !slices.Contains(api.Layers(), q.Layer) {
		return out, api.Errorf(api.Invalid, "cannot filter by layer %q: there is no such layer", q.Layer)
	}
	if q.Actor != "" && q.Actor != api.Customer && q.Actor != api.Platform {
		return out, api.Errorf(api.Invalid, "cannot filter by actor %q: there are customer and platform", q.Actor)
	}
	if q.Model != "" && !slices.Contains([]string{"iaas", "paas", "faas"}, q.Model) {
		return out, api.Errorf(api.Invalid, "cannot filter by model %q: there are iaas, paas and faas", q.Model)
	}
	limit, err := pageLimit(q.Page)
	if err != nil {
		return out, err
	}
	from, err := sequence(q.After)
	if err != nil {
		return out, err
	}
	err = a.cp.Store.View(func(tx *storage.Tx) error {
		return activityLog.Each(tx, from, 0, func(e storage.Entry[api.Activity]) error {
			out.Next = strconv.FormatUint(e.Sequence, 10)
			if !matches(q, e.Value) {
				return nil
			}
			if out.Items = append(out.Items, e.Value); len(out.Items) == limit {
				return storage.Stop
			}
			return nil
		})
	})
	if out.Next == "" {
		out.Next = q.After
	}
	return out, err
}

// sequence reads the After of a log's page: the last sequence seen; reading goes on behind it.
func sequence(after string) (uint64, error) {
	if after == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(after, 10, 64)
	if err != nil {
		return 0, api.Errorf(api.Invalid, "cannot continue after %q: after is the next of an earlier page", after)
	}
	return n + 1, nil
}

func matches(q api.ActivityQuery, a api.Activity) bool {
	for _, f := range [][2]string{{q.Project, a.Project}, {q.Resource, a.Resource}, {q.Noun, a.Noun}, {q.Verb, a.Verb}, {q.Model, a.Model},
		{string(q.Layer), string(a.Layer)}, {string(q.Actor), string(a.Actor.Kind)}, {q.By, a.Actor.Name}} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	return (q.Since.IsZero() || !a.Time.Before(q.Since.Truncate(time.Millisecond))) && (q.Until.IsZero() || a.Time.Before(q.Until))
}
