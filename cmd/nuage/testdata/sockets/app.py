# A WebSocket (RFC 6455) that says which release answers, of nothing but the standard library.
import base64
import hashlib
import http.server
import os
import struct


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Upgrade", "").lower() != "websocket":
            self.send_response(200)
            self.end_headers()
            return
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.protocol_version = "HTTP/1.1"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while self.echo():
            pass

    def echo(self):
        first, length = self.rfile.read(2)
        length &= 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.rfile.read(2))
        mask = self.rfile.read(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(length)))
        if first & 0x0F == 8:
            print("closed with", struct.unpack("!H", data[:2])[0], flush=True)
            self.wfile.write(bytes([0x88, len(data)]) + data)
            return False
        answer = ("release %s: " % os.environ["NUAGE_RELEASE"]).encode() + data
        self.wfile.write(bytes([0x81, len(answer)]) + answer)
        return True

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
