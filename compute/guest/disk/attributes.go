//go:build linux

package disk

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes copies the extended attributes: a program's own, access control lists and file capabilities.
func attributes(from, to string) error {
	names, err := readAll(func(b []byte) (int, error) { return unix.Llistxattr(from, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if name == "" || kernels(name) {
			continue
		}
		value, err := readAll(func(b []byte) (int, error) { return unix.Lgetxattr(from, name, b) })
		if err == nil {
			err = unix.Lsetxattr(to, name, value, 0)
		}
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

// kernels says whether an attribute belongs to the machine and not to the data, as labels of SELinux do.
func kernels(name string) bool {
	return strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "security.") && name != "security.capability"
}

// readAll reads what the kernel tells in full: it is asked for the size first.
func readAll(read func([]byte) (int, error)) ([]byte, error) {
	size, err := read(nil)
	if err != nil || size == 0 {
		return nil, err
	}
	all := make([]byte, size)
	n, err := read(all)
	if err != nil {
		return nil, err
	}
	return all[:n], nil
}
