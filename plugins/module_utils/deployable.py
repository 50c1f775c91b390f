# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be planned but not deployed: an engine that would have no model."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.service_runtimes import MODEL_OPTIONS, has_file

NEED_A_MODEL = ("llama_cpp", "vllm", "whisper")
"""Runtimes whose program serves a model's file. What a command or a container serves is its own affair."""


def undeployable(services):
    """Return why the roles after the plan cannot deploy these services, as one sentence; "" where they can.

    services: as filter `services` returns them, with every key.
    """
    wrong = ["%s (%s)" % (service["name"], obstacle) for service, obstacle in
             ((service, _obstacle(service)) for service in services) if obstacle]
    if not wrong:
        return ""
    return ("inference_services has what can be planned but not deployed: %s; give what is missing, or use "
            "playbooks/plan.yml, which only plans." % "; ".join(wrong))


def _obstacle(service):
    """A model without the half of source and checksum, and one without both where the runtime needs a file."""
    model = service["model"]
    if has_file(model):
        return ""
    begun = model["source"] or model["sha256"] or model.get("files")
    if not begun and (service["runtime"] not in NEED_A_MODEL or _names_its_own(service)):
        return ""
    lacking = [] if model["source"] else ["source"]
    if not model["sha256"] and not model.get("files"):
        lacking.append("sha256")
    return "model without %s" % " and ".join(lacking)


def _names_its_own(service):
    """whisper's model may be one that is on the host already, in a format that has no release; a Python package's
    server has a command line of its own."""
    words = [word.split("=")[0] for word in service["arguments"]]
    own = set(MODEL_OPTIONS) & set(words) or any("{port}" in word for word in words)
    return service["runtime"] == "whisper" and bool(own)
