package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The function's user is none of the host's, so what it reads must be readable by all. Only the directory above is
// closed to others.

// makeDirs makes directories with the mode, whatever the umask.
func makeDirs(mode fs.FileMode, paths ...string) error {
	for _, path := range paths {
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file with the mode, whatever the umask.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// stage copies the code at source to target, readable by all. A single source file becomes the handler's module.
func stage(source, target string, l language, handler string) error {
	single, err := l.single(source)
	if err != nil {
		return err
	}
	if err := makeDirs(0o755, target); err != nil {
		return err
	}
	if single != "" {
		path := filepath.Join(target, filepath.FromSlash(l.module(single, handler)))
		if err := makeDirs(0o755, filepath.Dir(path)); err != nil {
			return err
		}
		return copyFile(filepath.Join(source, single), path, l.mode(filepath.Base(path), 0o644))
	}
	return walk(source, target, func(from, to string, mode fs.FileMode) error {
		relative, err := filepath.Rel(target, to)
		if err != nil {
			return err
		}
		return copyFile(from, to, l.mode(relative, mode))
	})
}

// mode lets a program be run that came, as from a zip made elsewhere, without the right for it.
func (l language) mode(path string, mode fs.FileMode) fs.FileMode {
	if l.ahead == nil && path == bootstrapFile {
		return mode | 0o111
	}
	return mode
}

// link makes the staged code appear at target, without copying it where the file system allows.
func link(source, target string) error {
	return walk(source, target, func(from, to string, mode fs.FileMode) error {
		err := os.Link(from, to)
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
			return copyFile(from, to, mode)
		}
		return err
	})
}

// walk makes the directories of source at target and calls file for each file, with the mode it should have. Links and
// special files are left out.
func walk(source, target string, file func(from, to string, mode fs.FileMode) error) error {
	return filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		to := filepath.Join(target, relative)
		if e.IsDir() {
			return makeDirs(0o755, to)
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		return file(path, to, 0o644|info.Mode()&0o111)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, content, mode)
}
