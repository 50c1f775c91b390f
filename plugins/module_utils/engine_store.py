# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""An installed engine on the host: a folder with a record of the program that was accepted.

The record (`engine.json`) is {runtime, program: path in the folder or absolute, distribution: name of the Python
package or null, size, mtime_ns: of the program}. It is written last: a folder without one is no engine, and one whose
program is no longer the recorded one is none either.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.engine_archive import find_program, unpack
from ansible_collections.inference.host.plugins.module_utils.engine_run import EngineError, ask, sweep
from ansible_collections.inference.host.plugins.module_utils.engine_trial import try_import, try_server
from ansible_collections.inference.host.plugins.module_utils.engine_version import (
    build_problem,
    known_build,
    option_names,
    read_version,
)

RECORD = "engine.json"
PARTIAL = ".partial"
OLD = ".old"
ASK_SECONDS = 20
"""A program that only prints something is given so long; llama-server takes 5 ms."""


class Store:
    """The folder of one engine and what may come into it."""

    def __init__(self, release, runtime, title, min_build=None, stated_build=None, build_variable=""):
        """release: absolute path of the folder. title: what people call the engine. The builds are of llama.cpp."""
        self.release = release
        self.runtime = runtime
        self.title = title
        self.min_build = min_build
        self.stated_build = stated_build
        self.build_variable = build_variable

    def record(self):
        """Return the record of the accepted engine; None where there is none or its program was changed since."""
        try:
            with open(os.path.join(self.release, RECORD), encoding="utf-8") as stream:
                record = json.load(stream)
            now = os.stat(os.path.join(self.release, record["program"]))
            same = (now.st_size, now.st_mtime_ns) == (record["size"], record["mtime_ns"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if same and record.get("runtime") == self.runtime else None

    def identify(self, record, release=None):
        """Return {path, build, version, options} of the recorded engine.

        The program is asked, or, in a virtual environment, the package's metadata read. Raises EngineError for a
        program that does not start, such as one whose library has gone.
        """
        release = release or self.release
        path = os.path.join(release, record["program"])
        build, version, options = None, "", []
        if record["distribution"]:
            version = distribution_version(release, record["distribution"])
        else:
            if self.runtime == "llama_cpp":
                build, version = read_version(ask([path, "--version"], ASK_SECONDS)[1])
            options = option_names(ask([path, "--help"], ASK_SECONDS)[1])
        return {"path": path, "build": known_build(build, self.stated_build), "version": version, "options": options}

    def problem(self, engine):
        """Return why an identified engine is refused, as a sentence, or ""."""
        return build_problem(self.title, engine["build"], self.min_build, self.build_variable)

    def install_archive(self, archive, program, seconds):
        """Put the archive's program with all that lies beside it in the place of the release. Raises EngineError.

        An old folder stays until the new one was accepted; what fails leaves nothing.
        """
        partial = self.release + PARTIAL
        with self._locked():
            clear(partial)
            os.mkdir(partial, 0o755)
            try:
                os.chmod(partial, 0o755)
                unpack(archive, partial)
                found = self._in_bin(partial, find_program(partial, program))
                self._accept(partial, found, None, seconds)
                self._put(partial)
            except EngineError as error:
                # The folder is gone when a person reads this.
                raise EngineError(str(error).replace(partial + os.sep, "")) from None
            finally:
                clear(partial)

    def accept_program(self, program, seconds):
        """Record a program that is on the host already. Raises EngineError."""
        with self._locked():
            clear(self.release)
            os.mkdir(self.release, 0o755)
            try:
                self._accept(self.release, program, None, seconds)
            except BaseException:
                clear(self.release)
                raise

    def accept_environment(self, program, distribution, module, seconds):
        """Record a virtual environment that was made in its place, since its scripts name it. Raises EngineError.

        program: path in it. module: what must be importable.
        """
        with self._locked():
            try:
                try_import(os.path.join(self.release, "bin", "python"), module, seconds)
                self._accept(self.release, program, distribution, seconds)
            except BaseException:
                clear(self.release)
                raise

    def _locked(self):
        folder = os.path.dirname(self.release)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        sweep()
        return atomic.locked(os.path.join(folder, ".lock"))

    def _in_bin(self, folder, found):
        """Let the program be found in `bin`, wherever it lies; its libraries stay where it looks for them."""
        place, name = os.path.split(found)
        if place == "bin":
            return found
        target = os.path.join(folder, "bin")
        if os.path.lexists(target):
            raise EngineError("the archive holds both %s and a folder bin" % found)
        os.symlink(place or ".", target)
        return os.path.join("bin", name)

    def _accept(self, folder, program, distribution, seconds):
        """Try the program of `folder` and write the record."""
        path = os.path.join(folder, program)
        if not os.access(path, os.X_OK) or os.path.isdir(path):
            raise EngineError("%s is not there or cannot be executed" % path)
        now = os.stat(path)
        record = {"runtime": self.runtime, "program": program, "distribution": distribution, "size": now.st_size,
                  "mtime_ns": now.st_mtime_ns}
        problem = self.problem(self.identify(record, folder))
        if problem:
            raise EngineError(problem.rstrip("."))
        if not distribution:
            try_server(self.runtime, path, seconds)
        atomic.write(os.path.join(folder, RECORD), (json.dumps(record, indent=2) + "\n").encode())

    def _put(self, partial):
        old = self.release + OLD
        clear(old)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.release, old)
        try:
            os.rename(partial, self.release)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.rename(old, self.release)
            raise
        atomic.sync_folders([self.release])
        clear(old)


def clear(folder):
    """Remove a folder, or what else stands in its place."""
    if os.path.islink(folder) or os.path.isfile(folder):
        os.unlink(folder)
    elif os.path.lexists(folder):
        shutil.rmtree(folder)


def distribution_version(release, name):
    """Return the version of a package in the virtual environment `release` by its metadata. Raises EngineError."""
    metadata = os.path.join(name.replace("-", "_") + "-*.dist-info", "METADATA")
    pattern = os.path.join(glob.escape(release), "lib", "python3*", "site-packages", metadata)
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith("Version:"):
                    return line.split(":", 1)[1].strip()
    raise EngineError("%s has no package %s" % (release, name))
