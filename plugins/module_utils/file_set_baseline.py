# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps what a set of files replaces in the baseline of first-seen files, so that module tunables can put it back."""

from __future__ import annotations

import contextlib
import copy
import os

from ansible_collections.inference.host.plugins.module_utils import baseline


@contextlib.contextmanager
def first_seen(plan, folder, name, after=()):
    """Keep, before the body carries out a Plan of file_set.py, what is at its paths; when the body fails, forget it.

    folder: directory of the baseline, None for none; name: the stem; after: commands for when the files are put back.
    """
    if folder is None or not any(plan):
        yield
        return
    with baseline.locked(folder):
        state, other = baseline.load(folder, name), baseline.others(folder, [name])
        known = copy.deepcopy(state)
        for change in plan.directories + plan.folders:
            baseline.note_folder(state, change.path, change.after.kind, other)
        for change in plan.files:
            data = None if change.after.kind == "absent" else change.after.data
            baseline.note(state, "", change.path, data, other, after, sensitive=change.sensitive)
        baseline.save(folder, name, state)
        try:
            yield
        except BaseException:
            baseline.save(folder, name, known)
            raise
        baseline.forget_unchanged(state, "", [change.path for changes in plan for change in changes])
        state["folders"] = [path for path in state["folders"] if os.path.isdir(path)]
        baseline.save(folder, name, state)
