package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nuage/api"
)

// caPath is where the certificate of the authority lies that the edge's certificates come from, for those who are to trust it.
func caPath(home string) string { return filepath.Join(home, "edge-ca.pem") }

// saveEdgeCA puts the certificate where people and commands find it. Nothing about it is secret.
func saveEdgeCA(home string, pem []byte) error {
	if pem == nil {
		return nil
	}
	if err := writeFile(caPath(home), pem, 0o644); err != nil {
		return api.Errorf(api.Unavailable, "cannot write the certificate of the edge's authority: %w", err)
	}
	return nil
}

// edgeRows tell where the edge is, and where it speaks HTTPS how to trust it.
func (c *cli) edgeRows(s api.CloudStatus) [][]string {
	if s.EdgeCA == "" {
		return [][]string{{"edge", "http://" + s.Edge}}
	}
	trust := "its certificates come from an authority of its own: nuage status -o json has that as edgeCA"
	if home, err := c.home(); err == nil {
		if kept, err := os.ReadFile(caPath(home)); err == nil && string(kept) == s.EdgeCA {
			trust = fmt.Sprintf("curl --cacert %s, or import that file into the browser as an authority; it is good for localhost names only", caPath(home))
		}
	}
	return [][]string{{"edge", "https://" + s.Edge}, {"trust", trust}}
}

// trusting returns TLS settings that trust the edge of the home's cloud besides what the system trusts.
func (c *cli) trusting() (*tls.Config, error) {
	home, err := c.home()
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(caPath(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, api.Errorf(api.Unavailable, "cannot read the certificate of the edge's authority: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, api.Errorf(api.Invalid, "cannot use %q: it is no certificate; nuage up --edge-tls writes it anew", caPath(home))
	}
	return &tls.Config{RootCAs: roots}, nil
}
