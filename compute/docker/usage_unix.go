//go:build unix

package docker

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const blockSize = 512 // of Stat_t.Blocks

// diskUsage is what the files under dir take on disk, hard links once. ok is false where dir cannot be read.
func diskUsage(dir string) (total int64, ok bool) {
	linked := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if os.IsNotExist(err) && path != dir {
				return nil // deleted while we walk
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // likewise
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && !(s.Nlink > 1 && !d.IsDir() && linked[s.Ino]) {
			linked[s.Ino] = true
			total += s.Blocks * blockSize
		}
		return nil
	})
	return total, err == nil
}

// deviceOf is the numbers of the device that a file lies on.
func deviceOf(path string) (major, minor uint32, ok bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, false
	}
	return unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)), true
}
