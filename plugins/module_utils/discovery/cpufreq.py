# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""CPU frequency scaling: driver, governors, energy preference and boost."""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils.cpulist import MAX_ID
from ansible_collections.inference.host.plugins.module_utils.discovery.cpus import CPU_DIR
from ansible_collections.inference.host.plugins.module_utils.sysfs import natural

# Keys of a policy and the files that tell them.
_FILES = {
    "driver": "scaling_driver",
    "governor": "scaling_governor",
    "governors": "scaling_available_governors",
    "min_khz": "cpuinfo_min_freq",
    "max_khz": "cpuinfo_max_freq",
    "base_khz": "base_frequency",
    "epp": "energy_performance_preference",
    "epp_choices": "energy_performance_available_preferences",
}
_LISTS = ("governors", "epp_choices")

_MODE_FILES = {"intel_pstate": "intel_pstate/status", "intel_cpufreq": "intel_pstate/status"}
_MODE_FILES.update({name: "amd_pstate/status" for name in ("amd-pstate", "amd-pstate-epp", "amd_pstate")})

# File below the CPU directory, and the value that means boost is on.
_BOOST_FILES = (("intel_pstate/no_turbo", 0), ("cpufreq/boost", 1))


def read_cpufreq(tree, online):
    """Return the answer's "cpufreq": driver, mode, governors, governor, policies, boost and its file.

    "governors" are the choices that every policy has; "driver" and "governor" are None where policies differ.
    Frequencies are kHz: min_khz and max_khz are the hardware's limits, base_khz the guaranteed one.
    """
    placed = _read_policies(tree, online)
    policies = [policy for _folder, policy in placed]
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
        if value in (0, 1):
            answer["boost"], answer["boost_file"] = value == on_value, f"/{CPU_DIR}/{name}"
            break
    mode_file = _MODE_FILES.get(answer["driver"] or "")
    if mode_file:
        answer["mode"] = tree.read_text(f"{CPU_DIR}/{mode_file}")
    if policies:
        _add_notes(tree, answer, mode_file)
        for key in _FILES:
            _note_lacking(tree, placed, key)
    else:
        tree.note("cpufreq", "The kernel has no frequency scaling here, as in most virtual machines and containers.")
    return answer


def _add_notes(tree, answer, mode_file):
    for key in ("driver", "governor", "governors"):
        if not answer[key]:
            tree.note("cpufreq." + key, "The policies differ, or one of them cannot be read; see policies.")
    if answer["mode"] is None:
        if mode_file:
            tree.missing("cpufreq.mode", f"{CPU_DIR}/{mode_file}")
        elif answer["driver"]:
            tree.note("cpufreq.mode", "This driver has no modes.")
        else:
            tree.note("cpufreq.mode", "Not known without the driver.")
    for key in ("boost", "boost_file"):
        if answer[key] is None:
            tree.missing("cpufreq." + key, *[f"{CPU_DIR}/{name}" for name, _on in _BOOST_FILES])


def _note_lacking(tree, placed, key):
    """Note each policy that does not tell `key`; one note for all where no policy has the file."""
    lacking = [(policy["cpus"][0], f"{folder}/{_FILES[key]}") for folder, policy in placed if policy[key] in (None, [])]
    if len(lacking) == len(placed) and all(tree.absent(path) for _cpu, path in lacking):
        tree.note("cpufreq.policies." + key, f"This driver has no {_FILES[key]}.")
        return
    for cpu, path in lacking:
        tree.missing(f"cpufreq.policies.{cpu}.{key}", path)


def _read_policies(tree, online):
    """Return [(folder, policy)] by first CPU, of `cpufreq/policyN`, or `cpuN/cpufreq` on kernels before 4.3."""
    folders = [
        f"{CPU_DIR}/cpufreq/{name}"
        for name in sorted(tree.names(CPU_DIR + "/cpufreq", r"policy[0-9]{1,5}"), key=natural)
    ]
    if not folders:
        folders = [f"{CPU_DIR}/cpu{cpu}/cpufreq" for cpu in online]
        folders = [folder for folder in folders if tree.exists(folder)]
    placed, taken, guessed = [], set(), []
    for folder in folders:
        told = _policy_cpus(tree, folder)
        cpus = (told or _own_number(folder)).intersection(online) - taken
        if cpus:
            taken |= cpus
            placed.append((folder, _read_policy(tree, folder, sorted(cpus))))
            guessed += [] if told else [folder]
    if guessed:
        tree.note(
            "cpufreq.policies",
            f"Neither affected_cpus nor related_cpus tells the CPUs of {len(guessed)} policies, "
            f"/{guessed[0]} the first; only the CPU that it is named by counts.",
        )
    return placed


def _policy_cpus(tree, folder):
    """Return the CPUs that the policy's files name, or an empty set.

    `affected_cpus` has the online ones, `related_cpus` all; both are written 0 1 2 rather than 0-2.
    """
    for name in ("affected_cpus", "related_cpus"):
        words = (tree.read(f"{folder}/{name}") or "").split()
        if words and all(re.match(r"[0-9]{1,5}\Z", word) for word in words):
            return {int(word) for word in words if int(word) <= MAX_ID}
    return set()


def _own_number(folder):
    return {int(number) for number in re.findall(r"(?:policy|cpu)([0-9]+)", folder)[-1:]}


def _read_policy(tree, folder, cpus):
    policy = {"cpus": cpus}
    for key, name in _FILES.items():
        path = f"{folder}/{name}"
        if key in _LISTS:
            policy[key] = sorted(set((tree.read(path) or "").split()))
        else:
            policy[key] = tree.read_int(path) if key.endswith("_khz") else tree.read_text(path)
    return policy


def _common(policies, key):
    """Return the value that all policies have, or None."""
    values = {policy[key] for policy in policies}
    return values.pop() if len(values) == 1 else None
