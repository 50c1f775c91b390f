# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What autotune has measured on a host, kept in a file, so that a run that was cut goes on from it."""

from __future__ import annotations

import json
import os

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.bench_state import read_text

VERSION = 1


class Trials:
    """The trials of one service, under the fingerprint of what they hold for.

    `known`: how many were there. Another fingerprint, another version or a file that is none of ours begins anew.
    """

    def __init__(self, path, fingerprint, forget=False):
        self.path = path
        self.content = {"version": VERSION, "fingerprint": fingerprint, "trials": {}, "rounds": {}}
        try:
            kept = json.loads(read_text(path) or "{}")
        except ValueError:
            kept = {}
        if not forget and isinstance(kept, dict) and all(
                kept.get(key) == self.content[key] for key in ("version", "fingerprint")) and all(
                isinstance(kept.get(key), dict) for key in ("trials", "rounds")):
            self.content = kept
        self.known = len(self.content["trials"])

    def get(self, name):
        return self.content["trials"].get(name)

    def put(self, name, trial):
        self.content["trials"][name] = trial
        self.save()

    def forget(self, names):
        for name in names:
            self.content["trials"].pop(name, None)
        self.save()

    def rounds(self, name):
        """Return the list of turns of one comparison, to which more may be added before `save`."""
        return self.content["rounds"].setdefault(name, [])

    def save(self):
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        text = json.dumps(self.content, sort_keys=True, indent=1) + "\n"
        atomic.write(self.path, text.encode(), 0o644)
