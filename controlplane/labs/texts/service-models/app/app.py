"""Says hello on $PORT."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")


ThreadingHTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
