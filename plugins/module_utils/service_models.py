# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the user may say of a service's model, and what its file tells of it."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import (
    REQUIRED,
    check_fields,
    integer,
    mapping,
    matching,
    text,
)
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.release import NAME as FILE_NAME
from ansible_collections.inference.host.plugins.module_utils.release import SHA256

MODEL_FIELDS = {
    "name": (REQUIRED, matching(FILE_NAME, "letters, digits, '.', '_' and '-'")),
    "source": (None, text()),
    "sha256": (None, matching(SHA256, "64 hexadecimal digits in lower case")),
    "filename": (None, matching(FILE_NAME, "a file name without folders")),
    "weights_mib": (None, integer(1, 1 << 24)),
    "kv_bytes_per_token": (None, integer(1, 1 << 30)),
    "layers": (None, integer(1, 4096)),
    "header": (None, mapping("the facts that module gguf_info returns")),
}


def check_model(where, service, models):
    """Complete the service's model; `models` collects the first of each name."""
    model = service["model"] = check_fields(where + ".model", service["model"], MODEL_FIELDS)
    first = models.setdefault(model["name"], model)
    if first["sha256"] != model["sha256"]:
        raise PlanError("%s.model.name: '%s' stands for two files with different sha256; give each its own name." % (
            where, model["name"]))


def filled_from_release(model, release):
    """Set the checked model's `header` and `weights_mib` from a result of module model_release, {} where there is none.

    What the user wrote wins.
    """
    size = release.get("size_bytes")
    model["header"] = model["header"] or release.get("facts")
    if model["weights_mib"] is None and not model["header"] and size:
        model["weights_mib"] = -(-size // (1 << 20))
