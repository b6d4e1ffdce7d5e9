package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"nuage/api"
	"nuage/controlplane/ingress"
	"nuage/storage"
)

const (
	authorityKey  = "edge-authority" // of its setting
	authorityLeft = 365 * 24 * time.Hour
)

// storedAuthority is the setting that keeps the edge's authority. It is made once: people have told their browsers to trust it.
type storedAuthority struct {
	Certificate []byte `json:"certificate"` // DER
	Key         []byte `json:"key"`         // PKCS 8, sealed
}

// secureEdge has the edge speak HTTPS where that is wanted.
func (cp *ControlPlane) secureEdge() (err error) {
	if !cp.EdgeTLS {
		return nil
	}
	if cp.authority, err = cp.openAuthority(); err != nil {
		return err
	}
	cp.Edge.Secure(cp.authority, cp.certified)
	return nil
}

// openAuthority reads the edge's authority, or makes it where there is none or it ends within a year.
func (cp *ControlPlane) openAuthority() (made *ingress.Authority, err error) {
	var kept setting
	err = cp.Store.View(func(tx *storage.Tx) error { kept, err = settingTable.Get(tx, authorityKey); return err })
	switch {
	case errors.Is(err, api.NotFound):
		return cp.makeAuthority()
	case err != nil:
		return nil, err
	}
	var s storedAuthority
	if err := json.Unmarshal(kept.Value, &s); err != nil {
		return nil, api.Errorf(api.Internal, "cannot read the edge's authority: %w", err)
	}
	key, err := cp.Sealer.Open(s.Key, authorityKey)
	if err != nil {
		return nil, err
	}
	made, err = ingress.OpenAuthority(s.Certificate, key)
	if err == nil && made.Until().Sub(cp.Now()) < authorityLeft {
		cp.log.Warn("the edge's certificate authority ends soon and is followed by another one, to be trusted anew", "until", made.Until())
		return cp.makeAuthority()
	}
	return made, err
}

// makeAuthority makes an authority and keeps it.
func (cp *ControlPlane) makeAuthority() (*ingress.Authority, error) {
	made, err := ingress.MakeAuthority(cp.Now())
	if err != nil {
		return nil, err
	}
	certificate, key, err := made.Marshal()
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(storedAuthority{Certificate: certificate, Key: cp.Sealer.Seal(key, authorityKey)})
	if err != nil {
		return nil, err
	}
	return made, cp.Store.Update(func(tx *storage.Tx) error {
		return settingTable.Put(tx, setting{Key: authorityKey, Value: value})
	})
}

// EdgeCA is the certificate of the edge's authority in PEM; nil: the edge speaks plain HTTP.
func (cp *ControlPlane) EdgeCA() []byte {
	if cp.authority == nil {
		return nil
	}
	return cp.authority.PEM()
}

// certified records that a host has got a certificate: work that nobody with an app or a function has to do.
func (cp *ControlPlane) certified(r ingress.Route, c ingress.Certificate) {
	noun := r.Kind
	if noun == kindAuth {
		noun = "auth-pool"
	}
	what := "made"
	if c.Renewed {
		what = "rotated"
	}
	cp.note("edge", noun, &api.Meta{Project: r.Project, Name: r.Name}, "certificate",
		fmt.Sprintf("%s for %s, good until %s", what, c.Host, c.Until.UTC().Format(time.DateOnly)))
}
