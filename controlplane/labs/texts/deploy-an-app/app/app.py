"""A shop that says which version it is, on $PORT."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if os.environ.get("BROKEN"):
    sys.exit("cannot open the shop: BROKEN is set")


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"the shop, version {os.environ.get('VERSION', '1')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


ThreadingHTTPServer(("", int(os.environ["PORT"])), Shop).serve_forever()
