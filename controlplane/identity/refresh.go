package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// errReused is a refresh token that was used before: its chain is ended, for it is in two hands.
var errReused = errors.New("the refresh token was used before")

// granted is a grant as the library works on it.
type granted struct {
	Grant
	current []string // scopes asked for this time
}

func (g *granted) GetAMR() []string            { return g.AMR }
func (g *granted) GetAudience() []string       { return []string{g.Client} }
func (g *granted) GetAuthTime() time.Time      { return g.AuthTime }
func (g *granted) GetClientID() string         { return g.Client }
func (g *granted) GetSubject() string          { return g.User }
func (g *granted) SetCurrentScopes(s []string) { g.current = s }
func (g *granted) GetScopes() []string {
	if g.current != nil {
		return g.current
	}
	return g.Scopes
}

// CreateAccessAndRefreshTokens begins a chain of refresh tokens, or makes the next one of it in place of the current.
func (p *provider) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, current string) (id, next string, expires time.Time, err error) {
	now := p.s.Now().UTC()
	var g Grant
	switch r := r.(type) {
	case *request:
		g = Grant{Pool: p.pool.ID, ID: p.s.NewID("grant"), Client: r.asked.ClientID, User: r.user, Session: r.session, Scopes: r.scopes, AuthTime: r.authTime, AMR: r.amr}
	case *granted:
		g = r.Grant
	default:
		return "", "", now, oidc.ErrInvalidRequest().WithDescription("no refresh token for this grant")
	}
	secret := newSecret()
	err = p.s.Store.Update(func(tx Tx) error {
		if current != "" {
			if g, err = p.checkGrant(tx, current); err != nil {
				return err
			}
		}
		g.Hash, g.Expires = hashOf(secret), now.Add(grantLife)
		return tx.Grants().Put(g)
	})
	if err != nil {
		return "", "", now, p.grantError(err, current)
	}
	p.s.metrics.token(p.pool, map[bool]string{true: "authorization_code", false: "refresh_token"}[current == ""])
	return p.s.NewID("tok"), g.ID + "." + secret, now.Add(accessLife), nil
}

// TokenRequestByRefreshToken finds the grant of a token.
func (p *provider) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	var g Grant
	err := p.s.Store.View(func(tx Tx) (err error) { g, err = p.checkGrant(tx, token); return err })
	if err != nil {
		return nil, p.grantError(err, token)
	}
	return &granted{Grant: g}, nil
}

// checkGrant finds the grant of which a token is the newest one, of a user who is there still.
func (p *provider) checkGrant(tx Tx, token string) (Grant, error) {
	id, secret, _ := strings.Cut(token, ".")
	g, err := tx.Grants().Get(p.pool.ID + "/" + id)
	switch {
	case err != nil:
		return g, op.ErrInvalidRefreshToken
	case !sameText(g.Hash, hashOf(secret)):
		return g, errReused
	case !p.s.Now().Before(g.Expires):
		return g, op.ErrInvalidRefreshToken
	}
	if _, err := tx.Users().Get(UserKey(p.pool.ID, g.User)); err != nil {
		return g, op.ErrInvalidRefreshToken
	}
	return g, nil
}

// grantError ends the chain of a token that was used before, and says no more than that the token is not good.
func (p *provider) grantError(err error, token string) error {
	if errors.Is(err, errReused) {
		if err := p.endChain(token); err != nil {
			p.s.Logger.Error("cannot end a chain of refresh tokens", "pool", p.pool.Name, "error", err)
		}
		return oidc.ErrInvalidGrant().WithDescription("the refresh token is not good")
	}
	if errors.Is(err, op.ErrInvalidRefreshToken) {
		return oidc.ErrInvalidGrant().WithDescription("the refresh token is not good")
	}
	return err
}

func (p *provider) endChain(token string) error {
	id, _, _ := strings.Cut(token, ".")
	return p.s.Store.Update(func(tx Tx) error {
		g, err := tx.Grants().Get(p.pool.ID + "/" + id)
		if err != nil {
			return nil // ended by another call
		}
		if err := tx.Grants().Delete(g.Key()); err != nil {
			return err
		}
		return tx.Record(p.pool, "revoke", "a refresh token of user "+g.User+" was used twice; its chain is ended")
	})
}

// RevokeToken ends the chain of a refresh token. Access tokens end by themselves within minutes.
func (p *provider) RevokeToken(_ context.Context, token, user, clientID string) *oidc.Error {
	if user != "" {
		return nil
	}
	err := p.s.Store.Update(func(tx Tx) error {
		g, err := p.checkGrant(tx, token)
		if err != nil || g.Client != clientID {
			return nil // RFC 7009: a token that is not good is no error
		}
		return tx.Grants().Delete(g.Key())
	})
	if err != nil {
		return oidc.ErrServerError().WithParent(err)
	}
	return nil
}

// GetRefreshTokenInfo tells a refresh token from others.
func (p *provider) GetRefreshTokenInfo(_ context.Context, _, token string) (user, id string, err error) {
	id, _, ok := strings.Cut(token, ".")
	if !ok || !strings.HasPrefix(id, "grant-") {
		return "", "", op.ErrInvalidRefreshToken
	}
	return "", token, nil
}

// endGrants ends the chains of refresh tokens that begin in a session, or with which none, all of a user's.
func endGrants(tx Tx, pool, user string, ends func(Grant) bool) error {
	var over []string
	err := tx.Grants().Each(pool+"/", func(g Grant) error {
		if g.User == user && ends(g) {
			over = append(over, g.Key())
		}
		return nil
	})
	for _, key := range slices.Compact(over) {
		if err == nil {
			err = tx.Grants().Delete(key)
		}
	}
	return err
}
