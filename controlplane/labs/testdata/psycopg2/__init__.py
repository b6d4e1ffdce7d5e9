"""Stands in for the driver in tests: a connection that keeps rows in memory, and breaks where a test says so."""

import datetime


class Error(Exception):
    pass


class OperationalError(Error):
    pass


class InterfaceError(Error):
    pass


rows = []
connects = []  # the URL of each connection made
broken = []  # errors to raise, the next one first: by cursors


def connect(url, **settings):
    connects.append(url)
    return Connection()


class Connection:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def cursor(self):
        return Cursor()

    def commit(self):
        pass

    def close(self):
        pass


class Cursor:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def execute(self, sql, arguments=()):
        if broken and not sql.startswith(("CREATE", "SELECT pg_advisory")):
            raise broken.pop(0)
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        self.found = []
        if sql.startswith("INSERT"):
            rows.insert(0, (len(rows) + 1, *arguments, now))
            self.found = rows[:1]
        elif "FROM entries" in sql:
            self.found = rows
        elif sql.startswith("SELECT 1"):
            self.found = [(1, "", "", now)]

    def fetchall(self):
        return self.found
