package controlplane

import (
	"maps"
	"slices"
	"strings"

	"nuage/api"
	"nuage/storage"
)

// vault is one set of an app's secrets, sealed. It never changes: other values are another set, so that a release has its own for
// good. Specs hold names and masks only, so nothing that is read or answered can tell a value.
type vault struct {
	App     string            `json:"app"` // id
	Version int64             `json:"version"`
	Values  map[string][]byte `json:"values"` // sealed
}

func vaultKey(app string, version int64) string { return app + "/" + pad(int(version)) }

func checkSecrets(app string, s *api.AppSpec) error {
	for name, value := range s.Secrets {
		if _, both := s.Env[name]; both {
			return api.Errorf(api.Invalid, "cannot have %q of app %q both as a secret and as a plain setting: unset one", name, app)
		}
		if !envName(name) || strings.ContainsRune(value, 0) {
			return api.Errorf(api.Invalid, "cannot set the secret %q of app %q: names have A-Z, a-z, 0-9 and _, values no zero byte", name, app)
		}
	}
	return nil
}

// sealSecrets moves the values of next's secrets into a vault and leaves masks. Where they are what old has, it is old's vault.
func (cp *ControlPlane) sealSecrets(tx *storage.Tx, old, next *api.App) error {
	var was api.AppSpec
	if old != nil {
		was = old.Spec
	}
	before, err := cp.openSecrets(tx, next.ID, was.SecretsVersion)
	if err != nil {
		return err
	}
	values, masks := map[string]string{}, map[string]string{}
	for name, value := range next.Spec.Secrets {
		if kept, known := before[name]; value == api.Masked && !known {
			return api.Errorf(api.Invalid, "cannot keep the secret %q of app %q: it has no value yet, and %s stands for the one it has", name, next.Name, api.Masked)
		} else if value == api.Masked {
			value = kept
		}
		values[name], masks[name] = value, api.Masked
	}
	next.Spec.Secrets, next.Spec.SecretsVersion = masks, was.SecretsVersion
	if len(masks) == 0 {
		next.Spec.Secrets = nil
	}
	if maps.Equal(before, values) {
		return nil
	}
	next.Spec.SecretsVersion, err = cp.fillVault(tx, next.ID, values)
	return err
}

// fillVault seals a new set of secrets of an app and returns its version.
func (cp *ControlPlane) fillVault(tx *storage.Tx, app string, values map[string]string) (int64, error) {
	v := vault{App: app, Version: 1, Values: map[string][]byte{}}
	err := vaultTable.Each(tx, app+"/", func(newest vault) error { v.Version = newest.Version + 1; return nil })
	if err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v.Values[name] = cp.Sealer.Seal([]byte(values[name]), app+"/secret/"+name)
	}
	return v.Version, vaultTable.Insert(tx, v)
}

// openSecrets reads a set of secrets; version 0 is the empty one.
func (cp *ControlPlane) openSecrets(tx *storage.Tx, app string, version int64) (map[string]string, error) {
	if version == 0 {
		return nil, nil
	}
	v, err := vaultTable.Get(tx, vaultKey(app, version))
	if err != nil {
		return nil, err
	}
	return cp.unseal(v)
}

func (cp *ControlPlane) unseal(v vault) (map[string]string, error) {
	out := map[string]string{}
	for name, sealed := range v.Values {
		value, err := cp.Sealer.Open(sealed, v.App+"/secret/"+name)
		if err != nil {
			return nil, err
		}
		out[name] = string(value)
	}
	return out, nil
}

// readVaults opens all secrets of apps. An app of which one does not open is left alone, and says so.
func (cp *ControlPlane) readVaults(tx *storage.Tx, w *world) error {
	return vaultTable.Each(tx, "", func(v vault) error {
		values, err := cp.unseal(v)
		if err != nil {
			cp.log.Error("secrets of an app do not open; its replicas are left alone", "app", v.App, "error", err)
			w.damaged[v.App] = true
			return nil
		}
		w.vaults[vaultKey(v.App, v.Version)] = values
		return nil
	})
}
