"""A stand-in for engines, for tests of nginx alone: listens at the ports that it is given and says what it was asked.

/v1/completions sends five events, one each time that /step was asked; /v1/hold answers when /release was asked, and
/held tells how many wait for that. Every other path is answered with the request as JSON.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

steps = threading.Semaphore(0)
released = threading.Event()
held = []


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments):
        pass

    def answer(self, body, kind="application/json", **headers):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", self.headers.get("Origin", "*"))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(5):
            steps.acquire(timeout=20)
            part = b"data: %d\n\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        if self.path == "/step":
            steps.release()
        if self.path == "/release":
            released.set()
        if self.path == "/v1/completions":
            return self.stream()
        if self.path == "/held":
            return self.answer(str(len(held)).encode())
        if self.path == "/v1/hold":
            held.append(self)
            released.wait(timeout=20)
            held.remove(self)
        if self.path == "/v1/long":
            return self.answer(json.dumps(["words"] * 1000).encode())
        if self.path == "/v1/elsewhere":
            return self.answer(b"kept", **{"X-Accel-Redirect": "/step"})
        asked = {"path": self.path, "port": self.server.server_port, "headers": dict(self.headers)}
        self.answer(json.dumps(asked).encode())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()


servers = [ThreadingHTTPServer(("127.0.0.1", int(port)), Engine) for port in sys.argv[1:]]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
