"""What a neighbour tries: to connect to places (host:port), and to come to an app through the edge with a forged name.

As a program it takes the places as arguments and is a server of nothing but "ok" without any; as a function it takes them in its event.
Its last line is how the edge, at the gateway of its network, answers the forged request.
"""
import http.client
import http.server
import os
import signal
import socket
import struct
import sys
import threading


def takes(place):
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        return True
    except OSError:
        return False


def reached(places):
    found = []
    tries = [threading.Thread(target=lambda p=p: takes(p) and found.append(p)) for p in places]
    for t in tries:
        t.start()
    for t in tries:
        t.join()
    return sorted(found)


def gateway():
    for line in open("/proc/net/route").readlines()[1:]:
        words = line.split()
        if words[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<L", int(words[2], 16)))
    return "127.0.0.1"


def at_the_edge(host, port):
    try:
        edge = http.client.HTTPConnection(gateway(), int(port), timeout=5)
        edge.request("GET", "/headers", headers={"Host": host, "X-Nuage-User": "root"})
        return edge.getresponse().status
    except OSError as e:
        return "no edge: %s" % e


def handler(event, context):
    return {"reached": reached(event["places"]), "edge": at_the_edge(*event["edge"])}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


if __name__ == "__main__" and len(sys.argv) > 2:
    print(" ".join(reached(sys.argv[3:])))
    print(at_the_edge(*sys.argv[1:3]))
elif __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
