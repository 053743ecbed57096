"""One HTTP server for the parts that no emulator has: the pipes API, RunTask and DescribeTasks, tasks' credentials."""

import json
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def serve(server, pipes, ecs):
    """Answers requests to a server made by `bound` from here on."""
    server.pipes, server.ecs = pipes, ecs
    threading.Thread(target=server.serve_forever, daemon=True, name="stand-in").start()


def bound():
    """A server on a free port of the loopback that does not answer yet."""
    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        authorization = self.headers.get("Authorization", "")
        if path == "/credentials":
            found = self.server.ecs.credentials.get(authorization)
            self.answer(200 if found else 403, found or {"message": "no task has this token"})
        elif "X-Amz-Target" in self.headers:
            operation = self.headers["X-Amz-Target"].rsplit(".", 1)[-1]
            access_key = re.search(r"Credential=([^/]+)/", authorization)[1]
            self.answer(*self.server.ecs.handle(operation, body, access_key))
        else:
            self.answer(*self.server.pipes.handle(self.command, path, body))

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def answer(self, status, body):
        encoded = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        if "__type" in body:
            self.send_header("x-amzn-ErrorType", body["__type"])
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_):
        pass
