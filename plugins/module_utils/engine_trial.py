# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets an engine prove itself: it loads a tiny model and works with it, as an engine for another processor cannot.

Such a one says its version well and dies when it loads a model. The tiny model runs on the CPU alone, since an engine
that serves already may have the whole GPU.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import time

from ansible_collections.inference.host.plugins.module_utils.engine_run import (
    LONGEST,
    EngineError,
    ask,
    death,
    give,
    last_words,
    scratch,
    start,
    stop,
)
from ansible_collections.inference.host.plugins.module_utils.tiny_gguf import tiny_model
from ansible_collections.inference.host.plugins.module_utils.tiny_whisper import silence, tiny_whisper

POLL_SECONDS = 0.05


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, which needs no free port."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def try_llama_server(program, seconds):
    """Let llama-server load the tiny model and generate one token, within `seconds`. Raises EngineError."""
    with scratch() as folder:
        model, address = os.path.join(folder, "tiny.gguf"), os.path.join(folder, "s.sock")
        give(model, tiny_model())
        argv = [program, "--host", address, "--model", model, "--threads", "1", "--ctx-size", "64", "--parallel", "1",
                "--gpu-layers", "0", "--offline"]
        prompt = {"prompt": "a", "n_predict": 1, "ignore_eos": True}
        trial = Trial(argv, folder, seconds, lambda timeout: UnixConnection(address, timeout))
        answer = trial.run("/completion", json.dumps(prompt), {"Content-Type": "application/json"})
        try:
            tokens = json.loads(answer)["tokens_predicted"]
        except (ValueError, KeyError, TypeError):
            tokens = 0
        if tokens != 1:
            raise EngineError("%s was asked for one token of a tiny model and answered %r" % (program, answer[:200]))


def try_whisper_server(program, seconds):
    """Let whisper-server load a tiny model and transcribe a second of silence, within `seconds`. Raises EngineError."""
    with scratch() as folder:
        model, port = os.path.join(folder, "tiny.bin"), free_port()
        give(model, tiny_whisper())
        argv = [program, "--host", "127.0.0.1", "--port", str(port), "--model", model, "--threads", "1", "--no-gpu"]
        form = (b'--cut\r\nContent-Disposition: form-data; name="file"; filename="silence.wav"\r\n'
                b"Content-Type: audio/wav\r\n\r\n" + silence() + b"\r\n--cut--\r\n")
        trial = Trial(argv, folder, seconds, lambda timeout: http.client.HTTPConnection("127.0.0.1", port, timeout))
        answer = trial.run("/inference", form, {"Content-Type": "multipart/form-data; boundary=cut"})
        if '"text"' not in answer:
            raise EngineError("%s was asked for the text of silence and answered %r" % (program, answer[:200]))


def free_port():
    """Return a port of the loopback interface that nobody listens on now."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Trial:
    """One run of a server; `connect` makes an HTTP connection to it, given a timeout in seconds."""

    def __init__(self, argv, folder, seconds, connect):
        self.argv = argv
        self.folder = folder
        self.seconds = seconds
        self.connect = connect

    def run(self, path, body, headers):
        """Start the server, await its health, post one request and return the answer's text; the server is gone then.

        Raises EngineError, with a sentence without a full stop.
        """
        deadline = time.monotonic() + self.seconds
        process = start(self.argv, self.folder)
        try:
            self._await_health(process, deadline)
            status, answer = self._ask(process, deadline, "POST", path, body, headers)
        finally:
            stop(process)
        if status != 200:
            raise EngineError("%s answered its first request with status %d: %s" % (self.argv[0], status, answer[:200]))
        return answer

    def _await_health(self, process, deadline):
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._request(POLL_SECONDS * 20, "GET", "/health")[0] == 200:
                    return
            self._check(process, deadline, "when it loaded a model", POLL_SECONDS)

    def _ask(self, process, deadline, *request):
        try:
            return self._request(max(1, deadline - time.monotonic()), *request)
        except (OSError, http.client.HTTPException) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            self._check(process, deadline, "at its first request", 0)
            raise EngineError("%s broke off its first request: %s" % (self.argv[0], error)) from None

    def _request(self, timeout, method, path, body=None, headers=None):
        with contextlib.closing(self.connect(timeout)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")

    def _check(self, process, deadline, doing, wait):
        """Wait a moment; raise EngineError when the server has ended or the time is over."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=wait)
            raise EngineError("%s %s" % (self.argv[0], death(status, self.folder, doing)))
        if time.monotonic() > deadline:
            raise EngineError("%s was not ready within %d s %s; its last words: %s" % (
                self.argv[0], self.seconds, doing, last_words(self.folder)))


def try_server(runtime, program, seconds):
    """Let the server of a runtime prove itself within `seconds`. Raises EngineError."""
    {"llama_cpp": try_llama_server, "whisper": try_whisper_server}[runtime](program, seconds)


def try_import(python, module, seconds):
    """Let the Python of a virtual environment import a module within `seconds`. Raises EngineError."""
    status, said = ask([python, "-c", "import " + module], seconds)
    if status:
        raise EngineError("%s cannot import %s: %s" % (python, module, " ".join(said.split())[-LONGEST:]))
