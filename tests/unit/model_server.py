"""An HTTP server on 127.0.0.1 that serves files well or badly, as the first part of the path says."""

import contextlib
import hashlib
import hmac
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

S3_KEYS = {"access_key": "the-access-key", "secret_key": "the-secret-key", "region": "lab-1"}
REGISTRY_TOKEN = "token-of-the-registry"


class Handler(BaseHTTPRequestHandler):
    """`/BEHAVIOUR/...`: `good`, or one of the others below; a number is a status to answer with."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, dict(self.headers)))
        self.close_connection = True
        behaviour = self.path.split("/")[1].split("?")[0]
        if behaviour == "s3" and not self.is_signed():
            behaviour = "403"
        if behaviour == "v2" and self.headers.get("Authorization") != "Bearer " + REGISTRY_TOKEN:
            self.answer(401, {"WWW-Authenticate": server.challenge})
        elif behaviour == "token":
            self.answer(200, {}, json.dumps({"token": REGISTRY_TOKEN}).encode())
        elif behaviour.isdigit():
            self.send_response(int(behaviour), "the server repeats " + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif behaviour == "redirect":
            self.answer(302, {"Location": server.target})
        else:
            self.serve(behaviour)

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in dict(headers, **{"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def serve(self, behaviour):
        """Send the file, or what the behaviour makes of it."""
        name = unquote(self.path.partition("/" + behaviour + "/")[2].split("?")[0])
        data, tag = self.server.files.get(name, self.server.data), self.server.tag
        if data is None:
            self.answer(404, {})
            return
        first, last = self.asked_range(behaviour, tag, len(data))
        if first is not None and first >= len(data):
            self.answer(416, {"Content-Range": f"bytes */{len(data)}"})
            return
        body = data[first or 0 : last + 1]
        self.send_response(200 if first is None else 206)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        if tag:
            self.send_header("ETag", tag)
        if behaviour == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif behaviour != "no-length":
            lie = {"lies-long": 1000, "lies-short": -1000}.get(behaviour, 0)
            self.send_header("Content-Length", str(len(body) + lie))
        self.end_headers()
        if behaviour == "chunked":
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if behaviour in ("drops", "stalls", "no-range-drops"):
            body = body[: self.server.piece]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
            if behaviour == "stalls" and len(body) == self.server.piece:
                self.connection.recv(1)  # until the client goes

    def asked_range(self, behaviour, tag, size):
        """Return (first, last) byte of the asked range; first is None for the whole file."""
        whole = None, size - 1
        if behaviour.startswith(("no-", "lies", "chunked")):
            return whole
        if self.headers.get("If-Range") not in (None, tag):
            return whole
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not found:
            return whole
        return int(found.group(1)), min(int(found.group(2) or size), size - 1)

    def is_signed(self):
        """Return whether the request's own bytes have the signature that it says, by the keys that are known here."""
        said = re.match(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request,\s*SignedHeaders=([^,]+),"
                        r"\s*Signature=([0-9a-f]{64})\Z", self.headers.get("Authorization", ""))
        if not said:
            return False
        access_key, day, region, names, signature = said.groups()
        path, _mark, query = self.path.partition("?")
        lines = ["GET", path, query]
        lines += [f"{name}:{self.headers.get(name, '').strip()}" for name in names.split(";")]
        lines += ["", names, self.headers["x-amz-content-sha256"]]
        text = "\n".join(["AWS4-HMAC-SHA256", self.headers["x-amz-date"], f"{day}/{region}/s3/aws4_request",
                          hashlib.sha256("\n".join(lines).encode()).hexdigest()])
        key = b"AWS4" + S3_KEYS["secret_key"].encode()
        for part in (day, S3_KEYS["region"], "s3", "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        must = {"host", "range", "x-amz-date", "x-amz-content-sha256"}
        return access_key == S3_KEYS["access_key"] and must <= set(names.split(";")) and key.hex() == signature

    def log_message(self, *_arguments):
        """Say nothing."""


@contextlib.contextmanager
def serving(data, context=None, files=None):
    """Serve `data` under every name but those of `files` while the block runs; data None is not there.

    Yields the server with `url`, `asked`, `tag`, `piece`, `target` and `challenge` (of a registry, at `/v2/`).
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.data, server.tag, server.piece, server.asked, server.target = data, '"one"', 1_000_000, [], None
    server.files = files or {}
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    server.challenge = f'Bearer realm="{server.url}/token",service="lab",scope="repository:a/b:pull"'
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
