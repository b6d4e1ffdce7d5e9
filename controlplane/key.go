package controlplane

import (
	"context"
	"strings"

	"golang.org/x/crypto/ssh"

	"nuage/api"
	"nuage/storage"
)

func (cp *ControlPlane) keys() resource[api.Key, api.KeySpec] {
	return resource[api.Key, api.KeySpec]{
		cp: cp, noun: "key", prefix: "key", table: keyTable,
		status: func(k *api.Key) *api.Status { return &k.Status.Status },
		spec:   func(k *api.Key) *api.KeySpec { return &k.Spec },
		check:  checkKey,
		admit:  func(*storage.Tx, api.Actor, *api.Key, *api.Key) error { return nil },
		retire: cp.retireKey,
	}
}

// checkKey reads the key and refuses what OpenSSH's authorized_keys would not take.
func checkKey(_ context.Context, old, next *api.Key) error {
	if old != nil {
		return api.Errorf(api.Unsupported, "cannot change key %q: import another one under a new name", next.Name)
	}
	parsed, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(next.Spec.PublicKey))
	if err != nil || len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0 {
		return api.Errorf(api.Invalid, "cannot import key %q: it is not one line like \"ssh-ed25519 AAAA... comment\", as in a .pub file", next.Name)
	}
	next.Spec.PublicKey = strings.TrimSpace(next.Spec.PublicKey)
	next.Status.Fingerprint = ssh.FingerprintSHA256(parsed)
	ready(&next.Status.Status, next.Generation, "can be used")
	return nil
}

// ready is the status of a noun that is a record only: done as soon as it is stored.
func ready(s *api.Status, generation int64, reason string) {
	s.Phase, s.Reason, s.Generation = api.Running, reason, generation
}

func (cp *ControlPlane) retireKey(tx *storage.Tx, k *api.Key) (bool, error) {
	err := instanceTable.EachBy(tx, "name", k.Project+"/", func(i api.Instance) error {
		if i.Spec.Key == k.Name && i.DeletedAt == nil {
			return api.Errorf(api.Conflict, "cannot delete key %q: instance %q lets it in; delete the instance first", k.Name, i.Name)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	return true, inTemplate(tx, "key", k.Meta, func(t api.InstanceSpec) bool { return t.Key == k.Name })
}
