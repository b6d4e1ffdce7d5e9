package apitest

import (
	"testing"
	"time"

	"nuage/api"
)

// kind is what the suite must know of a noun to check it.
type kind[T, S any] struct {
	noun     string // as activities name it
	resource func(api.Cloud) api.Resource[T, S]
	// spec returns a good spec for the noun called name, the same one each time; what it refers to it makes.
	spec func(t *testing.T, s *suite, project, name string) S
	// change makes another good spec of one; nil where no field can change.
	change func(S) S
	// fixed says that Update is Unsupported.
	fixed bool
	bad   []bad[S]
	// clean undoes what spec made; nil: nothing.
	clean func(t *testing.T, s *suite, project, name string)
	meta  func(*T) (*api.Meta, *api.Status)
}

// bad is a spec that must be refused.
type bad[S any] struct {
	why  string
	spec S
	code api.Code
}

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop"

func keys() kind[api.Key, api.KeySpec] {
	return kind[api.Key, api.KeySpec]{
		noun: "key", fixed: true,
		resource: func(c api.Cloud) api.Resource[api.Key, api.KeySpec] { return c.Keys },
		spec:     func(*testing.T, *suite, string, string) api.KeySpec { return api.KeySpec{PublicKey: publicKey} },
		bad: []bad[api.KeySpec]{
			{"no key", api.KeySpec{}, api.Invalid},
			{"garbage", api.KeySpec{PublicKey: "ssh-ed25519 garbage"}, api.Invalid},
			{"two keys", api.KeySpec{PublicKey: publicKey + "\n" + publicKey}, api.Invalid},
		},
		meta: func(v *api.Key) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func securityGroups() kind[api.SecurityGroup, api.SecurityGroupSpec] {
	rule := api.Rule{Protocol: "tcp", FromPort: 80, ToPort: 90, CIDR: "0.0.0.0/0"}
	one := func(r api.Rule) api.SecurityGroupSpec { return api.SecurityGroupSpec{Rules: []api.Rule{r}} }
	return kind[api.SecurityGroup, api.SecurityGroupSpec]{
		noun:     "security-group",
		resource: func(c api.Cloud) api.Resource[api.SecurityGroup, api.SecurityGroupSpec] { return c.SecurityGroups },
		spec:     func(*testing.T, *suite, string, string) api.SecurityGroupSpec { return one(rule) },
		change: func(s api.SecurityGroupSpec) api.SecurityGroupSpec {
			return api.SecurityGroupSpec{Rules: append([]api.Rule{{Protocol: "icmp", CIDR: "10.0.0.0/8"}}, s.Rules...)}
		},
		bad: []bad[api.SecurityGroupSpec]{
			{"unknown protocol", one(api.Rule{Protocol: "gre", CIDR: "0.0.0.0/0"}), api.Invalid},
			{"no range", one(api.Rule{Protocol: "tcp", FromPort: 1, CIDR: "anywhere"}), api.Invalid},
			{"no source", one(api.Rule{Protocol: "tcp", FromPort: 1}), api.Invalid},
			{"two sources", one(api.Rule{Protocol: "tcp", FromPort: 1, CIDR: "0.0.0.0/0", Group: "default"}), api.Invalid},
			{"ports the wrong way round", one(api.Rule{Protocol: "tcp", FromPort: 90, ToPort: 80, CIDR: "0.0.0.0/0"}), api.Invalid},
			{"ports beyond", one(api.Rule{Protocol: "tcp", FromPort: 1, ToPort: 65536, CIDR: "0.0.0.0/0"}), api.Invalid},
			{"ports of icmp", one(api.Rule{Protocol: "icmp", FromPort: 1, CIDR: "0.0.0.0/0"}), api.Invalid},
			{"too many", api.SecurityGroupSpec{Rules: make([]api.Rule, 101)}, api.Invalid},
			{"unknown group", one(api.Rule{Protocol: "all", Group: "nobody"}), api.NotFound},
		},
		meta: func(v *api.SecurityGroup) (*api.Meta, *api.Status) { return &v.Meta, &v.Status },
	}
}

func instances() kind[api.Instance, api.InstanceSpec] {
	return kind[api.Instance, api.InstanceSpec]{
		noun:     "instance",
		resource: func(c api.Cloud) api.Resource[api.Instance, api.InstanceSpec] { return c.Instances },
		spec:     func(*testing.T, *suite, string, string) api.InstanceSpec { return api.InstanceSpec{Type: "nano"} },
		change: func(s api.InstanceSpec) api.InstanceSpec {
			s.Tags = map[string]string{"class": "lab"}
			return s
		},
		bad: []bad[api.InstanceSpec]{
			{"unknown type", api.InstanceSpec{Type: "huge"}, api.Invalid},
			{"user data that is no script", api.InstanceSpec{Type: "nano", UserData: "echo hello"}, api.Invalid},
			{"too much user data", api.InstanceSpec{Type: "nano", UserData: "#!/bin/sh\n" + string(make([]byte, 65536))}, api.Invalid},
			{"an environment no shell takes", api.InstanceSpec{Type: "nano", Env: map[string]string{"a b": "c"}}, api.Invalid},
			{"unknown key", api.InstanceSpec{Type: "nano", Key: "nobody"}, api.NotFound},
			{"user data of no known kind", api.InstanceSpec{Type: "nano", UserData: "#include http://example.com"}, api.Invalid},
			{"unknown network", api.InstanceSpec{Type: "nano", Network: "nobody"}, api.NotFound},
			{"unknown volume", api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "nobody", Path: "/data"}}}, api.NotFound},
			{"a volume at no path", api.InstanceSpec{Type: "nano", Volumes: []api.VolumeMount{{Volume: "data", Path: "data"}}}, api.Invalid},
			{"unknown group", api.InstanceSpec{Type: "nano", SecurityGroups: []string{"nobody"}}, api.NotFound},
		},
		meta: func(v *api.Instance) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func apps(image string) kind[api.App, api.AppSpec] {
	return kind[api.App, api.AppSpec]{
		noun:     "app",
		resource: func(c api.Cloud) api.Resource[api.App, api.AppSpec] { return c.Apps },
		spec:     func(*testing.T, *suite, string, string) api.AppSpec { return api.AppSpec{Image: image, Size: "nano"} },
		change: func(s api.AppSpec) api.AppSpec {
			two := 2
			s.Replicas = &two
			return s
		},
		bad: []bad[api.AppSpec]{
			{"neither image nor source", api.AppSpec{}, api.Invalid},
			{"image and source", api.AppSpec{Image: image, Source: "src-1"}, api.Invalid},
			{"no such port", api.AppSpec{Image: image, Port: 65536}, api.Invalid},
			{"too many replicas", api.AppSpec{Image: image, Replicas: pointer(51)}, api.Invalid},
			{"fewer than none", api.AppSpec{Image: image, Replicas: pointer(-1)}, api.Invalid},
			{"unknown size", api.AppSpec{Image: image, Size: "huge"}, api.Invalid},
			{"a health path that is none", api.AppSpec{Image: image, Health: "up"}, api.Invalid},
			{"unknown database", api.AppSpec{Image: image, Database: "nobody"}, api.NotFound},
			{"unknown auth pool", api.AppSpec{Image: image, Auth: api.AppAuth{Pool: "nobody"}}, api.NotFound},
			{"a sign-in demanded without a pool", api.AppSpec{Image: image, Auth: api.AppAuth{Required: true}}, api.Invalid},
		},
		meta: func(v *api.App) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func pointer[T any](v T) *T { return &v }

func databases() kind[api.Database, api.DatabaseSpec] {
	return kind[api.Database, api.DatabaseSpec]{
		noun:     "database",
		resource: func(c api.Cloud) api.Resource[api.Database, api.DatabaseSpec] { return c.Databases },
		spec: func(*testing.T, *suite, string, string) api.DatabaseSpec {
			return api.DatabaseSpec{Engine: "postgres", Size: "nano"}
		},
		change: func(s api.DatabaseSpec) api.DatabaseSpec {
			s.Size = "micro"
			return s
		},
		bad: []bad[api.DatabaseSpec]{
			{"unknown engine", api.DatabaseSpec{Engine: "oracle"}, api.Invalid},
			{"no engine", api.DatabaseSpec{}, api.Invalid},
			{"unknown size", api.DatabaseSpec{Engine: "postgres", Size: "huge"}, api.Invalid},
			{"less than nothing", api.DatabaseSpec{Engine: "postgres", StorageBytes: -1}, api.Invalid},
			{"backups without a pause", api.DatabaseSpec{Engine: "postgres", BackupSeconds: 59}, api.Invalid},
			{"backups kept but never made", api.DatabaseSpec{Engine: "postgres", Keep: 3}, api.Invalid},
			{"a restore of nothing", api.DatabaseSpec{Engine: "postgres", Restore: &api.Restore{}}, api.Invalid},
			{"a restore of two things", api.DatabaseSpec{Restore: &api.Restore{Backup: "b", Database: "d"}}, api.Invalid},
			{"an unknown backup", api.DatabaseSpec{Restore: &api.Restore{Backup: "nobody"}}, api.NotFound},
			{"a database without a backup", api.DatabaseSpec{Restore: &api.Restore{Database: "nobody"}}, api.NotFound},
			{"a moment of a backup", api.DatabaseSpec{Restore: &api.Restore{Backup: "b", Time: pointer(time.Now())}}, api.Invalid},
			{"a moment of nothing", api.DatabaseSpec{Restore: &api.Restore{Time: pointer(time.Now())}}, api.Invalid},
			{"a moment of an unknown database", api.DatabaseSpec{Restore: &api.Restore{Database: "nobody", Time: pointer(time.Now())}}, api.NotFound},
		},
		meta: func(v *api.Database) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func backups() kind[api.Backup, api.BackupSpec] {
	return kind[api.Backup, api.BackupSpec]{
		noun: "backup", fixed: true,
		resource: func(c api.Cloud) api.Resource[api.Backup, api.BackupSpec] { return c.Backups },
		spec: func(t *testing.T, s *suite, project, name string) api.BackupSpec {
			x := trial[api.Database, api.DatabaseSpec]{databases(), s, s.Context, project, s.Cloud.Databases}
			if _, err := x.r.Get(s.Context, project, "of-"+name); err != nil {
				_, err := x.r.Create(s.Context, project, "of-"+name, api.DatabaseSpec{Engine: "postgres", Size: "nano"})
				must(t, "create a database", err)
				x.settled(t, "of-"+name)
			}
			return api.BackupSpec{Database: "of-" + name}
		},
		clean: func(t *testing.T, s *suite, project, name string) {
			trial[api.Database, api.DatabaseSpec]{databases(), s, s.Context, project, s.Cloud.Databases}.remove(t, "of-"+name)
		},
		bad: []bad[api.BackupSpec]{
			{"no database", api.BackupSpec{}, api.Invalid},
			{"unknown database", api.BackupSpec{Database: "nobody"}, api.NotFound},
		},
		meta: func(v *api.Backup) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func authPools() kind[api.AuthPool, api.AuthPoolSpec] {
	return kind[api.AuthPool, api.AuthPoolSpec]{
		noun:     "auth-pool",
		resource: func(c api.Cloud) api.Resource[api.AuthPool, api.AuthPoolSpec] { return c.AuthPools },
		spec:     func(*testing.T, *suite, string, string) api.AuthPoolSpec { return api.AuthPoolSpec{} },
		change: func(s api.AuthPoolSpec) api.AuthPoolSpec {
			s.SignUp = "closed"
			return s
		},
		bad:  []bad[api.AuthPoolSpec]{{"unknown sign-up", api.AuthPoolSpec{SignUp: "maybe"}, api.Invalid}},
		meta: func(v *api.AuthPool) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func functions() kind[api.Function, api.FunctionSpec] {
	never := "src-0000000000000000000000000000000000000000000000000000000000000000"
	return kind[api.Function, api.FunctionSpec]{
		noun:     "function",
		resource: func(c api.Cloud) api.Resource[api.Function, api.FunctionSpec] { return c.Functions },
		spec: func(t *testing.T, s *suite, project, _ string) api.FunctionSpec {
			return api.FunctionSpec{Runtime: "wasm", Source: s.upload(t, project, Echo())}
		},
		change: func(s api.FunctionSpec) api.FunctionSpec {
			s.MemoryMB = 256
			return s
		},
		bad: []bad[api.FunctionSpec]{
			{"unknown runtime", api.FunctionSpec{Runtime: "cobol", Source: never}, api.Invalid},
			{"no source", api.FunctionSpec{Runtime: "wasm"}, api.Invalid},
			{"a source that was never uploaded", api.FunctionSpec{Runtime: "wasm", Source: never}, api.NotFound},
			{"too little memory", api.FunctionSpec{Runtime: "wasm", Source: never, MemoryMB: 127}, api.Invalid},
			{"too much memory", api.FunctionSpec{Runtime: "wasm", Source: never, MemoryMB: 10241}, api.Invalid},
			{"too much time", api.FunctionSpec{Runtime: "wasm", Source: never, TimeoutMs: 900_001}, api.Invalid},
			{"unknown network", api.FunctionSpec{Runtime: "wasm", Source: never, Network: "all"}, api.Invalid},
		},
		meta: func(v *api.Function) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}

func triggers() kind[api.Trigger, api.TriggerSpec] {
	return kind[api.Trigger, api.TriggerSpec]{
		noun:     "trigger",
		resource: func(c api.Cloud) api.Resource[api.Trigger, api.TriggerSpec] { return c.Triggers },
		spec: func(t *testing.T, s *suite, project, name string) api.TriggerSpec {
			if _, err := s.Cloud.Functions.Get(s.Context, project, "for-"+name); err != nil {
				s.deploy(t, project, "for-"+name, Echo())
			}
			return api.TriggerSpec{Function: "for-" + name, HTTP: true}
		},
		clean: func(t *testing.T, s *suite, project, name string) { s.gone(t, project, "for-"+name) },
		bad: []bad[api.TriggerSpec]{
			{"no event", api.TriggerSpec{Function: "nobody"}, api.Invalid},
			{"unknown function", api.TriggerSpec{Function: "nobody", HTTP: true}, api.NotFound},
		},
		meta: func(v *api.Trigger) (*api.Meta, *api.Status) { return &v.Meta, &v.Status.Status },
	}
}
