package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"nuage/api"
)

// defaultKey is the key of instances that are made without one.
const defaultKey = "default"

func (c *cli) keys() noun[api.Key, api.KeySpec] {
	n := noun[api.Key, api.KeySpec]{
		title: "a key",
		of:    func(cloud api.Cloud) api.Resource[api.Key, api.KeySpec] { return cloud.Keys },
		head:  (*api.Key).Head,
		state: func(k *api.Key) *api.Status { return &k.Status.Status },
		spec:  func(k *api.Key) *api.KeySpec { return &k.Spec },
	}
	n.word, n.name = "key", func(k *api.Key) string { return k.Name }
	n.columns = []column[api.Key]{
		{head: "NAME", cell: func(k api.Key) string { return k.Name }},
		{head: "FINGERPRINT", cell: func(k api.Key) string { return k.Status.Fingerprint }},
		{head: "AGE", cell: func(k api.Key) string { return c.age(k.CreatedAt) }},
		{head: "PRIVATE HALF", cell: c.privateHalf},
	}
	return n
}

func (c *cli) privateHalf(k api.Key) string {
	path, err := c.keyPath(k.Project, k.Name)
	if err != nil {
		return ""
	}
	if _, err := os.Stat(path); err != nil {
		return "not here"
	}
	return path
}

func (c *cli) keyCmd() *cobra.Command {
	n := c.keys()
	return group("key", "Keys that let you into instances over SSH",
		lines("nuage key create laptop", "nuage key import work ~/.ssh/id_ed25519.pub", "nuage key list"),
		c.keyCreateCmd(), c.keyImportCmd(), n.listCmd(c), n.deleteCmd(c))
}

func (c *cli) keyCreateCmd() *cobra.Command {
	return c.noWaitFlag(&cobra.Command{
		Use:   "create NAME",
		Short: "Make a key pair on this laptop and give the cloud its public half",
		Long: "Make an ed25519 key pair on this laptop and give the cloud its public half. The private half stays in the home,\n" +
			"in keys/PROJECT-NAME, where nuage ssh finds it.",
		Example: "nuage key create laptop",
		Args:    takes(1, 1),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			if err := api.CheckName("key", args[0]); err != nil {
				return err
			}
			public, err := c.makeKey(s.project, args[0])
			if err != nil {
				return err
			}
			return c.importKey(ctx, s, args[0], public)
		}),
	})
}

func (c *cli) keyImportCmd() *cobra.Command {
	return c.noWaitFlag(&cobra.Command{
		Use:     "import NAME FILE",
		Short:   "Give the cloud the public half of a key you have; - reads stdin",
		Example: lines("nuage key import work ~/.ssh/id_ed25519.pub", "ssh-add -L | head -n 1 | nuage key import agent -"),
		Args:    takes(2, 2),
		RunE: c.inCloud(func(ctx context.Context, s session, args []string) error {
			public, err := c.readText(args[1])
			if err != nil {
				return err
			}
			return c.importKey(ctx, s, args[0], public)
		}),
	})
}

func (c *cli) importKey(ctx context.Context, s session, name, public string) error {
	n := c.keys()
	key, err := n.create(ctx, c, s, name, api.KeySpec{PublicKey: strings.TrimSpace(public)})
	if err != nil {
		return err
	}
	return printItem(c, n.kind, key)
}

// readText reads a small file, or stdin for "-".
func (c *cli) readText(path string) (string, error) {
	var data []byte
	var err error
	if path == "-" {
		data, err = io.ReadAll(c.in)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return "", api.Errorf(api.Invalid, "cannot read %q: %w", path, err)
	}
	return string(data), nil
}

func (c *cli) keyPath(project, name string) (string, error) {
	home, err := c.home()
	return filepath.Join(home, "keys", project+"-"+name), err
}

// makeKey makes a key pair in the home and returns the public half. A pair that is there already is used again.
func (c *cli) makeKey(project, name string) (public string, err error) {
	path, err := c.keyPath(project, name)
	if err != nil {
		return "", err
	}
	if public, err := publicHalf(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return public, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", api.Errorf(api.Unavailable, "cannot keep keys: %w", err)
	}
	private, public, err := keyPair("nuage " + project + " " + name)
	if err == nil {
		err = writeNewFile(path, private, 0o600)
	}
	if errors.Is(err, fs.ErrExist) { // another command was quicker
		return publicHalf(path)
	}
	if err == nil {
		err = writeFile(path+".pub", []byte(public), 0o644)
	}
	if err != nil {
		return "", api.Errorf(api.Unavailable, "cannot make key %q: %w", name, err)
	}
	return public, nil
}

// keyPair makes an ed25519 key pair in the forms OpenSSH keeps them in.
func keyPair(comment string) (private []byte, public string, err error) {
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	block, err := ssh.MarshalPrivateKey(secret, comment)
	if err != nil {
		return nil, "", err
	}
	signer, err := ssh.NewSignerFromKey(secret)
	if err != nil {
		return nil, "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return pem.EncodeToMemory(block), line + " " + comment + "\n", nil
}

// publicHalf reads the public key from a private key's file.
func publicHalf(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return "", api.Errorf(api.Invalid, "cannot read the key in %q: %w", path, err)
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), nil
}

// ensureDefaultKey makes sure that the project has its default key and that its private half is on this laptop.
func (c *cli) ensureDefaultKey(ctx context.Context, s session) error {
	path, err := c.keyPath(s.project, defaultKey)
	if err != nil {
		return err
	}
	key, err := s.cloud.Keys.Get(ctx, s.project, defaultKey)
	if err == nil {
		return samePublic(path, key)
	}
	if !errors.Is(err, api.NotFound) {
		return err
	}
	public, err := c.makeKey(s.project, defaultKey)
	if err != nil {
		return err
	}
	_, err = c.keys().create(ctx, c, s, defaultKey, api.KeySpec{PublicKey: strings.TrimSpace(public)})
	if !errors.Is(err, api.Conflict) {
		return err
	}
	if key, err = s.cloud.Keys.Get(ctx, s.project, defaultKey); err != nil { // another command was quicker
		return err
	}
	return samePublic(path, key)
}

// samePublic makes sure that the private key at path belongs to the cloud's key.
func samePublic(path string, key api.Key) error {
	public, err := publicHalf(path)
	if err != nil || !samePublicKey(public, key.Spec.PublicKey) {
		return api.Errorf(api.Conflict, "cannot use the project's default key: its private half is not in %q; use --key with a key of yours, see nuage key list", path)
	}
	return nil
}

// samePublicKey compares two keys in authorized_keys form, without their comments.
func samePublicKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) > 1 && len(y) > 1 && x[0] == y[0] && x[1] == y[1]
}
