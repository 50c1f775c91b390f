"""An HTTP server on 127.0.0.1 that serves one file well or badly, as the first part of the path says."""

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """`/BEHAVIOUR/...`: `good`, or one of the others below; a number is a status to answer with."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, dict(self.headers)))
        self.close_connection = True
        behaviour = self.path.split("/")[1]
        if behaviour.isdigit():
            self.send_response(int(behaviour), "the server repeats " + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif behaviour == "redirect":
            self.send_response(302)
            self.send_header("Location", server.target)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.serve(behaviour)

    def serve(self, behaviour):
        """Send the file, or what the behaviour makes of it."""
        data, tag = self.server.data, self.server.tag
        first = self.first_byte(behaviour, tag)
        if first is not None and first >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = data[first or 0 :]
        self.send_response(200 if first is None else 206)
        if first is not None:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
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

    def first_byte(self, behaviour, tag):
        """Return where the asked range begins, or None for the whole file."""
        if behaviour.startswith(("no-", "lies", "chunked")):
            return None
        if self.headers.get("If-Range") not in (None, tag):
            return None
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found.group(1)) if found else None

    def log_message(self, *_arguments):
        """Say nothing."""


@contextlib.contextmanager
def serving(data, context=None):
    """Serve `data` while the block runs; yield the server with `url`, `asked`, `tag`, `piece` and `target`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.data, server.tag, server.piece, server.asked, server.target = data, '"one"', 1_000_000, [], None
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
