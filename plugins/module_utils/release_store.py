# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The releases that a host has: which there are, which one is current, and which may go."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil

from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_formats import MANIFEST, NAME, NAME_WORDS
from ansible_collections.inference.host.plugins.module_utils.release import (
    CURRENT,
    current_of,
    read_manifest,
    set_current,
)

UNIT_FILES = ("/etc/systemd/system/inference-*", "/etc/systemd/system/inference-*/*",
              "/etc/containers/systemd/inference-*", "/etc/containers/systemd/inference-*/*")
"""Globs of the files that say what is served: units, their drop-ins, and containers."""
GOING = ".going."
"""Begins the name of a release that is being removed; it is none any more."""


def installed_models(models_dir):
    """Return the names of the models below a folder that have releases, sorted."""
    return sorted({path.split(os.sep)[-3] for path in glob.glob(
        os.path.join(glob.escape(models_dir), "*", "*", MANIFEST))})


def installed_releases(models_dir, name):
    """Return the releases of a model, the newest first.

    [{"release", "installed" (time in UTC, "" where it is not known), "current": bool, "source", "opened" (path below
    the release that the engine opens, "" for the folder), "check", "files": {path: SHA-256}, "size_bytes"}]
    """
    model_dir = os.path.join(models_dir, name)
    current, found = current_of(model_dir), []
    for release in sorted(os.listdir(model_dir) if os.path.isdir(model_dir) else ()):
        folder = os.path.join(model_dir, release)
        manifest = read_manifest(folder)
        if not NAME.match(release) or os.path.islink(folder) or not manifest["files"]:
            continue
        found.append({
            "release": release, "installed": manifest.get("installed") or "", "current": release == current,
            "source": manifest.get("source"), "opened": manifest.get("opened") or "", "check": manifest.get("check"),
            "files": {entry["path"]: entry["sha256"] for entry in manifest["files"]},
            "size_bytes": sum(entry["size"] for entry in manifest["files"])})
    return sorted(found, key=lambda one: one["installed"], reverse=True)


def served_releases(models_dir, texts):
    """Return the releases, {(name, release)}, below models_dir that some texts of unit files name."""
    place = re.compile(re.escape(models_dir.rstrip("/")) + r"/([A-Za-z0-9_-][A-Za-z0-9._-]*)/"
                                                           r"([A-Za-z0-9_-][A-Za-z0-9._-]*)")
    return {pair for text in texts for pair in place.findall(text)}


def read_unit_files(patterns=UNIT_FILES):
    """Return the texts of the host's unit files."""
    texts = []
    for path in sorted({path for pattern in patterns for path in glob.glob(pattern)}):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
            texts.append(stream.read())
    return texts


def superfluous(releases, keep, needed):
    """Return the names of the releases that may go, of one model's `installed_releases`.

    The `keep` newest stay, the current one, and those in `needed`.
    """
    stay = {one["release"] for one in releases[:keep]} | set(needed)
    return [one["release"] for one in releases if one["release"] not in stay and not one["current"]]


def prune(models_dir, keep, needed, only_look=False):
    """Remove what may go of all models, and return it as ["NAME/RELEASE"]. Only for who holds the lock.

    needed: {(name, release)} that stay in any case.
    """
    gone = []
    for name in installed_models(models_dir):
        stay = {release for model, release in needed if model == name}
        releases = superfluous(installed_releases(models_dir, name), keep, stay)
        gone += ["%s/%s" % (name, release) for release in releases]
        if not only_look:
            # Of a killed run. First, for a release of that name cannot be taken away while it is there.
            for left in glob.glob(os.path.join(glob.escape(os.path.join(models_dir, name)), GOING + "*")):
                shutil.rmtree(left)
            for release in releases:
                _remove(os.path.join(models_dir, name), release)
    return gone


def _remove(model_dir, release):
    """Take a release away by a rename, so that no half of it is ever one, and remove what it was."""
    going = os.path.join(model_dir, GOING + release)
    os.rename(os.path.join(model_dir, release), going)
    shutil.rmtree(going)


def switch(models_dir, wanted, only_look=False):
    """Let `current` of each model point to a release that is installed; return the names of the models that changed.

    wanted: {name: release}. Raises ReleaseError before anything changes where one is not installed; not for who only
    looks, since an earlier task that was only simulated may install it.
    """
    for name, release in wanted.items():
        if not NAME.match(name):
            raise ReleaseError("current has the model '%s'; a model's name is %s" % (name, NAME_WORDS))
        there = [one["release"] for one in installed_releases(models_dir, name)]
        if release not in there and not only_look:
            error = ReleaseError("release '%s' is not installed; there are %s" % (release, ", ".join(there) or "none"))
            error.model = name
            raise error
    changed = [name for name, release in wanted.items()
               if current_of(os.path.join(models_dir, name)) != release]
    for name in [] if only_look else changed:
        link = os.path.join(models_dir, name, CURRENT)
        if os.path.lexists(link) and not os.path.islink(link):
            raise ReleaseError("%s is no symbolic link; move it away" % link)
        set_current(os.path.join(models_dir, name), wanted[name])
    return changed
