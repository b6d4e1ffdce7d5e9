"""What a hostile root tries from inside a machine. Prints what comes of each attempt, one a line.

Arguments: a neighbour's address in its network, one in another network, and the laptop's places as address:port, which
take TCP and UDP; those of broadcasts are among them.
"""
import ctypes
import os
import socket
import struct
import sys
import threading

neighbour, stranger, *laptop = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)


def attempt(what, act):
    try:
        got = act()
    except OSError as e:
        got = os.strerror(e.errno) if e.errno else "no answer"
    print(f"{what}: {got}")


def checked(status):
    if status < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"


def nfnetlink(kind, flags, family, payload=b"", subsystem=10):
    body = struct.pack("=BBH", family, 0, socket.htons(0 if subsystem else 10)) + payload
    return struct.pack("=IHHII", 16 + len(body), subsystem << 8 | kind if subsystem else kind, flags, 1, 0) + body


def drop_table():
    """Deletes the table inet nuage, as nft would."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as s:
        s.settimeout(2)
        name = b"nuage\0"
        attribute = struct.pack("=HH", 4 + len(name), 1) + name + b"\0" * (-len(name) % 4)
        s.sendto(nfnetlink(16, 1, 0, subsystem=0) + nfnetlink(2, 5, 1, attribute) + nfnetlink(17, 1, 0, subsystem=0), (0, 0))
        error = struct.unpack_from("=i", s.recv(4096), 16)[0]
        if error:
            raise OSError(-error, "")
        return "done"


def spoof():
    """Speaks in the name of the neighbour."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        s.bind((neighbour, 0))
        s.sendto(b"x", (stranger, 53))
        return "done"


def transparent():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        return "done"


def write(path):
    with open(path, "r+b", buffering=0) as f:
        f.write(b"1")
        return "done"


def link(name):
    return os.readlink(name)


def connect(place):
    host, port = place.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=2):
        return "taken"


def send(place):
    host, port = place.rsplit(":", 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(b"hostile", (host, int(port)))
        return "sent"


def metadata(host, port):
    with socket.create_connection((host, port), timeout=2) as s:
        s.sendall(b"GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n")
        return s.recv(64)


def at_once(what, act, places):
    """Tries all places side by side and prints those that worked."""
    reached = []

    def one(place):
        try:
            act(place)
            reached.append(place)
        except OSError:
            pass

    threads = [threading.Thread(target=one, args=(p,)) for p in places]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(f"{what}: {' '.join(sorted(reached)) or 'nowhere'}")


attempt("drop the rules", drop_table)
attempt("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
attempt("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt("raw socket with headers", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
attempt("transparent socket", transparent)
attempt("speak as a neighbour", spoof)
attempt("network of its own", lambda: checked(libc.unshare(0x40000000)))
attempt("user and network of its own", lambda: checked(libc.unshare(0x50000000)))
attempt("forward packets", lambda: write("/proc/sys/net/ipv4/ip_forward"))
attempt("switch IPv6 on", lambda: write("/proc/sys/net/ipv6/conf/all/disable_ipv6"))
attempt("look into process 1", lambda: link("/proc/1/ns/net"))
attempt("write into process 1", lambda: write("/proc/1/mem"))
attempt("trace process 1", lambda: checked(libc.ptrace(16, 1, 0, 0)))
attempt("mount", lambda: checked(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)))
for sign in range(1, 65):
    try:
        os.kill(1, sign)
    except OSError:
        pass
attempt("a neighbour's metadata", lambda: metadata(neighbour, 80))
attempt("a neighbour's metadata, behind", lambda: metadata(neighbour, 61254))
attempt("a neighbour's SSH", lambda: connect(neighbour + ":22"))
attempt("another network's SSH", lambda: connect(stranger + ":22"))
at_once("the laptop by TCP", connect, laptop)
ports = sorted({p.rsplit(":", 1)[1] for p in laptop})
for place in laptop + [f"{host}:{port}" for host in ("255.255.255.255", "224.0.0.1") for port in ports]:
    try:
        send(place)
    except OSError:
        pass
