package compute

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"nuage/api"
)

// What every engine refuses alike. Engines call these before they act, so that a mistake reads the same everywhere.

const (
	minMemoryBytes = 6 << 20 // what Docker takes at least
	minMilliCPU    = 10      // likewise
	maxHostname    = 63
)

// Check refuses a workload that no engine could run. Invalid.
func (w Workload) Check() error {
	if err := CheckID(w.ID); err != nil {
		return err
	}
	if w.Image == "" {
		return api.Errorf(api.Invalid, "cannot create %q: it names no image", w.ID)
	}
	if len(w.Hostname) > maxHostname {
		return api.Errorf(api.Invalid, "cannot create %q: host name %q is longer than %d characters", w.ID, w.Hostname, maxHostname)
	}
	if w.Address != "" && w.Network == "" {
		return api.Errorf(api.Invalid, "cannot create %q: it has address %s but no network", w.ID, w.Address)
	}
	for _, p := range w.Ports {
		if p < 1 || p > 65535 {
			return api.Errorf(api.Invalid, "cannot create %q: %d is no port, use 1 to 65535", w.ID, p)
		}
	}
	if !slices.Contains([]GuestMode{GuestNone, GuestMachine, GuestSandbox}, w.Guest) {
		return api.Errorf(api.Invalid, "cannot create %q: there is no guest mode %q", w.ID, w.Guest)
	}
	for _, m := range w.Mounts {
		if err := m.check(w.ID); err != nil {
			return err
		}
	}
	for _, c := range w.Caps {
		if !usualCap(c) {
			return api.Errorf(api.Invalid, "cannot create %q: capability %q is not for workloads", w.ID, c)
		}
	}
	return w.Limits.Check()
}

// usualCap says whether a workload may ask for the capability: the engines' usual set without NET_RAW. A machine's
// guest gets NET_ADMIN unasked.
func usualCap(name string) bool {
	switch strings.TrimPrefix(strings.ToUpper(name), "CAP_") {
	case "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
		"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT":
		return true
	}
	return false
}

func (m Mount) check(id string) error {
	if !path.IsAbs(m.Path) {
		return api.Errorf(api.Invalid, "cannot create %q: mount path %q is not absolute", id, m.Path)
	}
	if (m.Volume == "") == (m.Host == "") {
		return api.Errorf(api.Invalid, "cannot create %q: the mount at %q needs either a volume or a host directory", id, m.Path)
	}
	if m.Host != "" && (!path.IsAbs(m.Host) || strings.HasSuffix(m.Host, "docker.sock")) {
		return api.Errorf(api.Invalid, "cannot create %q: host directory %q may not be mounted", id, m.Host)
	}
	return nil
}

// Check refuses limits that make no sense. A zero field is no limit. Invalid.
func (l Limits) Check() error {
	if l.MilliCPU < 0 || l.MemoryBytes < 0 || l.Pids < 0 {
		return api.Errorf(api.Invalid, "cannot use limits below zero: cpu %d, memory %d, pids %d", l.MilliCPU, l.MemoryBytes, l.Pids)
	}
	if l.MemoryBytes > 0 && l.MemoryBytes < minMemoryBytes {
		return api.Errorf(api.Invalid, "cannot limit memory to %d bytes: %d is the least", l.MemoryBytes, minMemoryBytes)
	}
	if l.MilliCPU > 0 && l.MilliCPU < minMilliCPU {
		return api.Errorf(api.Invalid, "cannot limit CPU to %d thousandths: %d is the least", l.MilliCPU, minMilliCPU)
	}
	return nil
}

// Over returns l with the fields that are zero taken from old: what Update makes of a workload's limits.
func (l Limits) Over(old Limits) Limits {
	if l.MilliCPU == 0 {
		l.MilliCPU = old.MilliCPU
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = old.MemoryBytes
	}
	if l.Pids == 0 {
		l.Pids = old.Pids
	}
	return l
}

// Check refuses a volume that no engine could make. Invalid.
func (v Volume) Check() error {
	if err := CheckID(v.ID); err != nil {
		return err
	}
	if v.Bytes < 0 {
		return api.Errorf(api.Invalid, "cannot make volume %q: %d bytes are no size", v.ID, v.Bytes)
	}
	return nil
}

var idForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// CheckID refuses ids that cannot be part of an engine's name. Invalid.
func CheckID(id string) error {
	if !idForm.MatchString(id) {
		return api.Errorf(api.Invalid, "cannot use id %q: letters, digits, dots, dashes and underscores only, 128 at most", id)
	}
	return nil
}

// Prefix returns the network's range. Invalid: no IPv4 range between /8 and /29, or one with host bits set.
func (n Network) Prefix() (netip.Prefix, error) {
	if err := CheckID(n.ID); err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(n.CIDR)
	if err != nil || !p.Addr().Is4() || p.Masked() != p || p.Bits() < 8 || p.Bits() > 29 {
		return netip.Prefix{}, api.Errorf(api.Invalid, "cannot make network %q: %q is no IPv4 range as 10.20.0.0/24 (/8 to /29)", n.ID, n.CIDR)
	}
	return p, nil
}

// Pool returns the part of the network's range from which addresses are given out unasked. Invalid: not inside it.
func (n Network) Pool() (netip.Prefix, error) {
	whole, err := n.Prefix()
	if err != nil || n.Range == "" {
		return whole, err
	}
	p, err := netip.ParsePrefix(n.Range)
	if err != nil || p.Masked() != p || p.Bits() < whole.Bits() || !whole.Contains(p.Addr()) {
		return netip.Prefix{}, api.Errorf(api.Invalid, "cannot make network %q: %q is no part of %s", n.ID, n.Range, n.CIDR)
	}
	return p, nil
}

// CheckAddress refuses an address that a workload in the range cannot have. Invalid.
func CheckAddress(address string, in netip.Prefix) error {
	a, err := netip.ParseAddr(address)
	if err != nil || !in.Contains(a) {
		return api.Errorf(api.Invalid, "cannot use address %q: it is not in %s", address, in)
	}
	if a == in.Addr() || a == Gateway(in) || a == LastAddr(in) {
		return api.Errorf(api.Invalid, "cannot use address %q: %s keeps its first two and its last", address, in)
	}
	return nil
}

// Gateway is the first usable address of a range.
func Gateway(p netip.Prefix) netip.Addr { return p.Addr().Next() }

// LastAddr is the broadcast address of an IPv4 range.
func LastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

var (
	imageIDForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	imageForm   = regexp.MustCompile(`^(?:([a-zA-Z0-9.-]+(?::[0-9]+)?)/)??` + // registry
		`([a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)` + // repository
		`(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?` + // tag
		`(@sha256:[0-9a-f]{64})?$`)
)

// IsImageID says whether ref is a content id, as sha256:....
func IsImageID(ref string) bool { return imageIDForm.MatchString(ref) }

// NormalizeImage writes an image reference in its short full form: debian becomes debian:latest, and
// docker.io/library/debian:12 becomes debian:12: all ways to write one reference are one. Ids stay as they are. Invalid: not a reference.
func NormalizeImage(ref string) (string, error) {
	if IsImageID(ref) {
		return ref, nil
	}
	m := imageForm.FindStringSubmatch(ref)
	if m == nil || len(ref) > 255 {
		return "", api.Errorf(api.Invalid, "cannot use image %q: not a reference as debian:bookworm-slim or host:5000/name:tag", ref)
	}
	name := m[2]
	if m[1] != "" {
		name = m[1] + "/" + name
	}
	for _, usual := range []string{"index.docker.io/", "docker.io/", "library/"} {
		name = strings.TrimPrefix(name, usual)
	}
	if m[3] == "" && m[4] == "" {
		m[3] = "latest"
	}
	if m[3] != "" {
		name += ":" + m[3]
	}
	return name + m[4], nil
}
