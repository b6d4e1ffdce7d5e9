"""The guestbook: list entries, add one. The state is in PostgreSQL.

This file is the same in all three service models. What differs is who runs it: app.py serves it from a process, on a
machine (iaas) or in a container (app); main.py answers one event at a time (function).
"""

import html
import json
import threading
import urllib.parse

import psycopg2

MAX_NAME = 80
MAX_MESSAGE = 1000
MAX_BODY = 64 * 1024

CREATE = """CREATE TABLE IF NOT EXISTS entries (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT NOT NULL,
    message    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now())"""
LOCK = "SELECT pg_advisory_xact_lock(7070)"  # two replicas that start together must not both create the table
LIST = "SELECT id, name, message, created_at FROM entries ORDER BY id DESC LIMIT 50"
ADD = "INSERT INTO entries (name, message) VALUES (%s, %s) RETURNING id, name, message, created_at"
PING = "SELECT 1, '', '', now()"

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Guestbook</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:2em auto;padding:0 1em;color-scheme:light dark}}</style>
<h1>Guestbook</h1>
<form method="post" action="/"><p><input name="name" placeholder="Name" maxlength="80" required>
<input name="message" placeholder="Message" maxlength="1000" required> <button>Sign</button></p></form>
<ul>
{entries}</ul>
</html>
"""


class Refused(Exception):
    """What the caller sent cannot be stored."""


class Guestbook:
    """Entries in a database. One connection, made at first use and made again when it broke. Safe for threads."""

    def __init__(self, database_url):
        self._url = database_url
        self._lock = threading.Lock()
        self._connection = None

    def entries(self):
        """The newest 50 entries, newest first."""
        return self._run(LIST)

    def add(self, name, message):
        """Stores an entry and returns it. Refused: an empty or long name or message."""
        return self._run(ADD, (checked("name", name, MAX_NAME), checked("message", message, MAX_MESSAGE)))[0]

    def ping(self):
        """Asks the database for nothing."""
        self._run(PING)

    def _run(self, sql, arguments=()):
        with self._lock:
            try:
                rows = self._execute(sql, arguments)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                # The connection broke before the commit, so nothing was stored: once more, on a new one.
                self._drop()
                rows = self._execute(sql, arguments)
            try:
                self._connection.commit()
            except psycopg2.Error:
                self._drop()
                raise
        return [{"id": r[0], "name": r[1], "message": r[2], "createdAt": r[3].isoformat()} for r in rows]

    def _execute(self, sql, arguments):
        if self._connection is None:
            self._connection = psycopg2.connect(self._url, connect_timeout=5, application_name="guestbook")
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute(LOCK)
                cursor.execute(CREATE)
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return cursor.fetchall()
        except psycopg2.Error:
            self._drop()
            raise

    def _drop(self):
        if self._connection is not None:
            try:
                self._connection.close()
            except psycopg2.Error:
                pass  # it is gone either way
            self._connection = None


def checked(what, value, most):
    """The text without spaces around it."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > most or "\x00" in text:
        raise Refused(f"cannot add the entry: {what} must be text of 1 to {most} characters")
    return text


def respond(book, method, path, accept, content_type, body):
    """Answers one request: (status, headers, text). body is bytes; accept and content_type are headers or ""."""
    try:
        return route(book, method, path, accept, content_type, body)
    except Refused as e:
        return as_json(400, {"error": str(e)})
    except psycopg2.Error as e:
        print(f"guestbook: the database failed: {type(e).__name__}: {e}".rstrip(), flush=True)
        return as_json(503, {"error": "cannot reach the database: try again"})


def route(book, method, path, accept, content_type, body):
    if path == "/healthz" and method in ("GET", "HEAD"):
        book.ping()
        return 200, {"Content-Type": "text/plain; charset=utf-8"}, "ok\n"
    if path != "/":
        return as_json(404, {"error": f"cannot find {path}: there are / and /healthz"})
    if method in ("GET", "HEAD"):
        entries = book.entries()
        return as_html(entries) if "text/html" in accept else as_json(200, {"entries": entries})
    if method == "POST":
        return sign(book, content_type, body)
    status, headers, text = as_json(405, {"error": f"cannot {method} /: use GET or POST"})
    return status, {**headers, "Allow": "GET, HEAD, POST"}, text


def sign(book, content_type, body):
    """Adds an entry from a JSON object, or from a form, whose sender is sent back to the list."""
    if len(body) > MAX_BODY:
        return as_json(413, {"error": f"cannot take more than {MAX_BODY} bytes"})
    if content_type.startswith("application/x-www-form-urlencoded") and not body.lstrip().startswith(b"{"):  # curl -d JSON
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        book.add(form.get("name"), form.get("message"))
        return 303, {"Location": "/"}, ""
    try:
        entry = json.loads(body)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        raise Refused('cannot add the entry: send {"name": "...", "message": "..."} as JSON')
    return as_json(201, book.add(entry.get("name"), entry.get("message")))


def as_json(status, value):
    return status, {"Content-Type": "application/json"}, json.dumps(value, ensure_ascii=False) + "\n"


def as_html(entries):
    items = [f"<li><b>{html.escape(e['name'])}</b>: {html.escape(e['message'])}</li>\n" for e in entries]
    return 200, {"Content-Type": "text/html; charset=utf-8"}, PAGE.format(entries="".join(items))
