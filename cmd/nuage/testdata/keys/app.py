"""A small app for the integration tests: each visit adds to a counter in the Redis that is bound to it."""
import http.server
import os
import socket
import urllib.parse

REDIS = urllib.parse.urlsplit(os.environ["REDIS_URL"])


def ask(line):
    with socket.create_connection((REDIS.hostname, REDIS.port), timeout=5) as connection:
        connection.sendall(f"AUTH {REDIS.username} {REDIS.password}\r\n{line}\r\n".encode())
        answers = connection.makefile("r")
        login, answer = answers.readline().strip(), answers.readline().strip()
        return answer if login == "+OK" else login


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"here" if self.path == "/health" else ask("INCR visits").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


assert os.environ["REDIS_URL"] == os.environ["DATABASE_URL"]
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
