"""A small app for the integration tests: rows in a database, and every way to fail that MODE names."""
import http.server
import os
import signal
import socket
import sys
import time

import psycopg2

MODE = os.environ.get("MODE", "")
if MODE == "crash":
    print("reading the settings")
    print("no such setting: FLAVOUR", flush=True)
    sys.exit(3)
if MODE == "hungry":
    print("reading all of it into memory", flush=True)
    everything = []
    while True:
        everything.append(bytearray(16 << 20))


def query(sql):
    with psycopg2.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists rows (body text)")
        cursor.execute(sql)
        return cursor.fetchall()


if MODE == "settled" and query("select to_regclass('public.moved')")[0][0]:
    print("reading the rows")
    print("the rows have moved", flush=True)
    sys.exit(4)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            return self.answer(500 if MODE == "sick" else 200, "health")
        if self.path == "/rows":
            return self.answer(200, str(query("select count(*) from rows")[0][0]))
        if self.path == "/slow":
            time.sleep(1)
        release, greeting = os.environ["NUAGE_RELEASE"], os.environ.get("GREETING", "none")
        self.answer(200, f"release {release} on {socket.gethostname()} greets {greeting}")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/slow":
            time.sleep(0.7)
        self.answer(200, str(query("insert into rows values ('row') returning 1")[0][0]))

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
port = 9099 if MODE == "elsewhere" else int(os.environ["PORT"])
print(f"listening on {port}", flush=True)
Server(("", port), Handler).serve_forever()
