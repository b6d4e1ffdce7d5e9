package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nuage/api"
	"nuage/storage"
)

func (c *cli) restoreCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a saved state in place of the home's; the cloud must be down",
		Long: "Put a saved state in place of the home's, with key and files where nuage backup --full saved them. The cloud must be down.\n" +
			"What was there stays beside it as state.db.before-restore and secret.key.before-restore. The next nuage up makes the world as\n" +
			"the saved state says. A file that was changed or cut short is refused, and changes nothing.",
		Example: lines("nuage down && nuage restore monday.nuage && nuage up --detach"),
		Args:    takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			home, err := c.ensureHome()
			if err != nil {
				return err
			}
			r := restoring{home: home, stage: filepath.Join(home, "restore.part")}
			if err := r.from(args[0]); err != nil {
				return err
			}
			if r.shut != "" {
				c.note("nuage: %s", r.shut)
			}
			return c.done(fmt.Sprintf("restored %s from %s; nuage up starts it", r.what(), args[0]), args[0])
		},
	}
}

// restoring is one restore of a home.
type restoring struct {
	home, stage string
	files       *tar.Reader // the rest of a full backup; nil for a state alone
	names       []string    // of the files that were unpacked
	old         []string    // names of the home's files that were set aside
	shut        string      // what can't be opened then, and what to do
}

func (r *restoring) what() string {
	if r.files == nil {
		return "the state"
	}
	return fmt.Sprintf("state, key and %s", plural(len(r.names)-1, "file"))
}

// from restores a backup of either form. After any error the home is as it was.
func (r *restoring) from(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return api.Errorf(api.Invalid, "cannot restore: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	content, err := storage.Unseal(f)
	if err != nil {
		return err
	}
	if !isTar(content) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		return storage.Restore(statePath(r.home), f, storage.Options{BeforeSwap: r.lookAtKey})
	}
	r.files = tar.NewReader(content)
	first, err := r.files.Next()
	if err != nil || first.Name != stateName || first.Typeflag != tar.TypeReg {
		return badBackup("it does not begin with the state")
	}
	err = storage.Restore(statePath(r.home), r.files, storage.Options{BeforeSwap: r.bringFiles})
	if err != nil {
		err = errors.Join(err, r.putBack())
	}
	return errors.Join(err, os.RemoveAll(r.stage))
}

func badBackup(why string) error {
	return api.Errorf(api.Invalid, "cannot restore: the file is no full backup that this nuage can read: %s", why)
}

func isTar(r io.ReaderAt) bool {
	var magic [5]byte
	n, _ := r.ReadAt(magic[:], 257) // too short a file is none
	return n == len(magic) && string(magic[:]) == "ustar"
}

// lookAtKey tells what the home's key does not open of a state that came without its own.
func (r *restoring) lookAtKey(key string) error {
	path := filepath.Join(r.home, "secret.key")
	why := "is not the one"
	switch s, err := storage.OpenKey(path, storage.MustExist); {
	case errors.Is(err, api.NotFound):
		why = "is not there"
	case err != nil:
		return err
	case key == "" || s.Fingerprint() == key:
		return nil
	}
	r.shut = fmt.Sprintf("the key that opens this state's secrets %s: %s. Passwords of databases, secrets of apps, and keys of auth pools and of HTTPS\n"+
		"cannot be opened, and nuage up does not start, until the secret.key of the cloud that was saved is there; the code of functions,\n"+
		"sources of apps and backups of databases need its blobs/ too. nuage backup --full saves all of that.", why, path)
	return nil
}

// bringFiles unpacks and checks everything first, and then moves it into the home.
func (r *restoring) bringFiles(key string) error {
	if err := os.RemoveAll(r.stage); err != nil { // of a restore that was killed
		return err
	}
	if err := r.unpack(); err != nil {
		return err
	}
	s, err := storage.OpenKey(filepath.Join(r.stage, "secret.key"), storage.MustExist)
	if err != nil {
		return badBackup(err.Error())
	}
	if key != "" && s.Fingerprint() != key {
		return badBackup("its key is not the one of its state")
	}
	for _, name := range r.names {
		if err := r.place(name); err != nil {
			return api.Errorf(api.Unavailable, "cannot restore %q: %w", name, err)
		}
	}
	return nil
}

// unpack writes the files into a folder of their own.
func (r *restoring) unpack() error {
	seen := map[string]bool{}
	for {
		h, err := r.files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return badBackup(err.Error())
		}
		if h.Typeflag != tar.TypeReg || !inFull.MatchString(h.Name) || seen[h.Name] {
			return badBackup(fmt.Sprintf("it holds %q, which has no place in a home", h.Name))
		}
		seen[h.Name] = true
		if err := writeDurable(filepath.Join(r.stage, filepath.FromSlash(h.Name)), r.files); err != nil {
			return api.Errorf(api.Unavailable, "cannot restore %q: %w; nothing has changed", h.Name, err)
		}
		r.names = append(r.names, h.Name)
	}
}

// writeDurable makes a file that only its owner reads, with its folders.
func writeDurable(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

const beforeRestore = ".before-restore"

// place moves an unpacked file into the home. A key that is there is set aside; a blob of the same name is the same.
func (r *restoring) place(name string) error {
	path := filepath.Join(r.home, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if !strings.HasPrefix(name, "blobs/") && !sameContent(path, filepath.Join(r.stage, name)) {
		err := os.Rename(path, path+beforeRestore)
		if err == nil {
			r.old = append(r.old, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(filepath.Join(r.stage, filepath.FromSlash(name)), path)
}

// sameContent keeps a restore that is done again from setting aside what the one before it brought.
func sameContent(one, other string) bool {
	a, err := os.ReadFile(one)
	if err != nil {
		return false
	}
	b, err := os.ReadFile(other)
	return err == nil && bytes.Equal(a, b)
}

// putBack returns what was set aside to its place.
func (r *restoring) putBack() (err error) {
	for _, path := range r.old {
		err = errors.Join(err, os.Rename(path+beforeRestore, path))
	}
	return err
}
