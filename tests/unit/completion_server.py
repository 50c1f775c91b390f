"""A stand-in for a service that streams completions: it answers well or badly, as the first part of the path says.

It stands in for llama-server behind nginx: the events have the shape of its /v1/completions, a word is a token, and
each prompt has one token more than words.
"""

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a-key-that-nobody-may-see"


class Handler(BaseHTTPRequestHandler):
    """`/BEHAVIOUR/v1/completions`: `good`, or one of the words below; a number is a status to answer with."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server, behaviour = self.server, self.path.split("/")[1]
        with server.lock:
            server.asked.append((self.path, dict(self.headers), asked))
            server.at_once += 1
            server.most = max(server.most, server.at_once)
        self.close_connection, self.counted = True, True
        try:
            with contextlib.suppress(ConnectionError):
                self.behave(behaviour, asked)
        finally:
            self.leave()

    def leave(self):
        """Do not count as a request any more: before the last bytes, with which the client may begin its next one."""
        with self.server.lock:
            self.server.at_once -= self.counted
            self.counted = False

    def behave(self, behaviour, asked):
        if behaviour == "keyed" and self.headers.get("Authorization") != "Bearer " + KEY:
            behaviour = "401"
        if behaviour.isdigit():
            self.plain(int(behaviour), b'{"error": "the server repeats what it was told"}')
        elif behaviour == "no-http":
            self.wfile.write(b"who are you\r\n\r\n")
        elif behaviour == "no-json":
            self.stream([b"data: {nonsense\n\n"])
        elif behaviour == "no-events":
            self.plain(200, b"a page about something else")
        elif behaviour == "some-fail" and asked["max_tokens"] > 2 and len(self.server.asked) % 3 == 1:
            self.plain(503, b"no slot is free")
        else:
            self.stream(self.events(behaviour, asked))

    def plain(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.leave()
        self.wfile.write(body)

    def stream(self, parts):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
        self.leave()
        self.wfile.write(b"0\r\n\r\n")

    def events(self, behaviour, asked):
        """Yield events: the first token after `first` seconds, the others after `next` each."""
        count = asked["max_tokens"]
        if behaviour == "short" and count > 2:
            count -= 1
        for number in range(count):
            time.sleep(self.server.first if number == 0 else self.server.next)
            if behaviour == "cut" and number == 1:
                self.connection.close()
                raise ConnectionAbortedError
            if behaviour == "error-event" and number == 1:
                yield b'data: {"error": {"message": "the slot is gone"}}\n\n'
            last = number == count - 1 and behaviour != "no-reason"
            choice = {"text": " w%d" % number, "index": 0, "finish_reason": "length" if last else None}
            line = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
            # In the middle of a line, as TCP may.
            yield line[:9]
            yield line[9:]
        if behaviour != "untold":
            usage = {"prompt_tokens": len(asked["prompt"].split()) + 1, "completion_tokens": count}
            yield b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
        if behaviour != "no-done":
            yield b"data: [DONE]\n\n"

    def log_message(self, *_arguments):
        """Say nothing."""


@contextlib.contextmanager
def completing(first=0.0, following=0.0, certificate=None):
    """Serve while the block runs. Yields the server with `url`, `asked` and `most` (requests at the same time)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.lock, server.asked, server.at_once, server.most = threading.Lock(), [], 0, 0
    server.first, server.next = first, following
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = "%s://127.0.0.1:%d" % ("https" if certificate else "http", server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
