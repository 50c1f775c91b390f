# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One model that is wished for: its release, what there is of it, and how its missing files come."""

from __future__ import annotations

import contextlib
import os
import time

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.download import download, probe
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of_file
from ansible_collections.inference.host.plugins.module_utils.http_range import Interrupted
from ansible_collections.inference.host.plugins.module_utils.model_formats import check_content
from ansible_collections.inference.host.plugins.module_utils.model_sources import (
    addresses,
    host_path,
    is_remote,
    redact,
    scheme,
)
from ansible_collections.inference.host.plugins.module_utils.release import Release
from ansible_collections.inference.host.plugins.module_utils.remote_header import remote_facts

NOT_HERE = "the file is not on the host yet."


@contextlib.contextmanager
def about(name, models_dir):
    """Give what goes wrong within the block the model's name, and an OSError a sentence."""
    try:
        yield
    except ReleaseError as error:
        error.model = error.model or name
        raise
    except OSError as error:
        sentence = ReleaseError("%s cannot be used: %s" % (error.filename or models_dir, atomic.words(error)))
        sentence.model = name
        raise sentence from None


class WishedModel:
    """One wished model: its release, what was found of it, and where its files come from."""

    def __init__(self, models_dir, wish, access):
        """wish: {name, source, sha256, filename, release, files, check, headers}. access: see model_sources."""
        keys = ("name", "source", "sha256", "filename", "release", "files", "check")
        self.name, self.source = wish["name"], wish["source"]
        self.below = wish.get("files") is not None
        self.access = dict(access, headers=wish.get("headers") or {})
        self.on_controller = scheme(self.source) == ""
        with about(self.name, models_dir):
            self.release = Release(models_dir, **{key: wish.get(key) for key in keys})
        self.missing_sizes = {}  # {path: bytes or None}, filled by `look`
        self.served = {}  # {path: the address that answered}
        self.installed = False
        self.find()

    def find(self):
        with about(self.name, self.release.models_dir):
            self.found = self.release.find()

    def differs(self, switch):
        """Return whether it is not yet what is wished. switch: whether `current` is to point to the release."""
        return bool(self.found.missing) or not self.found.described or (switch and not self.release.is_current())

    def is_right(self, switch):
        """Return whether nothing is to be done; the manifest of a touched file is written anew, which changes nothing
        for who uses the model."""
        return self.found.recorded and not self.differs(switch)

    def absent(self):
        """Return the paths of the files that still have to come from their source."""
        return [path for path in self.found.missing if not self.release.incoming(path).is_whole()]

    def place_on_host(self, path):
        return host_path(self.source, path if self.below else None)

    def places_of(self, path):
        return addresses(self.source, path if self.below else None, self.release.files[path], self.access)

    def look(self, thorough, controller_sizes):
        """Find the sizes of the missing files, after all checks that change nothing.

        thorough: whether a file on the host is hashed as well, and a server must answer. controller_sizes: {path:
        bytes}.
        """
        with about(self.name, self.release.models_dir):
            for path in self.found.missing:
                self.missing_sizes[path] = self._look_at(path, thorough, controller_sizes)

    def _look_at(self, path, thorough, controller_sizes):
        incoming = self.release.incoming(path)
        if incoming.is_whole():
            return incoming.size()
        if self.on_controller:
            return controller_sizes.get(path)
        if is_remote(self.source):
            try:
                size, self.served[path] = probe(self.places_of(path), path)
            except Interrupted as error:
                if thorough:
                    raise ReleaseError(str(error)) from None
                return None  # the download tries more than once
            return size
        place = self.place_on_host(path)
        if thorough:
            check_content(place, path, self.release.files[path], place)
        return os.path.getsize(place)

    def fetch(self, deadline):
        """Get the missing files, which are not on the controller. Return None, or a download's Progress when the time
        was over first; its numbers are those of one file."""
        with about(self.name, self.release.models_dir):
            for path in self.absent():
                incoming, place = self.release.incoming(path), self._words(path)
                if incoming.is_whole():
                    continue  # another file has the same content
                try:
                    if not is_remote(self.source):
                        incoming.take_copy(self.place_on_host(path))
                    else:
                        places = self.places_of(path)
                        progress = download(places, incoming, max(0, deadline - time.monotonic()))
                        if not progress.finished:
                            return progress
                        if progress.server != redact(places[-1].url):
                            place += ", by %s," % progress.server
                except OSError:
                    incoming.drop()
                    raise
                incoming.finish(place)
        return None

    def take_upload(self, path, uploaded):
        """Take a file that the controller has sent; `uploaded` is where it lies."""
        incoming = self.release.incoming(path)
        with about(self.name, self.release.models_dir):
            try:
                incoming.take_upload(uploaded)
                incoming.finish(self._words(path))
            except OSError:
                incoming.drop()
                raise
            finally:
                incoming.drop_upload(uploaded)

    def _words(self, path):
        source = self.release.source
        return "the file from " + (source.rstrip("/") + "/" + path if self.below else source)

    def install(self, switch):
        """Make the files, which are all here, the release, and with `switch` the current one."""
        with about(self.name, self.release.models_dir):
            self.release.place(self.found.missing)
            if not (self.found.recorded and self.found.described):
                self.release.record()
            if switch and not self.release.is_current():
                self.release.make_current()

    def received(self):
        """Return how many bytes of the release are on the host."""
        return sum(self.found.sizes.values()) + sum(
            self.release.incoming(path).size() for path in self.found.missing)

    def size(self):
        """Return the bytes of all files, or None while one of them is not known."""
        sizes = list(self.found.sizes.values()) + [self.missing_sizes.get(path) for path in self.found.missing]
        return None if None in sizes else sum(sizes)

    def facts(self, remote=False):
        """Return {"facts", "facts_note"} from where the model is; remote: whether a server may be asked for it."""
        opened = self.release.opened
        if not opened.endswith(".gguf"):
            note = "%s is no GGUF file; others are not read." % (opened or "the model")
            return {"facts": None, "facts_note": note}
        if not self.found.missing:
            return facts_of_file(self.release.path)
        if scheme(self.source) == "file":
            return facts_of_file(self.place_on_host(opened))
        parts = [path for path in sorted(self.release.files) if _same_model(path, opened)]
        if remote and all(self.served.get(path) and self.missing_sizes.get(path) for path in parts):
            return remote_facts([(self.served[path], self.missing_sizes[path]) for path in parts])
        return {"facts": None, "facts_note": NOT_HERE}

    def result(self, status, remote=False):
        """Return what is said of the model. remote: whether a server may be asked for its facts."""
        release = self.release
        return dict(
            {"name": self.name, "changed": status in ("installed", "would_install"), "status": status,
             "release": release.release,
             "path": os.path.join(release.current, release.opened) if release.opened else release.current,
             "manifest": release.manifest, "size_bytes": self.size(), "needed": bool(self.absent()),
             "missing": self.absent(), "current": release.is_current()}, **self.facts(remote))


def _same_model(path, opened):
    """Return whether a file is `opened` or another part of the same split model."""
    return path == opened or (opened[-20:-14] == "-00001" and path.startswith(opened[:-20])
                              and path[-14:] == opened[-14:])
