package controlplane

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"nuage/api"
	"nuage/storage"
)

// vault is one set of an app's or a function's secrets, sealed. It never changes: other values are another set, so that a release or a
// version has its own for good. Specs hold names and masks only, so nothing that is read or answered can tell a value.
type vault struct {
	App     string            `json:"app"` // id of the app or function
	Version int64             `json:"version"`
	Values  map[string][]byte `json:"values"` // sealed
}

func vaultKey(owner string, version int64) string { return owner + "/" + pad(int(version)) }

// secretSet is what a spec says of secrets.
type secretSet struct {
	values  map[string]string // plain or masked
	version int64
}

func checkSecrets(noun, name string, secrets, env map[string]string) error {
	for secret, value := range secrets {
		if _, both := env[secret]; both {
			return api.Errorf(api.Invalid, "cannot have %q of %s %q both as a secret and as a plain setting: unset one", secret, noun, name)
		}
		if !envName(secret) || strings.ContainsRune(value, 0) {
			return api.Errorf(api.Invalid, "cannot set the secret %q of %s %q: names have A-Z, a-z, 0-9 and _, values no zero byte", secret, noun, name)
		}
	}
	return nil
}

// sealSecrets moves the values of next into a vault and returns masks. Where they are what was has, it is the vault of that.
func (cp *ControlPlane) sealSecrets(tx *storage.Tx, noun string, m *api.Meta, was, next secretSet) (secretSet, error) {
	before, err := cp.openSecrets(tx, m.ID, was.version)
	if err != nil {
		return next, err
	}
	values, masks := map[string]string{}, map[string]string{}
	for name, value := range next.values {
		if kept, known := before[name]; value == api.Masked && !known {
			return next, api.Errorf(api.Invalid, "cannot keep the secret %q of %s %q: it has no value yet, and %s stands for the one it has", name, noun, m.Name, api.Masked)
		} else if value == api.Masked {
			value = kept
		}
		values[name], masks[name] = value, api.Masked
	}
	if len(masks) == 0 {
		masks = nil
	}
	if maps.Equal(before, values) {
		return secretSet{masks, was.version}, nil
	}
	version, err := cp.fillVault(tx, m.ID, values)
	return secretSet{masks, version}, err
}

// dropVaults forgets all secrets of an app or a function.
func dropVaults(tx *storage.Tx, owner string) error {
	var keys []string
	err := vaultTable.Each(tx, owner+"/", func(v vault) error { keys = append(keys, vaultKey(v.App, v.Version)); return nil })
	for _, key := range keys {
		err = errors.Join(err, vaultTable.Delete(tx, key))
	}
	return err
}

// fillVault seals a new set of secrets of an app or a function and returns its version.
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

// readVaults opens all secrets. An app of which one does not open is left alone, and says so; a function's deploy fails.
func (cp *ControlPlane) readVaults(tx *storage.Tx, w *world) error {
	return vaultTable.Each(tx, "", func(v vault) error {
		values, err := cp.unseal(v)
		if err != nil {
			cp.log.Error("secrets do not open; what has them is left alone", "id", v.App, "error", err)
			w.damaged[v.App] = true
			return nil
		}
		w.vaults[vaultKey(v.App, v.Version)] = values
		return nil
	})
}
