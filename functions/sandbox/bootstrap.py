"""Runs a Python function over the AWS Lambda Runtime API.

The interpreter is started ahead of time. It imports what most functions need, says so on file descriptor 3, reads from
there, as one line of JSON, which function it is to be, and from then on takes one event after the other.
"""

import base64  # noqa: F401  imported ahead, as are the others that nothing below uses
import collections  # noqa: F401
import datetime  # noqa: F401
import decimal  # noqa: F401
import functools  # noqa: F401
import hashlib  # noqa: F401
import hmac  # noqa: F401
import http.client  # noqa: F401
import importlib
import json
import logging
import os
import random  # noqa: F401
import re  # noqa: F401
import socket
import sys
import time
import traceback
import urllib.parse  # noqa: F401
import urllib.request  # noqa: F401
import uuid  # noqa: F401

CONTROL = 3
TASK = "/var/task"
MAX_ANSWER = 6 << 20
JSON = "application/json"


class RuntimeClient:
    """One connection to the Runtime API. http.client would take longer than many functions do."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def next(self):
        self.socket.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n")
        status, headers, body = self.read()
        if status != 200:
            raise RuntimeError("the Runtime API answered %d: %r" % (status, body))
        return headers, body

    def post(self, path, body, error_type=None):
        head = "POST /2018-06-01/runtime/%s HTTP/1.1\r\nHost: runtime\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (
            path, JSON, len(body))
        if error_type:
            head += "Lambda-Runtime-Function-Error-Type: %s\r\n" % error_type
        self.socket.sendall(head.encode() + b"\r\n" + body)
        return self.read()[0]

    def read(self):
        status = int(self.reader.readline().split(b" ", 2)[1])
        headers = {}
        while True:
            line = self.reader.readline()
            if line in (b"\r\n", b""):
                break
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.reader.read(int(headers.get("content-length", 0)))


class Context:
    """What AWS documents as the context object."""

    identity = None
    client_context = None

    def __init__(self, headers):
        env = os.environ.get
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn", "")
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME", "")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION", "")
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME", "")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME", "")
        self._deadline = int(headers["lambda-runtime-deadline-ms"])

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


class RequestFilter(logging.Filter):
    """Puts the id of the request under way into each log record."""

    request_id = ""

    def filter(self, record):
        record.aws_request_id = self.request_id
        return True


class Fault(Exception):
    """An error with a type of the platform's."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.document = {"errorMessage": message, "errorType": kind, "stackTrace": list(trace)}


def describe(error):
    """The error document of an exception; frames of this file are left out."""
    if isinstance(error, Fault):
        return error.document
    frames = [f for f in traceback.extract_tb(error.__traceback__)
              if f.filename not in (__file__, importlib.__file__) and not f.filename.startswith("<frozen importlib")]
    return {"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": traceback.format_list(frames)}


def log_error(document):
    lines = ["[ERROR] %s: %s" % (document["errorType"], document["errorMessage"])]
    if document["stackTrace"]:
        lines.append("Traceback (most recent call last):")
        lines += [frame.rstrip("\n") for frame in document["stackTrace"]]
    print("\n".join(lines), flush=True)


def encode(document):
    return json.dumps(document, ensure_ascii=True).encode()


def find_handler(name):
    """Imports the module of module.function and returns the function."""
    module_name, _, function = name.rpartition(".")
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        trace = describe(error)["stackTrace"]
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, error), trace) from error
    except SyntaxError as error:
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, error),
                    traceback.format_exception_only(error)) from error
    handler = getattr(module, function, None)
    if not callable(handler):
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function, module_name))
    return handler


def vendored(root):
    """The directories that installed packages came with: their authors answer for them."""
    found = {"__pycache__", "site-packages", "venv", ".venv", "node_modules"}
    for info in os.listdir(root):
        if info.endswith(".dist-info"):
            found.add(info)
            try:
                with open(os.path.join(root, info, "RECORD"), encoding="utf-8") as record:
                    found.update(line.split("/", 1)[0] for line in record if "/" in line)
            except OSError:
                pass  # a package without a list of its files is checked like the function's own
    return found


def check(root):
    """Parses every source file; raises a Fault with what the interpreter says."""
    skip = vendored(root)
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in skip)
        for name in sorted(files):
            if not name.endswith(".py"):
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as source:
                text = source.read()
            try:
                compile(text, os.path.relpath(path, root), "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                message = "".join(traceback.format_exception_only(error)).strip()
                raise Fault("Runtime.UserCodeSyntaxError", message) from error


def set_up(binding, requests):
    """Becomes the function: its environment, its folder, its logging."""
    os.environ.update(binding["env"])
    os.environ["_HANDLER"] = binding["handler"]
    time.tzset()
    sys.path[:0] = [TASK] + [p for p in os.environ.get("PYTHONPATH", "").split(":") if p]
    os.chdir(TASK)
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(requests)
    logging.getLogger().addHandler(handler)


def prepare(client, binding, requests):
    """Loads the function, or tells why that failed and ends."""
    try:
        if binding["check"]:
            check(TASK)
            return None
        set_up(binding, requests)
        return find_handler(binding["handler"])
    except SystemExit as error:
        leave(error)
    except BaseException as error:  # whatever the code raises while it is imported
        document = describe(error)
        log_error(document)
        client.post("init/error", encode(document), document["errorType"])
        os._exit(1)


def answer(handler, headers, body):
    """Runs the function once: (document, failed)."""
    try:
        event = json.loads(body)
    except ValueError as error:
        return Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error).document, True
    try:
        result = handler(event, Context(headers))
    except SystemExit as error:
        leave(error)
    except BaseException as error:  # the function's own failure, whatever it is
        return describe(error), True
    try:
        text = json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError, UnicodeError) as error:
        return Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error).document, True
    if len(text) > MAX_ANSWER:
        message = "Response payload size exceeded maximum allowed payload size (%d bytes)." % MAX_ANSWER
        return Fault("Function.ResponseSizeTooLarge", message).document, True
    return text, False


def leave(error):
    """Ends the process as sys.exit asks; os._exit so that no thread can hold it."""
    code = error.code if isinstance(error.code, int) else (0 if error.code is None else 1)
    if code == 1 and error.code != 1:
        print(error.code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def serve(client, handler, requests):
    while True:
        headers, body = client.next()
        request_id = headers["lambda-runtime-aws-request-id"]
        requests.request_id = request_id
        result, failed = answer(handler, headers, body)
        if failed:
            log_error(result)
            client.post("invocation/%s/error" % request_id, encode(result), result["errorType"])
        else:
            client.post("invocation/%s/response" % request_id, result)


def main():
    for module in filter(None, os.environ.pop("NUAGE_PRELOAD", "").split(",")):
        try:
            importlib.import_module(module)
        except ImportError:
            pass  # not in this image: a function that needs it will say so
    client = RuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"])
    os.write(CONTROL, b"ready\n")
    with open(CONTROL, encoding="utf-8") as control:
        line = control.readline()
    if not line:
        os._exit(0)
    requests = RequestFilter()
    binding = json.loads(line)
    serve(client, prepare(client, binding, requests), requests)


if __name__ == "__main__":
    main()
