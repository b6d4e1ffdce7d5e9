package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"nuage/api"
	"nuage/storage"
)

// tokens implements api.Tokens. Secrets are 32 random bytes; only their SHA-256 is stored.
type tokens struct{ cp *ControlPlane }

func (t tokens) Create(ctx context.Context, name string, spec api.TokenSpec) (api.Token, error) {
	actor, err := t.cp.wholeCloud(ctx, "create a token")
	if err != nil {
		return api.Token{}, err
	}
	if err := api.CheckName("token", name); err != nil {
		return api.Token{}, err
	}
	if spec.ExpiresAt != nil && !spec.ExpiresAt.After(t.cp.Now()) {
		return api.Token{}, api.Errorf(api.Invalid, "cannot create token %q: it would have expired at %s", name, spec.ExpiresAt.UTC().Format("2006-01-02 15:04:05Z"))
	}
	var made api.Token
	err = t.cp.Store.Update(func(tx *storage.Tx) (err error) {
		made, err = t.cp.addToken(tx, actor, name, spec)
		return err
	})
	return made, err
}

// addToken stores a token and returns it with its secret.
func (cp *ControlPlane) addToken(tx *storage.Tx, actor api.Actor, name string, spec api.TokenSpec) (api.Token, error) {
	if err := forUser(tx, name, &spec); err != nil {
		return api.Token{}, err
	}
	only := ""
	if spec.Project != "" {
		if err := cp.projectExists(tx, spec.Project); err != nil {
			return api.Token{}, err
		}
		p, err := projectTable.GetBy(tx, "name", spec.Project)
		if err != nil {
			return api.Token{}, err
		}
		only = p.ID
	}
	if _, err := tokenTable.GetBy(tx, "name", name); err == nil {
		return api.Token{}, api.Errorf(api.Conflict, "cannot create token %q: the name is taken", name)
	}
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return api.Token{}, err
	}
	secret := "nuage_" + base64.RawURLEncoding.EncodeToString(raw[:])
	now := cp.Now().UTC()
	made := api.Token{Spec: spec, Meta: api.Meta{ID: cp.NewID("tok"), Name: name, Project: spec.Project, Generation: 1, CreatedAt: now},
		Status: api.Status{Phase: api.Running, Reason: "valid", Generation: 1, ObservedAt: &now}}
	if err := tokenTable.Insert(tx, tokenRecord{Token: made, Hash: hashSecret(secret), ProjectID: only}); err != nil {
		return made, err
	}
	made.Secret = secret
	return made, cp.record(tx, actor, "token", &made.Meta, "create", "")
}

func hashSecret(secret string) string {
	return hashText(sha256.Sum256([]byte(secret)))
}

// hashText is a hash as it is stored.
func hashText(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

func (t tokens) List(ctx context.Context, page api.Page) (api.List[api.Token], error) {
	out := api.List[api.Token]{Items: []api.Token{}}
	if _, err := t.cp.wholeCloud(ctx, "list tokens"); err != nil {
		return out, err
	}
	limit, err := pageLimit(page)
	if err != nil {
		return out, err
	}
	err = t.cp.Store.View(func(tx *storage.Tx) error {
		found, err := tokenTable.ListBy(tx, "name", storage.Query{After: page.After, Limit: limit})
		for _, r := range found.Items {
			out.Items = append(out.Items, r.Token)
		}
		out.Next = found.Next
		return err
	})
	return out, err
}

func (t tokens) Revoke(ctx context.Context, name string) error {
	actor, err := t.cp.wholeCloud(ctx, "revoke a token")
	if err != nil {
		return err
	}
	if actor.Kind == api.Customer && actor.Token == name {
		return api.Errorf(api.Conflict, "cannot revoke token %q: it is the one in use, and nobody could come in again", name)
	}
	return t.cp.Store.Update(func(tx *storage.Tx) error {
		found, err := tokenTable.GetBy(tx, "name", name)
		if errors.Is(err, api.NotFound) {
			return api.Errorf(api.NotFound, "cannot find token %q", name)
		}
		if err != nil {
			return err
		}
		if err := t.cp.record(tx, actor, "token", &found.Meta, "revoke", ""); err != nil {
			return err
		}
		return tokenTable.Delete(tx, found.ID)
	})
}

func (t tokens) Authenticate(_ context.Context, secret string) (api.Actor, error) {
	sum := sha256.Sum256([]byte(secret))
	found, err := t.cp.letIn.get(sum, func() (found tokenRecord, err error) {
		err = t.cp.Store.View(func(tx *storage.Tx) error {
			found, err = stands(tx, hashText(sum))
			return err
		})
		return found, err
	})
	switch {
	case errors.Is(err, api.NotFound), err == nil && found.expired(t.cp.Now()):
		return api.Actor{}, api.Errorf(api.Unauthenticated, "cannot let you in: the token is unknown, revoked or expired")
	case err != nil:
		return api.Actor{}, err
	}
	return api.Actor{Kind: api.Customer, Name: orElse(found.Spec.User, found.Name), Project: found.Spec.Project, Token: found.Name}, nil
}

// stands finds the token with a hash. NotFound: there is none, or its project is not the one it was made for: gone, or another one of
// the same name.
func stands(tx *storage.Tx, hash string) (tokenRecord, error) {
	found, err := tokenTable.GetBy(tx, "hash", hash)
	if err != nil || found.Spec.Project == "" {
		return found, err
	}
	if p, err := projectTable.GetBy(tx, "name", found.Spec.Project); err != nil || p.ID != found.ProjectID {
		return found, api.Errorf(api.NotFound, "cannot find the project of token %q", found.Name)
	}
	return found, nil
}

func (r tokenRecord) expired(now time.Time) bool {
	return r.Spec.ExpiresAt != nil && !r.Spec.ExpiresAt.After(now)
}
