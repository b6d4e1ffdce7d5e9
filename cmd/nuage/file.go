package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// writeFile replaces the file at path: readers see the old content or the new, never a part.
func writeFile(path string, data []byte, mode os.FileMode) error {
	return writeFrom(path, mode, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}

// writeNewFile makes the file at path, whole at once. fs.ErrExist: it is there.
func writeNewFile(path string, data []byte, mode os.FileMode) error {
	part := path + "." + newID("part")
	if err := writeFile(part, data, mode); err != nil {
		return err
	}
	return errors.Join(os.Link(part, path), os.Remove(part))
}

// writeFrom is writeFile for content that fill writes. When fill fails, the file at path is untouched.
func writeFrom(path string, mode os.FileMode, fill func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
