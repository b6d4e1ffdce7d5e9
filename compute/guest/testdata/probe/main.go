//go:build linux

// Command probe tries what root in a machine must not be able to do, and says what came of it.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unsafe"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

func main() {
	args := append(os.Args, "")
	switch args[1] {
	case "listen":
		listen(os.Args[2], os.Args[3])
	case "echo":
		echo(os.Args[2])
	case "signal":
		signalInit()
	case "again":
		fmt.Print(effective() & (1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SYS_PTRACE))
	case "hear":
		hear(os.Args[2])
	case "spoof":
		spoof(os.Args[2], os.Args[3])
	default:
		tryAll()
	}
}

// listen answers every connection with a line.
func listen(address, line string) {
	l, err := net.Listen("tcp", address)
	for err == nil {
		var conn net.Conn
		if conn, err = l.Accept(); err == nil {
			fmt.Fprintln(conn, line)
			conn.Close()
		}
	}
	fmt.Println(err)
}

// echo sends back what it is sent.
func echo(address string) {
	l, err := net.Listen("tcp", address)
	for err == nil {
		var conn net.Conn
		if conn, err = l.Accept(); err == nil {
			go io.Copy(conn, conn)
		}
	}
	fmt.Println(err)
}

// signalInit sends PID 1 every signal, and those that a kernel would send with a sender that looks like one outside.
func signalInit() {
	for sig := 1; sig <= 64; sig++ {
		syscall.Kill(1, syscall.Signal(sig))
		var info [128]byte // sender 0
		binary.NativeEndian.PutUint32(info[0:], uint32(sig))
		code := int32(-1) // SI_QUEUE
		binary.NativeEndian.PutUint32(info[8:], uint32(code))
		syscall.RawSyscall(unix.SYS_RT_SIGQUEUEINFO, 1, uintptr(sig), uintptr(unsafe.Pointer(&info)))
	}
}

func tryAll() {
	tryNetwork()
	tryInit()
	tryKernel()
	out, err := exec.Command("/proc/self/exe", "again").Output()
	if err != nil {
		out = []byte(err.Error())
	}
	fmt.Printf("gain by exec: %s\n", out)
}

// tryNetwork wants to change the rules, or to send and to hear what they do not see.
func tryNetwork() {
	say("flush rules", flush())
	for _, s := range []struct {
		name             string
		family, kind, is int
	}{
		{"raw socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP},
		{"raw socket with headers", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{"raw socket of IPv6", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6},
		{"packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0x0300},
		{"packet socket of datagrams", unix.AF_PACKET, unix.SOCK_DGRAM, 0x0300},
	} {
		_, err := unix.Socket(s.family, s.kind, s.is)
		say(s.name, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		say("socket", err)
	}
	say("transparent socket", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1))
	say("mark", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1))
	for _, line := range []string{
		"ip addr add 10.9.9.9/32 dev lo", "ip addr del 169.254.169.254/32 dev lo", "ip route add 10.9.9.0/24 dev eth0", "ip link set eth0 promisc on",
		"ip link add d0 type dummy", "ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:01 dev eth0", "ip link set eth0 address 02:00:00:00:00:02",
	} {
		words := strings.Fields(line)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil && strings.Contains(string(out), "Operation not permitted") {
			err = unix.EPERM
		}
		say(line, err)
	}
	say("write sysctl", os.WriteFile("/proc/sys/net/ipv4/conf/all/accept_source_route", []byte("1"), 0))
}

// tryInit wants into PID 1.
func tryInit() {
	for _, name := range []string{"mem", "maps", "environ", "fd/0", "ns/net", "root", "cwd"} {
		_, err := os.OpenFile("/proc/1/"+name, os.O_RDONLY, 0)
		say("open "+name+" of 1", err)
	}
	_, err := os.OpenFile("/proc/1/mem", os.O_RDWR, 0)
	say("write memory of 1", err)
	say("trace 1", unix.PtraceSeize(1))
	_, err = unix.ProcessVMReadv(1, []unix.Iovec{{}}, []unix.RemoteIovec{{}}, 0)
	say("read memory of 1", err)
	fd, err := unix.PidfdOpen(1, 0)
	if err == nil {
		_, err = unix.PidfdGetfd(fd, 0, 0)
	}
	say("take a file of 1", err)
	say("limit 1", unix.Prlimit(1, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: 1}, nil))
}

// tryKernel wants what only the owner of the host may do.
func tryKernel() {
	say("mount", unix.Mount("none", "/mnt", "tmpfs", 0, ""))
	say("bind mount", unix.Mount("/tmp", "/mnt", "", unix.MS_BIND, ""))
	say("unshare user and network", inNewNamespace(unix.CLONE_NEWUSER|unix.CLONE_NEWNET))
	say("unshare network", inNewNamespace(unix.CLONE_NEWNET))
	say("load module", unix.FinitModule(0, "", 0))
	say("rename the machine", unix.Sethostname([]byte("mine")))
	say("change the time", unix.Settimeofday(&unix.Timeval{Sec: 1}))
	say("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
	os.Remove("/tmp/disk") // of an earlier run
	err := unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0)))
	if err == nil {
		_, err = os.Open("/tmp/disk")
	}
	say("open a disk of the host", err)
	_, _, number := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
	say("bpf", number)
}

// inNewNamespace runs this program where it would have all capabilities of its own.
func inNewNamespace(flags uintptr) error {
	cmd := exec.Command("/proc/self/exe", "again")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	return cmd.Run()
}

// spoof sends a datagram in the name of an address to HOST:PORT.
func spoof(from, to string) {
	conn, err := net.ListenPacket("udp4", from+":0")
	if err != nil {
		say("listen", err)
		return
	}
	target, err := net.ResolveUDPAddr("udp4", to)
	if err == nil {
		_, err = conn.WriteTo([]byte("trust me"), target)
	}
	say("send as "+from, err)
}

// hear prints who sends datagrams to an address.
func hear(address string) {
	conn, err := net.ListenPacket("udp4", address)
	for err == nil {
		var from net.Addr
		if _, from, err = conn.ReadFrom(make([]byte, 100)); err == nil {
			fmt.Println(from.(*net.UDPAddr).IP)
		}
	}
	fmt.Println(err)
}

func say(what string, err error) {
	var number syscall.Errno
	if errors.As(err, &number) {
		fmt.Printf("%s: %s\n", what, number)
		return
	}
	fmt.Printf("%s: %v\n", what, err)
}

func flush() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	conn.FlushRuleset()
	return conn.Flush()
}

// effective returns the capabilities this process has, with all in its bounding set that an exec could have given back.
func effective() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return ^uint64(0)
	}
	var all uint64
	for line := range strings.Lines(string(text)) {
		var bits uint64
		if _, value, ok := strings.Cut(line, ":\t"); ok && strings.HasPrefix(line, "Cap") {
			fmt.Sscanf(value, "%x", &bits)
			all |= bits
		}
	}
	return all
}
