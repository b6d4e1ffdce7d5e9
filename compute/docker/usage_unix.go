//go:build unix

package docker

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	blockSize  = 512 // of Stat_t.Blocks
	namesMost  = 256 // read of a folder at once
	nestedMost = 500 // folders inside each other, each of which is open
	linkedMost = 1 << 20
)

// diskUsage is what the files under dir take on disk, hard links once. Its owner may fill it with anything and go on while we
// look: so it is read in small pieces, no link is followed, and what is too deep is not measured. ok is false then, and where
// dir cannot be read.
func diskUsage(ctx context.Context, dir string) (total int64, ok bool) {
	m := measuring{linked: map[uint64]bool{}}
	err := m.folder(ctx, unix.AT_FDCWD, dir, nestedMost)
	return m.total, err == nil
}

// measuring is one look at a tree.
type measuring struct {
	total  int64
	linked map[uint64]bool // files with several names that are counted
}

// errTooDeep ends the look at a tree that nobody has made in good faith.
var errTooDeep = errors.New("folders are nested too deeply")

// folder counts a folder and what is in it, to so many levels more.
func (m *measuring) folder(ctx context.Context, parent int, name string, levels int) error {
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	m.total += st.Blocks * blockSize
	for levels > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		names, err := dir.Readdirnames(namesMost)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := m.entry(ctx, fd, name, levels-1); err != nil {
				return err
			}
		}
	}
	return errTooDeep
}

// entry counts one thing in a folder; what goes meanwhile, or becomes something else, is left out.
func (m *measuring) entry(ctx context.Context, parent int, name string, levels int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ignoreChange(err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return ignoreChange(m.folder(ctx, parent, name, levels))
	}
	if st.Nlink > 1 {
		if m.linked[st.Ino] {
			return nil
		}
		if len(m.linked) < linkedMost {
			m.linked[st.Ino] = true
		}
	}
	m.total += st.Blocks * blockSize
	return nil
}

func ignoreChange(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}

// deviceOf is the numbers of the device that a file lies on.
func deviceOf(path string) (major, minor uint32, ok bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, false
	}
	return unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), true
}
