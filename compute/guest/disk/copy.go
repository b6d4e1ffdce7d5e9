//go:build linux

// Package disk copies what a volume holds into another one. It runs inside a container that has nothing but the two:
// see CopyVolume in package docker.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Main runs `copy FROM TO` and returns the exit status. What went wrong is on stderr.
func Main(args []string, stderr io.Writer) int {
	if len(args) != 2 {
		fmt.Fprintln(stderr, "usage: copy FROM TO")
		return 2
	}
	if err := Copy(args[0], args[1]); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// Copy makes the directory to hold exactly what the directory from holds: owners, modes, times, symbolic and hard links,
// devices, fifos, sparse files and extended attributes. Sockets belong to the programs that have made them and are left
// out, as are attributes that only the machine's administrator may set. What was in to before is gone. Nothing may
// change either directory meanwhile. When Copy returns nil, all of it is on the disk.
func Copy(from, to string) error {
	if err := empty(to); err != nil {
		return err
	}
	c := copier{links: map[inode]string{}}
	if err := c.directory(from, to); err != nil {
		return err
	}
	return sync(to)
}

// empty removes all that is in a directory.
func empty(dir string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot empty %s: %w", dir, err)
	}
	for _, e := range all {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("cannot empty %s: %w", dir, err)
		}
	}
	return nil
}

// sync has the file system write down all it was told.
func sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// copier is one copy under way.
type copier struct {
	links map[inode]string // where the first name of a file with several was copied to
}

// inode is a file, whatever its names.
type inode struct{ dev, ino uint64 }

// directory copies what is in from to the directory to, which is there, and then how from itself is.
func (c *copier) directory(from, to string) error {
	all, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", from, err)
	}
	for _, e := range all {
		if err := c.entry(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return fmt.Errorf("cannot look at %s: %w", from, err)
	}
	return manner(from, to, &st)
}

// entry copies one thing under a name that is free.
func (c *copier) entry(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return fmt.Errorf("cannot look at %s: %w", from, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFSOCK {
		return nil
	}
	if kind == unix.S_IFDIR {
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return c.directory(from, to)
	}
	id := inode{uint64(st.Dev), st.Ino}
	if first, known := c.links[id]; known {
		return os.Link(first, to)
	}
	if st.Nlink > 1 {
		c.links[id] = to
	}
	if err := create(from, to, &st); err != nil {
		return fmt.Errorf("cannot copy %s: %w", from, err)
	}
	return manner(from, to, &st)
}

// create makes what is no directory, with what it holds.
func create(from, to string, st *unix.Stat_t) error {
	switch kind := st.Mode & unix.S_IFMT; kind {
	case unix.S_IFREG:
		return content(from, to, st.Size)
	case unix.S_IFLNK:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case unix.S_IFIFO, unix.S_IFCHR, unix.S_IFBLK:
		return unix.Mknod(to, kind|0o600, int(st.Rdev))
	default:
		return fmt.Errorf("unknown kind of file %#o", kind)
	}
}

// content copies the bytes of a file. Holes stay holes.
func content(from, to string, size int64) (err error) {
	src, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NOATIME, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	for at := int64(0); at < size; {
		begin, end, err := extent(src, at, size)
		if err != nil {
			return err
		}
		if err := piece(dst, src, begin, end); err != nil {
			return err
		}
		at = end
	}
	return dst.Truncate(size)
}

// extent finds the next part of a file that is no hole: empty at the end where only a hole is left.
func extent(f *os.File, at, size int64) (begin, end int64, err error) {
	begin, err = f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, err
	}
	end, err = f.Seek(begin, unix.SEEK_HOLE)
	return begin, min(end, size), err
}

// piece copies the bytes from begin to end, inside the kernel where it can.
func piece(dst, src *os.File, begin, end int64) error {
	if begin == end {
		return nil
	}
	if _, err := src.Seek(begin, io.SeekStart); err != nil {
		return err
	}
	if _, err := dst.Seek(begin, io.SeekStart); err != nil {
		return err
	}
	_, err := io.CopyN(dst, src, end-begin)
	return err
}

// manner gives to the owner, extended attributes, mode and times of from. The order matters: the kernel takes capabilities
// and set-user-id bits away when the owner changes.
func manner(from, to string, st *unix.Stat_t) error {
	err := os.Lchown(to, int(st.Uid), int(st.Gid))
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.Chmod(to, st.Mode&0o7777)
	}
	if err == nil {
		err = attributes(from, to)
	}
	if err == nil {
		err = unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &fs.PathError{Op: "make like " + from, Path: to, Err: err}
	}
	return nil
}
