package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"nuage/api"
)

// How long certificates are good. A leaf is followed by another one when a third of its time is left.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 60 * 24 * time.Hour
	clockSkew     = time.Hour // certificates are good since so long before they were made
)

// Authority is the certificate authority of one cloud's edge. Whoever trusts it trusts it for names under localhost alone:
// its name constraints, which are critical, leave out every other name, all addresses, and all uses but that of a server.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// MakeAuthority makes an authority with a key of its own, good for ten years.
func MakeAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	every4, every6 := net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"nuage"}, CommonName: "nuage local edge " + now.UTC().Format("2006-01-02")},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"localhost"}, ExcludedIPRanges: []*net.IPNet{&every4, &every6},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &Authority{cert: cert, key: key}, err
}

// OpenAuthority is the inverse of Marshal.
func OpenAuthority(certificate, key []byte) (*Authority, error) {
	cert, err := x509.ParseCertificate(certificate)
	if err != nil {
		return nil, api.Errorf(api.Internal, "cannot read the certificate of the edge's authority: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(key)
	private, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || !private.PublicKey.Equal(cert.PublicKey) {
		return nil, api.Errorf(api.Internal, "cannot use the key of the edge's authority: it is not that of its certificate: %w", err)
	}
	return &Authority{cert: cert, key: private}, nil
}

// Marshal returns certificate (DER) and private key (PKCS 8).
func (a *Authority) Marshal() (certificate, key []byte, err error) {
	key, err = x509.MarshalPKCS8PrivateKey(a.key)
	return a.cert.Raw, key, err
}

// PEM is the certificate, for those who are to trust it.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Until is when the authority ends.
func (a *Authority) Until() time.Time { return a.cert.NotAfter }

// issue makes a certificate for a server of the names, with a key of its own, that is never stored.
func (a *Authority) issue(now time.Time, names ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	until := now.Add(leafLife)
	if a.cert.NotAfter.Before(until) {
		until = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"nuage"}}, DNSNames: names, NotBefore: now.Add(-clockSkew), NotAfter: until,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// serial is a random number of 127 bits, which no two certificates share.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
