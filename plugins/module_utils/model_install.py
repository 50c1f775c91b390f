# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""All models of a host in one call: what is there, whether the rest has room, and how it comes.

A call that cannot do everything by itself says in `waiting` what the next one needs: a file from the controller, or
time.
"""

from __future__ import annotations

import time

from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.incoming import check_room, locked, sweep_abandoned
from ansible_collections.inference.host.plugins.module_utils.release_store import (
    prune,
    read_unit_files,
    served_releases,
)
from ansible_collections.inference.host.plugins.module_utils.wished_model import about


def check_names(wishes):
    """Raise ReleaseError for a name that two of the wished models have."""
    names = [wish["name"] for wish in wishes]
    for name in names:
        if names.count(name) > 1:
            raise ReleaseError("models has '%s' twice; each model needs a name of its own" % name)


def run(models, params, only_look):
    """Install what is missing of the WishedModels, and return the module's result.

    params: {"models_dir", "switch", "keep", "time_budget_seconds", "sizes": {name: {path: bytes}} of files on the
    controller, "uploader", "uploaded": {"name", "path", "file"} or None, "looked": whether an earlier call has looked}.
    only_look: change nothing, and say what would be done.
    """
    switch = params["switch"]
    todo = [model for model in models if not model.is_right(switch)]
    if todo and not params["looked"]:
        look(todo, only_look, params["models_dir"], params["sizes"])
    if only_look or not todo:
        return _answer([_foretold(model, switch) for model in models])
    if params["uploader"] is None and any(model.on_controller and model.absent() for model in todo):
        return _answer([_foretold(model, switch, "incomplete") for model in models], {"upload": None})
    with locked(params["models_dir"]):
        sweep_abandoned(params["models_dir"], time.time())
        for model in todo:
            model.find()  # another run may have been faster
        waiting = _install(todo, params)
        pruned = [] if waiting else _prune(models, params)
    for model in todo:
        model.find()
    return dict(_answer([_done(model, switch) for model in models], waiting), pruned=pruned)


def look(models, thorough, models_dir, sizes):
    """Check sources, and the room for all of the models together. sizes: as in `run`."""
    for model in models:
        model.look(thorough, sizes.get(model.name) or {})
    coming = [(model, path, size) for model in models for path, size in model.missing_sizes.items() if size]
    if coming:
        needed = sum(size for _model, _path, size in coming)
        already = sum(min(size, model.release.incoming(path).size()) for model, path, size in coming)
        with about(", ".join(dict.fromkeys(model.name for model, _path, _size in coming)), models_dir):
            check_room(models_dir, needed, already)


def _install(models, params):
    """Install the models as far as this call can. Return None, or what the next call needs."""
    uploaded, deadline = params["uploaded"], time.monotonic() + params["time_budget_seconds"]
    waiting = None
    for model in models:
        if uploaded and uploaded["name"] == model.name and uploaded["path"] in model.found.missing:
            model.take_upload(uploaded["path"], uploaded["file"])
        waiting = waiting or _fetch(model, params, deadline)
        if not model.absent():
            model.installed = model.differs(params["switch"])
            model.install(params["switch"])
    return waiting


def _fetch(model, params, deadline):
    """Get what is absent of a model. Return None, or what the next call needs for it."""
    absent = model.absent()
    if not absent:
        return None
    if model.on_controller:
        with about(model.name, params["models_dir"]):
            folder = model.release.incoming(absent[0]).make_upload_folder(params["uploader"])
        return {"upload": {"name": model.name, "path": absent[0], "folder": folder}}
    progress = model.fetch(deadline)
    if progress is None:
        return None
    return {"progress": {"name": model.name, "received_bytes": model.received(), "reason": progress.reason}}


def _prune(models, params):
    """Remove old releases, if this call has installed one that is in use now; return which."""
    if not (params["keep"] and params["switch"] and any(model.installed for model in models)):
        return []
    needed = {(model.name, model.release.release) for model in models}
    return prune(params["models_dir"], params["keep"],
                 needed | served_releases(params["models_dir"], read_unit_files()))


def _foretold(model, switch, status="would_install"):
    if not model.differs(switch):
        return model.result("present")
    return model.result(status, remote=status == "would_install")


def _done(model, switch):
    if model.installed:
        return model.result("installed")
    return model.result("incomplete" if model.differs(switch) else "present")


def _answer(results, waiting=None):
    changed = any(result["changed"] for result in results)
    return {"changed": changed, "results": results, "waiting": waiting, "pruned": []}
