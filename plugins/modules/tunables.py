#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applies a list of kernel settings in one call, or puts first-seen ones back; the thinking is in module_utils."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tunables
short_description: Applies, persists and undoes a list of kernel settings in one call
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Reads all settings, compares them as the kernel prints them, writes what differs, reads back, and tells for each
    what was, what was wanted and what is.
  - Persists what applies here through what the distribution has. Files named by O(persist_to), each only when needed,
    are in C(/etc/sysctl.d), C(/etc/tmpfiles.d), C(/etc/udev/rules.d) and C(/etc/default/grub.d); to C(/etc/fstab) and
    C(/etc/kernel/cmdline) words are added.
  - Keeps the values and files that it replaces, as they were first seen, and puts them back with O(state=restored).
  - Names the file that sets another value at the next boot.
  - Two runs at once wait for each other. A run that was killed is made right by the next one.
options:
  settings:
    description:
      - The settings, applied in this order; huge pages are given back before others are asked for.
      - A setting of an earlier run that is not in the list any more is not persisted any more, unless it is a file, and
        its live value stays; O(state=restored) puts it back.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the sysctl or of the kernel parameter; of the other kinds any name.
        type: str
        required: true
      value:
        description:
          - The wanted value. Of a file with a choice in brackets, the chosen word; of a CPU mask or list, any spelling.
          - Of V(file) the whole text, of V(mount) options such as V(noatime), of V(swap) the size in MiB, of
            V(kernel_parameter) what stands after C(=), empty for a mere name.
        type: str
        required: true
      kind:
        description:
          - V(sysctl), a key below C(/proc/sys). One that is not there, as of a kernel module that is not loaded, is
            V(not_applicable) and is not persisted.
          - V(sysfs), a file or glob below C(/sys) or C(/proc).
          - V(file), a whole file of configuration, with commands after it.
          - V(mount), options of a mount, by a remount, and then in its line of C(/etc/fstab) if it has one.
          - V(swap), a swap file, in use and in C(/etc/fstab).
          - V(kernel_parameter), words of the kernel command line, by GRUB's C(update-grub) or by systemd-boot's
            C(kernel-install). The module never reboots; see RV(reboot_required).
        type: str
        choices: [sysctl, sysfs, file, mount, swap, kernel_parameter]
        required: true
      path:
        description: File or glob, mount point, or swap file. Left out for V(sysctl) and V(kernel_parameter).
        type: str
      persist:
        description:
          - How the setting outlasts a reboot. By default V(tmpfiles) for O(settings[].kind=sysfs).
          - V(udev) is for C(/sys/block/NAME_OR_GLOB/queue/ATTRIBUTE); it also holds for disks that come later.
          - V(none) changes the running kernel only. V(tmpfiles) and V(udev) are for O(settings[].kind=sysfs).
        type: str
        choices: [tmpfiles, udev, none]
      retry_seconds:
        description:
          - How long a value that the kernel takes in part is written again, with growing pauses. The times of all
            settings run at once. Before each attempt at huge pages the kernel is asked to compact its memory.
        type: int
        default: 0
      after:
        description:
          - Commands, as lists of words, that are run after a change of a file, each once for all files. So they are
            when the setting is no more among O(settings), and its file is taken away, unless another tool changed it.
          - One that has not succeeded, also because the run was killed, is run by the next run. Only for
            O(settings[].kind=file).
        type: list
        elements: list
        default: []
      reboot:
        description:
          - Why a change of the file needs a reboot, as a sentence, such as that a module option counts only when the
            module is loaded. It is in RV(reboot_required) until the next boot. Only for O(settings[].kind=file).
        type: str
      role:
        description: The role that the setting belongs to. Returned as given.
        type: str
      reason:
        description: Why this value. Stands as a comment in the persistent file.
        type: str
      evidence:
        description: How well the value is founded.
        type: str
        choices: [measured, vendor, convention]
      applies:
        description: Whether the setting applies to this host. When false, it is only reported.
        type: bool
        default: true
      why_not:
        description: Why the setting does not apply.
        type: str
  also_read:
    description:
      - Groups of settings of others, as filter P(inference.host.setting_groups#filter) gives them. They are read after
        O(settings) were applied, and never changed.
      - RV(as_planned) tells those of which nothing is to be done, so that their own call can be saved.
    type: list
    elements: dict
    default: []
    suboptions:
      settings:
        description: As O(settings).
        type: list
        elements: dict
        required: true
      persist_to:
        description: As O(persist_to).
        type: str
        required: true
      digest:
        description: What tells the group from others.
        type: str
        required: true
  state:
    description:
      - V(present) applies O(settings).
      - V(restored) puts back the values and files as they were first seen, those that another tool has changed since
        too, and says so. Such a file is first copied to C(replaced) beside the directory O(baseline).
        What is back is dropped from the baseline.
    type: str
    choices: [present, restored]
    default: present
  persist_to:
    description: Name, without ending, of the persistent files and of the baseline. Required with O(state=present).
    type: str
  stems:
    description:
      - What is restored, as names given as O(persist_to) before (or to M(inference.host.files) as C(baseline_name)), or
        V(all). By default O(persist_to).
      - A value or file that another name, which is not restored, has set too is left to that.
    type: list
    elements: str
  baseline:
    description: Directory that keeps what was first seen, in one JSON file for each O(persist_to).
    type: str
    default: /var/lib/inference.host/baseline
  root:
    description: Folder in front of every path, also of O(baseline). Commands are run as they are.
    type: str
    default: /
  fail_on_refused:
    description: Whether the module fails, after all other settings are done, when the system refused one.
    type: bool
    default: true
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
    details:
      - What the kernel refuses or clips shows only when it is written; check mode reports it as V(changed).
      - RV(results[].persisted) tells in check mode what is, so that a check is a verification.
  diff_mode:
    support: full
  platform:
    platforms: linux
"""

EXAMPLES = r"""
- name: Apply the memory settings of the plan
  inference.host.tunables:
    settings: "{{ inference_plan.settings | selectattr('role', 'equalto', 'memory') }}"
    persist_to: 60-inference-memory

- name: Set swappiness, the scheduler of all NVMe disks, and huge pages of one node
  inference.host.tunables:
    persist_to: 60-inference
    settings:
      - name: vm.swappiness
        kind: sysctl
        value: "10"
        reason: keep the engine's own memory in RAM
        evidence: convention
      - name: scheduler
        kind: sysfs
        path: /sys/block/nvme*n*/queue/scheduler
        value: none
        persist: udev
        reason: NVMe queues in hardware
        evidence: convention
      - name: node 0
        kind: sysfs
        path: /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages
        value: "512"
        retry_seconds: 60
      - name: journal
        kind: file
        path: /etc/systemd/journald.conf.d/60-inference.conf
        value: |
          [Journal]
          SystemMaxUse=1G
        after:
          - [systemctl, try-restart, systemd-journald.service]

- name: Show what of it would be lost with a reboot
  inference.host.tunables:
    settings: "{{ inference_plan.settings | selectattr('role', 'equalto', 'memory') }}"
    persist_to: 60-inference-memory
  check_mode: true
  register: __verify
  failed_when: __verify.results | selectattr('persisted', 'equalto', false)

- name: Give the whole host back
  inference.host.tunables:
    state: restored
    stems: [all]
"""

RETURN = r"""
results:
  description:
    - One entry for each file of each setting. A setting that does not apply has one entry.
    - With O(state=restored) one for each kept file and value, of which C(wanted) is what was first seen.
  returned: always, unless an argument is wrong
  type: list
  elements: dict
  contains:
    role:
      description: As given. With O(state=restored) the name under which it was kept.
      type: str
    name:
      description: As given.
      type: str
    kind:
      description: As given.
      type: str
    pattern:
      description: The file or glob of the setting.
      type: str
    path:
      description: The file.
      type: str
    before:
      description:
        - The value before, or null. Of V(file) its lines and the beginning of its SHA-256, of V(mount) all options, of
          V(swap) the MiB in use, V(off) or V(absent), of V(kernel_parameter) what the running kernel was given.
      type: str
    wanted:
      description: The wanted value.
      type: str
    after:
      description: The value now, or in check mode the value that would be; null where there is none.
      type: str
    status:
      description:
        - V(ok), V(changed), V(partial), V(not_applicable) or V(refused). A kernel parameter is V(changed) until the
          running kernel has it.
      type: str
    reason:
      description: As given.
      type: str
    evidence:
      description: As given.
      type: str
    detail:
      description: Why the setting does not apply, what the kernel took instead, or the system's error in words.
      type: str
    persisted:
      description: Whether the next boot sets the wanted value, by the files as they are now; null if not applicable.
      type: bool
    overridden_by:
      description: The file that sets another value at the next boot, or null.
      type: str
summary:
  description: How many results have each status.
  returned: always, unless an argument is wrong
  type: dict
  sample: {changed: 1, not_applicable: 3, ok: 12, partial: 0, refused: 0}
as_planned:
  description: The digests of the groups in O(also_read) that need nothing.
  returned: always, unless an argument is wrong
  type: list
  elements: str
reboot_required:
  description: Sentences that say what on this host waits for a reboot and why, of all roles. Empty when nothing does.
  returned: always, unless an argument is wrong
  type: list
  elements: str
ansible_facts:
  description: The fact C(inference_reboot_required), which is RV(reboot_required).
  returned: when a setting is a kernel parameter or has O(settings[].reboot), or one of an earlier run waited
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    tunables,
    tunables_report,
    tunables_restore,
)
from ansible_collections.inference.host.plugins.module_utils.tunables_host import Host, TunablesError

ARGUMENT_SPEC = {
    "settings": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "value": {"type": "str", "required": True},
            "kind": {
                "type": "str",
                "choices": ["sysctl", "sysfs", "file", "mount", "swap", "kernel_parameter"],
                "required": True,
            },
            "path": {"type": "str"},
            "persist": {"type": "str", "choices": ["tmpfiles", "udev", "none"]},
            "retry_seconds": {"type": "int", "default": 0},
            "after": {"type": "list", "elements": "list", "default": []},
            "reboot": {"type": "str"},
            "role": {"type": "str"},
            "reason": {"type": "str"},
            "evidence": {"type": "str", "choices": ["measured", "vendor", "convention"]},
            "applies": {"type": "bool", "default": True},
            "why_not": {"type": "str"},
        },
    },
    "also_read": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "settings": {"type": "list", "elements": "dict", "required": True},
            "persist_to": {"type": "str", "required": True},
            "digest": {"type": "str", "required": True},
        },
    },
    "state": {"type": "str", "choices": ["present", "restored"], "default": "present"},
    "persist_to": {"type": "str"},
    "stems": {"type": "list", "elements": "str"},
    "baseline": {"type": "str", "default": "/var/lib/inference.host/baseline"},
    "root": {"type": "str", "default": "/"},
    "fail_on_refused": {"type": "bool", "default": True},
}


def main():
    """Carry the arguments to tunables and its answer back."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ("persist_to",)), ("state", "restored", ("persist_to", "stems"), True)],
    )
    try:
        outcome = _present(module) if module.params["state"] == "present" else _restored(module)
    except (TunablesError, baseline.BaselineError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be used: {atomic.words(error)}")
    for sentence in outcome.warnings:
        module.warn(sentence)
    result = {
        "changed": tunables_report.changed(outcome),
        "results": outcome.rows,
        "summary": tunables_report.summary(outcome.rows),
        "as_planned": [group["digest"] for group in module.params["also_read"] if _as_planned(module, group)],
        "reboot_required": outcome.reboot_required or [],
    }
    if outcome.reboot_required is not None:
        result["ansible_facts"] = {"inference_reboot_required": outcome.reboot_required}
    if module._diff:
        result["diff"] = tunables_report.diff(outcome)
    refusal = tunables_report.refusal(outcome.rows)
    if refusal and module.params["fail_on_refused"]:
        module.fail_json(msg=refusal, **result)
    module.exit_json(**result)


def _as_planned(module, group):
    """Tell whether a group of others needs nothing; where it cannot be read its own call will say why."""
    settings, stem = [_complete(setting) for setting in group["settings"]], group["persist_to"]
    host = Host(module.params["root"])
    try:
        tunables.check_settings(settings, stem)
        outcome = tunables.foresee(settings, stem, host, module.params["baseline"])
    except (TunablesError, baseline.BaselineError, OSError):
        return False
    return tunables_report.nothing_to_say(outcome)


def _complete(setting):
    """Return a setting of a group of others with the defaults that Ansible has filled in for the module's own."""
    complete = {name: option.get("default") for name, option in ARGUMENT_SPEC["settings"]["options"].items()}
    complete.update((name, value) for name, value in setting.items() if value is not None)
    return dict(complete, value=str(complete["value"]))


def _present(module):
    settings, stem, host = module.params["settings"], module.params["persist_to"], Host(module.params["root"])
    for setting in settings:
        setting["after"] = [[str(word) for word in argv] for argv in setting["after"] or []]
    tunables.check_settings(settings, stem)
    work = tunables.foresee if module.check_mode else tunables.apply
    return work(settings, stem, host, module.params["baseline"])


def _restored(module):
    stems = module.params["stems"] or [module.params["persist_to"]]
    tunables_restore.check_stems(stems)
    work = tunables_restore.foresee if module.check_mode else tunables_restore.restore
    return work(stems, Host(module.params["root"]), module.params["baseline"])


if __name__ == "__main__":
    main()
