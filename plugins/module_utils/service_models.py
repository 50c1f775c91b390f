# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the user may say of a service's model, and what its files tell of it."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    check_fields,
    integer,
    kind,
    mapping,
    matching,
    one_line,
    suggestion,
    text,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError, ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_formats import (
    NAME,
    SHA256,
    check_files,
    check_shards,
)
from ansible_collections.inference.host.plugins.module_utils.model_sources import check_source, last_part
from ansible_collections.inference.host.plugins.module_utils.release import default_release


def path_text(value):
    """A path below a release; which ones are allowed depends on whether the model has `files`."""
    return one_line(value) and value != ""


MODEL_FIELDS = {
    "name": (REQUIRED, matching(NAME, "letters, digits, '.', '_' and '-'")),
    "source": (None, text()),
    "sha256": (None, matching(SHA256, "64 hexadecimal digits in lower case")),
    "files": (None, mapping("a mapping of paths below source to their SHA-256")),
    "filename": (None, (path_text, "a file name without folders, or one of the paths in files")),
    "check": (None, mapping("a mapping with prompt, expect and max_tokens")),
    "weights_mib": (None, integer(1, 1 << 24)),
    "kv_bytes_per_token": (None, integer(1, 1 << 30)),
    "layers": (None, integer(1, 4096)),
    "header": (None, mapping("the facts that module gguf_info returns")),
}

CHECK_FIELDS = {
    "prompt": (REQUIRED, text()),
    "expect": (None, text()),
    "max_tokens": (16, integer(1, 4096)),
}
"""One real completion that a new release must give; `expect` is a text in it, null is satisfied by any."""


def check_model(where, service, models):
    """Complete the service's model; `models` collects the first of each name."""
    where += ".model"
    model = service["model"] = check_fields(where, service["model"], MODEL_FIELDS)
    if model["check"] is not None:
        model["check"] = check_fields(where + ".check", model["check"], CHECK_FIELDS)
    check_model_files(where, model)
    first = models.setdefault(model["name"], model)
    for key, words in (("sha256", "two files with different sha256"), ("files", "two lists of files"),
                       ("check", "two checks")):
        if first[key] != model[key]:
            raise PlanError("%s.name: '%s' stands for %s; give each its own name." % (where, model["name"], words))


def check_model_files(where, model):
    """Raise PlanError for a source, files or a name of a file that module model_release would refuse."""
    files, filename = model["files"], model["filename"]
    if files is None and filename is not None and not NAME.match(filename):
        raise PlanError("%s.filename is %s; it must be a file name without folders." % (where, kind(filename)))
    if files is not None and model["sha256"]:
        raise PlanError("%s has sha256 and files; files has the SHA-256 of each file, leave sha256 out." % where)
    if files is not None and not all(isinstance(value, str) for pair in files.items() for value in pair):
        raise PlanError("%s.files is not what it must be, a mapping of paths below source to their SHA-256." % where)
    try:
        if model["source"]:
            check_source(model["source"])
        if files is not None:
            check_files(files, filename)
        elif model["source"] and model["sha256"]:
            check_shards([filename or last_part(model["source"])])
    except ReleaseError as error:
        raise PlanError("%s: %s." % (where, error)) from None


def filled_from_release(model, release):
    """Set the checked model's `header` and `weights_mib` from a result of module model_release, {} where there is none.

    What the user wrote wins.
    """
    size = release.get("size_bytes")
    model["header"] = model["header"] or release.get("facts")
    if model["weights_mib"] is None and not model["header"] and size:
        model["weights_mib"] = -(-size // (1 << 20))


def model_wishes(services, headers=None):
    """Return the models of checked services as module model_release wants them, each once and in order.

    headers: {model name: {header: value}}. A model without a source and a checksum can only be planned with, and is
    left out. Raises PlanError for headers of a model that is not there.
    """
    wishes = {}
    for service in services:
        model = service["model"]
        if model["source"] and (model["sha256"] or model["files"]):
            keys = ("name", "source", "sha256", "files", "filename", "check")
            wish = {key: model[key] for key in keys if model[key] is not None}
            wishes.setdefault(model["name"], dict(wish, release=default_release(model["sha256"], model["files"])))
    names = {service["model"]["name"] for service in services}
    for name, values in (headers or {}).items():
        if name not in names:
            raise PlanError("model_headers has headers for %s, which is no model; %s" % (
                kind(name), suggestion(name, sorted(names))))
        if not isinstance(values, dict):
            raise PlanError("model_headers.%s is %s; it must be a mapping of header names to values." % (
                name, "a text" if isinstance(values, str) else kind(values)))
        if name in wishes:
            wishes[name]["headers"] = values
    return list(wishes.values())
