"""Stand-ins for llama-server: programs that say a version and options, and then serve, die, or hang."""

import contextlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

HELP = ("-h,    --help                          print usage\n"
        "-lm,   --load-mode MODE                how the model is read\n")

SERVER = '''
import http.server, json, os, signal, socketserver, sys, time
if "--version" in sys.argv:
    print("version: {version}")
elif "--help" in sys.argv:
    print({help!r}, end="")
else:
    {body}
'''

SERVE = '''
    options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    model = open(options["--model"], "rb").read()
    assert model[:4] == b"GGUF" and os.getuid() != 0, "no model"
    class Handler(http.server.BaseHTTPRequestHandler):
        def address_string(self):
            return "client"
        def answer(self, value):
            self.send_response({status})
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())
        def do_GET(self):
            self.answer({{"status": "ok"}})
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            {first}
            self.answer({{"tokens_predicted": asked["n_predict"] + {extra}}})
    socketserver.UnixStreamServer(options["--host"], Handler).serve_forever()
'''

BODIES = {
    "good": SERVE.format(status=200, first="pass", extra=0),
    "no token": SERVE.format(status=200, first="pass", extra=-1),
    "never healthy": SERVE.format(status=503, first="pass", extra=0),
    "dies at work": SERVE.format(status=200, first="os.kill(os.getpid(), signal.SIGILL)", extra=0),
    "other processor": "os.kill(os.getpid(), signal.SIGILL)",
    "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
    "no load": 'print("unknown model architecture"); sys.exit(1)',
    "hang": "time.sleep(600)",
}


@contextlib.contextmanager
def open_folder():
    """A folder that every user may enter: engines are tried as user nobody."""
    folder = tempfile.mkdtemp(prefix="inference-test-")
    os.chmod(folder, 0o755)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder)


def program(path, kind="good", version="9000 (abc)"):
    """Write a stand-in and return its path as a text."""
    body = SERVER.format(version=version, help=HELP, body=BODIES[kind].strip())
    # A shell reads the next line as a command, Python as a text.
    path.write_text('#!/bin/sh\n"exec" "%s" "$0" "$@"\n%s' % (python(), body))
    path.chmod(0o755)
    return str(path)


def python():
    """A Python that user nobody may start too."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def tar(path, entries):
    """Write a tar of entries: (name, bytes, mode), (name, "link", target), (name, "hard", target), (name, "folder")."""
    with tarfile.open(path, "w:gz") as archive:
        for name, what, *more in entries:
            entry = tarfile.TarInfo(name)
            data = None
            if what == "link":
                entry.type, entry.linkname = tarfile.SYMTYPE, more[0]
            elif what == "hard":
                entry.type, entry.linkname = tarfile.LNKTYPE, more[0]
            elif what == "folder":
                entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            elif what == "device":
                entry.type = tarfile.CHRTYPE
            else:
                data, entry.size, entry.mode = io.BytesIO(what), len(what), more[0] if more else 0o644
            archive.addfile(entry, data)
    return str(path)
