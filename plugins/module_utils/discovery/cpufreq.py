# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""CPU frequency scaling: driver, governors, energy preference and boost."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.cpulist import MAX_ID
from ansible_collections.inference.host.plugins.module_utils.discovery.cpus import CPU_DIR
from ansible_collections.inference.host.plugins.module_utils.sysfs import natural

_MODE_FILES = {"intel_pstate": "intel_pstate/status", "intel_cpufreq": "intel_pstate/status"}
_MODE_FILES.update({name: "amd_pstate/status" for name in ("amd-pstate", "amd-pstate-epp", "amd_pstate")})

# File below the CPU directory, and the value that means boost is on.
_BOOST_FILES = (("intel_pstate/no_turbo", 0), ("cpufreq/boost", 1))


def read_cpufreq(tree, online):
    """Return the answer's "cpufreq": driver, mode, governors, governor, policies, boost and its file.

    "governors" are the choices that every policy has; "driver" and "governor" are None where policies differ.
    Frequencies are kHz: min_khz and max_khz are the hardware's limits, base_khz the guaranteed one.
    """
    policies = _read_policies(tree, online)
    answer = {
        "driver": _common(policies, "driver"),
        "mode": None,
        "governors": sorted(set.intersection(*[set(policy["governors"]) for policy in policies])) if policies else [],
        "governor": _common(policies, "governor"),
        "policies": policies,
        "boost": None,
        "boost_file": None,
    }
    for name, on_value in _BOOST_FILES:
        value = tree.read_int(f"{CPU_DIR}/{name}")
        if value is not None:
            answer["boost"], answer["boost_file"] = value == on_value, f"/{CPU_DIR}/{name}"
            break
    mode_file = _MODE_FILES.get(answer["driver"] or "")
    if mode_file:
        answer["mode"] = tree.read(f"{CPU_DIR}/{mode_file}")
    _add_notes(tree, answer, mode_file)
    return answer


def _add_notes(tree, answer, mode_file):
    policies = answer["policies"]
    if not policies:
        tree.note("cpufreq", "The kernel has no frequency scaling here, as in most virtual machines and containers.")
        return
    for key in ("driver", "governor"):
        if answer[key] is None:
            tree.note("cpufreq." + key, "The policies differ, or one of them cannot be read; see policies.")
    if answer["mode"] is None:
        if mode_file:
            tree.missing("cpufreq.mode", f"{CPU_DIR}/{mode_file}")
        else:
            tree.note("cpufreq.mode", "This driver has no modes.")
    if answer["boost"] is None:
        tree.missing("cpufreq.boost", *[f"{CPU_DIR}/{name}" for name, _on in _BOOST_FILES])
    for key, reason in (("epp", "energy preference"), ("base_khz", "base frequency")):
        if all(policy[key] is None for policy in policies):
            tree.note("cpufreq.policies." + key, f"This driver has no {reason}.")


def _read_policies(tree, online):
    """Return the policies by their first CPU, of `cpufreq/policyN`, or `cpuN/cpufreq` on kernels before 4.3."""
    folders = [
        f"{CPU_DIR}/cpufreq/{name}"
        for name in sorted(tree.names(CPU_DIR + "/cpufreq", r"policy[0-9]{1,5}"), key=natural)
    ]
    if not folders:
        folders = [f"{CPU_DIR}/cpu{cpu}/cpufreq" for cpu in online]
        folders = [folder for folder in folders if tree.exists(folder)]
    policies, placed = [], set()
    for folder in folders:
        cpus = _policy_cpus(tree, folder).intersection(online) - placed
        if cpus:
            placed |= cpus
            policies.append(_read_policy(tree, folder, sorted(cpus)))
    return policies


def _policy_cpus(tree, folder):
    """Return the CPUs of a policy; its own number where no file tells.

    `affected_cpus` has the online ones, `related_cpus` all; both are written 0 1 2 rather than 0-2.
    """
    words = (tree.read(folder + "/affected_cpus") or tree.read(folder + "/related_cpus") or "").split()
    if not words or not all(re.match(r"[0-9]{1,5}\Z", word) for word in words):
        words = re.findall(r"(?:policy|cpu)([0-9]+)", folder)[-1:]
    return {int(word) for word in words if int(word) <= MAX_ID}


def _read_policy(tree, folder, cpus):
    epp_file = folder + "/energy_performance_preference"
    epp = tree.read(epp_file)
    return {
        "cpus": cpus,
        "driver": tree.read(folder + "/scaling_driver"),
        "governor": tree.read(folder + "/scaling_governor"),
        "governors": sorted(set((tree.read(folder + "/scaling_available_governors") or "").split())),
        "min_khz": tree.read_int(folder + "/cpuinfo_min_freq"),
        "max_khz": tree.read_int(folder + "/cpuinfo_max_freq"),
        "base_khz": tree.read_int(folder + "/base_frequency"),
        "epp": epp,
        "epp_choices": sorted(set((tree.read(folder + "/energy_performance_available_preferences") or "").split()))
        if epp
        else [],
    }


def _common(policies, key):
    """Return the value that all policies have, or None."""
    values = {policy[key] for policy in policies}
    return values.pop() if len(values) == 1 else None
