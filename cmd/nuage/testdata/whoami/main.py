# Says who the edge says is asking, and whether the back channel to the managed auth works from inside.
import base64
import html
import http.server
import json
import os
import urllib.parse
import urllib.request

TOLD = ("X-Nuage-User", "X-Nuage-Email", "X-Nuage-Roles")


def back_channel():
    base = os.environ["OIDC_INTERNAL_URL"]
    with urllib.request.urlopen(base + "/.well-known/openid-configuration", timeout=10) as answer:
        issuer = json.load(answer)["issuer"]
    login = os.environ["OIDC_CLIENT_ID"] + ":" + os.environ["OIDC_CLIENT_SECRET"]
    form = urllib.parse.urlencode({"grant_type": "client_credentials"}).encode()
    ask = urllib.request.Request(base + "/token", form, {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()})
    with urllib.request.urlopen(ask, timeout=10) as answer:
        token = json.load(answer)["access_token"]
    return {"issuer": issuer, "same": issuer == os.environ["OIDC_ISSUER"], "token": token[:2]}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/back-channel":
            return self.say("application/json", json.dumps(back_channel()))
        if self.path == "/headers":
            return self.say("application/json", json.dumps([[k, v] for k, v in self.headers.items()]))
        rows = "".join("<dt>%s</dt><dd>%s</dd>" % (name, html.escape(self.headers.get(name) or "-")) for name in TOLD)
        self.say("text/html", "<!doctype html><title>whoami</title><h1>The protected page</h1><dl>" + rows + "</dl>")

    def say(self, kind, text):
        self.send_response(200)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
