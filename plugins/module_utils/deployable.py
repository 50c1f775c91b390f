# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be planned but not deployed yet."""

from __future__ import annotations


def undeployable(services):
    """Return why the roles after the plan cannot deploy these services, as one sentence; "" where they can.

    services: as filter `services` returns them, with every key.
    """
    wrong = ["%s (%s)" % (service["name"], ", ".join(_obstacles(service)))
             for service in services if _obstacles(service)]
    if not wrong:
        return ""
    return ("inference_services has what can be planned but not deployed yet: %s; leave it out, or use "
            "playbooks/plan.yml, which only plans." % "; ".join(wrong))


def _obstacles(service):
    model, found = service["model"], []
    if service["runtime"] != "llama_cpp":
        found.append("runtime %s" % service["runtime"])
    if service["gpus"]:
        found.append("gpus %d" % service["gpus"])
    lacking = [key for key in ("source", "sha256") if not model[key]]
    if lacking:
        found.append("model without %s" % " and ".join(lacking))
    return found
