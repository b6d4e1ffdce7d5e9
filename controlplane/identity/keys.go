package identity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"nuage/api"
)

// A key signs for keyLife from keyLead after it was made, so that clients have seen it by then; it is published for as
// long as a token that it signed can be good.
const (
	keyLife = 30 * 24 * time.Hour
	keyLead = time.Hour
	keyRest = 24 * time.Hour
	rsaBits = 2048
)

// pair is a signing key, opened.
type pair struct {
	id      string
	private *rsa.PrivateKey
}

// SignatureAlgorithm, Key and ID make it a key of the protocol's library.
func (p pair) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p pair) Key() any                                    { return p.private }
func (p pair) ID() string                                  { return p.id }

// public is the half that is published.
type public struct{ pair }

func (p public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p public) Use() string                        { return "sig" }
func (p public) Key() any                           { return &p.private.PublicKey }

// keyring returns the keys of a pool, newest first, and makes one where there is none or the newest is old.
func (s *Service) keyring(pool Pool) ([]Key, error) {
	keys, err := s.readKeys(pool)
	if err != nil || fresh(keys, s.Now()) {
		return keys, err
	}
	s.makeKey.Lock()
	defer s.makeKey.Unlock()
	if keys, err = s.readKeys(pool); err != nil || fresh(keys, s.Now()) {
		return keys, err
	}
	if err := s.RotateKey(pool); err != nil {
		return nil, err
	}
	return s.readKeys(pool)
}

// fresh reports whether the newest key need not be followed by another one yet.
func fresh(keys []Key, now time.Time) bool {
	return len(keys) > 0 && now.Sub(keys[0].Created) < keyLife
}

func (s *Service) readKeys(pool Pool) (keys []Key, err error) {
	err = s.Store.View(func(tx Tx) error { keys, err = keysOf(tx, pool); return err })
	return keys, err
}

func keysOf(tx Tx, pool Pool) (keys []Key, err error) {
	err = tx.Keys().Each(pool.ID+"/", func(k Key) error { keys = append(keys, k); return nil })
	slices.SortFunc(keys, func(a, b Key) int { return b.Created.Compare(a.Created) })
	return keys, err
}

// RotateKey makes the next signing key of a pool and drops those nothing good is signed with any more. The new one
// signs in an hour, so that clients have fetched it by then; a pool's first one signs at once.
func (s *Service) RotateKey(pool Pool) error {
	private, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	next := Key{Pool: pool.ID, ID: s.NewID("key"), Created: now}
	next.Private = s.Sealer.Seal(der, next.Key())
	return s.Store.Update(func(tx Tx) error {
		keys, err := keysOf(tx, pool)
		if err != nil {
			return err
		}
		for _, k := range keys[min(1, len(keys)):] { // the newest goes on signing until the next one does
			if now.Sub(k.Created) > keyLife+keyLead+keyRest {
				if err := tx.Keys().Delete(k.Key()); err != nil {
					return err
				}
			}
		}
		if err := tx.Keys().Put(next); err != nil {
			return err
		}
		return tx.Record(pool, "rotate-key", "signing key "+next.ID)
	})
}

// signer returns the key that signs now.
func (s *Service) signer(pool Pool) (pair, error) {
	keys, err := s.keyring(pool)
	if err != nil {
		return pair{}, err
	}
	chosen := keys[len(keys)-1]
	for _, k := range keys { // newest first
		if s.Now().Sub(k.Created) >= keyLead {
			chosen = k
			break
		}
	}
	return s.open(chosen)
}

// open unseals a key.
func (s *Service) open(k Key) (pair, error) {
	der, err := s.Sealer.Open(k.Private, k.Key())
	if err != nil {
		return pair{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return pair{}, api.Errorf(api.Internal, "cannot read signing key %q: %w", k.ID, err)
	}
	return pair{id: k.ID, private: private}, nil
}

// published are the public halves of all keys of a pool.
func (s *Service) published(pool Pool) ([]public, error) {
	keys, err := s.keyring(pool)
	if err != nil {
		return nil, err
	}
	var out []public
	for _, k := range keys {
		p, err := s.open(k)
		if err != nil {
			return nil, err
		}
		out = append(out, public{p})
	}
	return out, nil
}
