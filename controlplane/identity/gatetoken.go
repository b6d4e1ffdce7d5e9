package identity

import (
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// gateClaims are what X-Nuage-Token says besides the registered claims.
type gateClaims struct {
	Email         string           `json:"email"`
	EmailVerified bool             `json:"email_verified"`
	Name          string           `json:"name,omitempty"`
	Roles         []string         `json:"roles"`
	AuthTime      *jwt.NumericDate `json:"auth_time"`
}

// tokenCache keeps the token of each session while it is good and says what is so: a signature costs a millisecond.
type tokenCache struct{ items *shelf[cachedToken] }

type cachedToken struct {
	text  string
	email string
	name  string
	roles []string
}

func newTokenCache(now func() time.Time) *tokenCache {
	return &tokenCache{newShelf[cachedToken](now, tokenLife-tokenLeft)}
}

func (c cachedToken) says(u User) bool {
	return c.email == u.Email && c.name == u.Name && slices.Equal(c.roles, u.Roles)
}

// gateToken is a short-lived token for an app, signed with the pool's key: the app verifies it by the pool's JWKS.
func (s *Service) gateToken(pool Pool, clientID string, session Session, u User) (string, error) {
	key := session.Key() + "/" + clientID + "/" + pool.Issuer
	if kept, ok := s.tokens.items.get(key); ok && kept.says(u) {
		return kept.text, nil
	}
	with, err := s.signer(pool)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: with.private, KeyID: with.id}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := s.Now()
	claims := jwt.Claims{Issuer: pool.Issuer, Subject: u.ID, Audience: jwt.Audience{clientID}, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenLife))}
	text, err := jwt.Signed(signer).Claims(claims).Claims(gateClaims{Email: u.Email, EmailVerified: u.Verified, Name: u.Name, Roles: rolesOf(u),
		AuthTime: jwt.NewNumericDate(session.AuthTime)}).Serialize()
	if err != nil {
		return "", err
	}
	s.tokens.items.put(key, cachedToken{text: text, email: u.Email, name: u.Name, roles: u.Roles})
	return text, nil
}
