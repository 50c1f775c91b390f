# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Warnings of the plan: what was done as the user wished, and why it is likely not to serve them."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.hugepages import pages_of_services
from ansible_collections.inference.host.plugins.module_utils.model_memory import memory_gaps

WHISPER_THREADS = 16
"""whisper.cpp slows down beyond about so many: 80 threads took twice the time of 13 to 16 (whisper.cpp #200)."""


def service_warnings(services, threads):
    """Return sentences on services. threads: {service name: (threads of each instance, reason)}."""
    warnings = []
    for service in services:
        name, count = service["name"], threads[service["name"]][0]
        if service["runtime"] != "command":
            warnings += ["%s: %s" % (name, gap) for gap in memory_gaps(service["model"])]
        if service["runtime"] == "whisper" and count > WHISPER_THREADS:
            warnings.append("%s has %d threads an instance; whisper gets slower beyond about %d: several instances of "
                            "4 to 8 threads each serve more." % (name, count, WHISPER_THREADS))
        if service["scheduling"] and service["scheduling"]["policy"] in ("fifo", "rr"):
            warnings.append("%s: scheduling is %s: what computes all the time then leaves its CPUs to nobody, not "
                            "even to the kernel's own threads there." % (name, service["scheduling"]["policy"]))
        if service["runtime"] == "llama_cpp" and service["hugepages_mib"]:
            warnings.append("%s: hugepages_mib is %d; llama.cpp maps its weights from a file and does not use reserved "
                            "huge pages." % (name, service["hugepages_mib"]))
    return warnings


def policy_warnings(policy, services, counts, settings, kept_cpus):
    """Return sentences on the policy and the kernel settings that the user chose."""
    wishes, warnings = policy["settings"], []
    beyond = (wishes.get("hugepages_count") or 0) - pages_of_services(services, counts)
    if beyond > 0:
        warnings.append("hugepages_count is %d: no planned service uses %d of these reserved huge pages, so this "
                        "memory is only taken away." % (wishes["hugepages_count"], beyond))
    if wishes.get("hugepages_gigantic_count"):
        warnings.append("hugepages_gigantic_count is %d: no planned service uses reserved huge pages of 1 GiB, so this "
                        "memory is only taken away." % wishes["hugepages_gigantic_count"])
    if wishes.get("hugepages_transparent") == "always":
        warnings.append("hugepages_transparent is always: a model that is paged in gets slower by it; programs that "
                        "gain from huge pages ask for them under madvise.")
    if wishes.get("memory_overcommit") == 1:
        warnings.append("memory_overcommit is 1: the kernel then promises memory that it does not have; it serves "
                        "sparse arrays, not engines.")
    if "memory_overcommit_ratio" in wishes and wishes.get("memory_overcommit") != 2:
        warnings.append("memory_overcommit_ratio is %d: it counts only where memory_overcommit is 2."
                        % wishes["memory_overcommit_ratio"])
    if policy["workers"] and policy["workers"] > max(1, len(kept_cpus)):
        warnings.append("nginx_workers is %d: %d housekeeping CPUs are kept for them, so they take CPU time from the "
                        "engines." % (policy["workers"], len(kept_cpus)))
    for setting in settings:
        if setting["name"] == "governor" and "cpu_governor" in wishes and not setting["applies"]:
            warnings.append("cpu_governor is %s and is not set: %s." % (setting["value"], setting["why_not"]))
    return warnings
