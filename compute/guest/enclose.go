//go:build linux

package guest

import (
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"nuage/api"
)

// Enclose is the firewall of a container in which nobody but this process may ever change it: nothing comes in but answers, what goes
// out is what reach says. Its entries are addresses or ranges behind + (may be reached) or - (may not); the first that fits counts, and
// what none names is out of reach. Of those behind ?, which are resolvers, port 53 is reached whatever the others say. Then this process
// gives up for good what it took, in all its threads.
// Invalid: an entry that is none. Internal: the kernel refuses.
func Enclose(reach []string) error {
	out, resolvers, err := parseReach(reach)
	if err != nil {
		return err
	}
	if err := new(firewall).load(policy{out: out, resolvers: resolvers}); err != nil {
		return api.Errorf(api.Internal, "cannot close a sandbox in: %w", err)
	}
	return dropInAllThreads()
}

// parseReach reads a list of which the first entry that fits counts, from its end on.
func parseReach(reach []string) (out, resolvers ranges, err error) {
	for n := len(reach) - 1; n >= 0; n-- {
		entry := reach[n]
		r, err := parseRanges([]string{strings.TrimLeft(entry, "+-?")})
		if err != nil || !strings.ContainsAny(entry[:1], "+-?") {
			return nil, nil, api.Errorf(api.Invalid, "cannot use %q as what a sandbox may reach: write +10.0.0.0/8, -10.0.0.1 or ?10.0.0.53", entry)
		}
		switch entry[0] {
		case '+':
			out = merge(append(out, r...))
		case '-':
			out = out.without(r)
		case '?':
			resolvers = merge(append(resolvers, r...))
		}
	}
	return out, resolvers, nil
}

// dropInAllThreads clears what only the firewall needs in all threads, as capabilities are a thread's.
func dropInAllThreads() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("cannot read capabilities: %w", err)
	}
	withhold(&sets)
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&sets[0])), 0); errno != 0 {
		return fmt.Errorf("cannot drop capabilities: %w", errno)
	}
	return nil
}
