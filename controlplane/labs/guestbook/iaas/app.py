"""Serves the guestbook over HTTP on $PORT (8000), with its state in $DATABASE_URL (the local database guestbook)."""

import os
import signal
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import guestbook


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds an idle connection stays open
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        accept, content_type = self.headers.get("Accept", ""), self.headers.get("Content-Type", "")
        status, headers, text = guestbook.respond(self.server.book, self.command, url.path, accept, content_type, self.body())
        data = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def body(self):
        """Reads the body, of one that is too long only as much as shows that it is."""
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        try:
            length = 0 if chunked else max(0, int(self.headers.get("Content-Length", "0")))
        except ValueError:
            length = 0
        if chunked or length > guestbook.MAX_BODY:
            self.close_connection = True  # the rest is not read
        return self.chunks() if chunked else self.rfile.read(min(length, guestbook.MAX_BODY + 1))

    def chunks(self):
        data = b""
        while len(data) <= guestbook.MAX_BODY:
            try:
                size = int(self.rfile.readline(32).split(b";")[0], 16)
            except ValueError:
                break
            if size <= 0:
                break
            data += self.rfile.read(min(size, guestbook.MAX_BODY + 1))
            self.rfile.readline(3)
        return data

    def log_message(self, text, *arguments):
        print(f"{self.address_string()} {text % arguments}", flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    book = guestbook.Guestbook(os.environ.get("DATABASE_URL", "postgresql:///guestbook"))


def main():
    server = Server(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"guestbook: listening on port {server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
