package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"nuage/api"
)

// Holder says which process has a store open, as far as the file beside the store tells.
type Holder struct {
	PID     int       `json:"pid"`
	Address string    `json:"address,omitempty"`
	Since   time.Time `json:"since"`
}

func holderPath(path string) string { return path + ".holder" }

// Announce writes the holder file anew with the address others reach this process at, for when the address is known
// only after Open. It is a hint for people and for "nuage down"; the file lock is what counts.
func (s *Store) Announce(address string) error {
	data, err := json.Marshal(Holder{PID: os.Getpid(), Address: address, Since: s.opts.Now().UTC()})
	if err == nil {
		err = replaceFile(holderPath(s.path), append(data, '\n'))
	}
	if err != nil {
		return unavailable(err, "cannot write %q", holderPath(s.path))
	}
	return nil
}

// ReadHolder reads who has the store at path open. Errors: not_found when the file is missing, unreadable or names a
// process that no longer lives.
func ReadHolder(path string) (Holder, error) {
	var h Holder
	data, err := os.ReadFile(holderPath(path))
	if err == nil {
		err = json.Unmarshal(data, &h)
	}
	if err != nil {
		return Holder{}, api.Errorf(api.NotFound, "cannot tell who holds %q: %w", path, err)
	}
	if !alive(h.PID) {
		return Holder{}, api.Errorf(api.NotFound, "cannot tell who holds %q: process %d is gone", path, h.PID)
	}
	return h, nil
}

func heldError(path string) error {
	h, err := ReadHolder(path)
	if err != nil {
		return api.Errorf(api.Conflict, "cannot open %q: another process holds it; stop that one (\"nuage down\") or choose another home", path)
	}
	at := ""
	if h.Address != "" {
		at = " at " + h.Address
	}
	return api.Errorf(api.Conflict, "cannot open %q: it is in use, probably by the nuage with pid %d%s; stop that one (\"nuage down\") or choose another home", path, h.PID, at)
}

// alive asks with signal 0. A process of another user answers with a refusal, and lives.
func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil || pid <= 0 {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

func removeHolder(path string) error {
	if err := os.Remove(holderPath(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return unavailable(err, "cannot remove %q", holderPath(path))
	}
	return nil
}

// replaceFile writes a small private file so that readers see the old or the new one, never a part.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// syncDir makes the creation and renaming of files in a folder durable. Windows can't, and needs not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, os.ErrPermission) {
		return errors.Join(fmt.Errorf("sync %s: %w", dir, err), d.Close())
	}
	return d.Close()
}
