"""Answers HTTP events (payload format 2.0) for the guestbook, with its state in $DATABASE_URL.

A function keeps nothing between calls that it could not lose; the connection to the database stays open while its
sandbox is warm, and is made again when it broke.
"""

import base64
import os

import guestbook

book = guestbook.Guestbook(os.environ["DATABASE_URL"])


def handler(event, context):
    request = event.get("requestContext", {}).get("http", {})
    headers = event.get("headers", {})
    body = event.get("body", "")
    status, out, text = guestbook.respond(
        book, request.get("method", "GET"), event.get("rawPath", "/"), headers.get("accept", ""),
        headers.get("content-type", ""), base64.b64decode(body) if event.get("isBase64Encoded") else body.encode())
    return {"statusCode": status, "headers": out, "body": text}
