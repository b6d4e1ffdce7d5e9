package images

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

var errUntold = errors.New("this system does not tell")

// diskFree returns the bytes this user may still write on the file system of path.
func diskFree(path string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

// memoryAvailable returns the bytes of memory the kernel says can still be given out; it
// knows Linux only.
func memoryAvailable() (uint64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, errUntold
	}
	defer f.Close()
	return parseMemory(f)
}

func parseMemory(r io.Reader) (uint64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var kib uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errUntold
}
