"""A function for the integration tests: it counts its calls in a database, and fails as the event says."""
import os
import time

import psycopg2


def handler(event, context):
    print("asked for", event)
    if event.get("fail"):
        raise ValueError("told to fail")
    time.sleep(event.get("sleep", 0))
    with psycopg2.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("create table if not exists calls (at timestamptz default now())")
        cursor.execute("insert into calls default values")
        cursor.execute("select count(*) from calls")
        return {"calls": cursor.fetchone()[0]}
