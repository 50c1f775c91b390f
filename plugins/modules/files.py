#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a set of files as one transaction; the thinking is in module_utils/file_set.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: files
short_description: Writes a set of files as a whole or not at all
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Writes any number of files that belong together in one remote call, removes the stale ones, and checks the result
    with a command. When a write or the command fails, every file is put back as it was.
  - A run that was killed half way is undone by the next run of the same set, which then starts afresh.
  - Symbolic links are never written through. A symbolic link at the place of a file is refused.
options:
  files:
    description: The files of the set.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. Its folder must exist or be named in O(directories).
        type: str
        required: true
      content:
        description: The whole content. Mostly a template lookup.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0644"
      owner:
        description: User that the file shall belong to. When left out, an existing file keeps its owner.
        type: str
      group:
        description: Group that the file shall belong to. When left out, an existing file keeps its group.
        type: str
      sensitive:
        description: Keeps the content out of the diff, the messages and the result.
        type: bool
        default: false
  absent:
    description:
      - Absolute globs of files that belong to this set. Those that match and are not in O(files) are removed.
        Folders that match stay.
      - The folder of a removed file is removed too when it is left empty, is not named in O(directories), and is a
        unit's drop-in folder (such as C(x.service.d)) or is named by a glob with a wildcard in its folder part.
    type: list
    elements: str
    default: []
  directories:
    description: Directories that are made, or corrected, before the files. Missing parents are made with mode C(0755).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0755"
      owner:
        description: User that the directory shall belong to.
        type: str
      group:
        description: Group that the directory shall belong to.
        type: str
  validate:
    description:
      - Command that is run, as a list of words and without a shell, after the files are in their places and only if
        something changed. If its exit status is not 0, everything is put back and the module fails with its last lines.
      - It is not run in check mode.
    type: list
    elements: str
    default: []
  baseline_after:
    description: Commands, as lists of words, that are run after the files were put back.
    type: list
    elements: list
    default: []
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes
  - inference.host.baseline
"""

EXAMPLES = r"""
- name: Write the reverse proxy's configuration
  inference.host.files:
    files:
      - path: /etc/nginx/conf.d/inference.conf
        content: "{{ lookup('ansible.builtin.template', 'inference.conf.j2') }}"
      - path: /etc/nginx/inference-keys.map
        content: "{{ lookup('ansible.builtin.template', 'keys.map.j2') }}"
        mode: "0640"
        group: www-data
        sensitive: true
    absent:
      - /etc/nginx/conf.d/inference-*.conf
    validate: [nginx, -t]
    baseline: /var/lib/inference.host/baseline
    baseline_name: 60-inference-nginx
    baseline_after:
      - [systemctl, try-reload-or-restart, nginx.service]
  notify: Reload nginx

- name: Write the units
  inference.host.files:
    directories:
      - path: /etc/inference
        mode: "0750"
    files: "{{ __service_files }}"
    absent:
      - /etc/systemd/system/inference-*.service
      - /etc/systemd/system/inference-*.service.d/*.conf
    validate: [systemd-analyze, verify, /etc/systemd/system/inference-chat.service]
"""

RETURN = r"""
changed_paths:
  description: Directories made or corrected, files written or removed, and folders removed, in the order of the work.
  returned: success
  type: list
  elements: str
  sample: [/etc/nginx/conf.d/inference.conf]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import (
    atomic,
    baseline,
    file_diff,
    file_set,
    file_set_baseline,
    stop_signals,
)

ATTRIBUTES = {"path": {"type": "str", "required": True}, "owner": {"type": "str"}, "group": {"type": "str"}}

ARGUMENT_SPEC = {
    # no_log keeps the contents out of the system's log. What is secret in the result is set by _secrets.
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": True,
        "options": dict(
            ATTRIBUTES,
            content={"type": "str", "required": True},
            mode={"type": "str", "default": "0644"},
            sensitive={"type": "bool", "default": False},
        ),
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": dict(ATTRIBUTES, mode={"type": "str", "default": "0755"}),
    },
    "validate": {"type": "list", "elements": "str", "default": []},
    "baseline": {"type": "path"},
    "baseline_name": {"type": "str"},
    "baseline_after": {"type": "list", "elements": "list", "default": []},
}

SECRET_LENGTH = 8
"""Lines of sensitive files that are shorter are not masked in messages: they would mask ordinary words."""


def main():
    """Carry the arguments to file_set and its answer back."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
        required_together=[("baseline", "baseline_name")],
    )
    files, absent, directories = (module.params[name] for name in ("files", "absent", "directories"))
    module.no_log_values = _secrets(files)
    stop_signals.raise_as(file_set.FileSetError)
    try:
        plan = _work(module, files, absent, directories)
    except (file_set.FileSetError, baseline.BaselineError) as error:
        module.fail_json(msg=str(error), invocation=_invocation(module.params))
    except OSError as error:
        says = f"{error.filename} cannot be used: {atomic.words(error)}"
        module.fail_json(msg=says, invocation=_invocation(module.params))
    paths = file_set.changed_paths(plan)
    result = {"changed": bool(paths), "changed_paths": paths, "invocation": _invocation(module.params)}
    if module._diff:
        result["diff"] = file_diff.diff(plan)
    module.exit_json(**result)


def _work(module, files, absent, directories):
    """Return the plan, carried out unless this is check mode."""
    folder, name = module.params["baseline"], module.params["baseline_name"]
    after = [[str(word) for word in argv] for argv in module.params["baseline_after"]]
    if folder is not None:
        baseline.check_stem("baseline_name", name or "")
    if module.check_mode:
        return file_set.make_plan(files, absent, directories, check_mode=True)
    file_set.check_arguments(files, absent, directories)
    with atomic.locked(file_set.lock_path()):
        for path in file_set.recover(files, absent):
            module.warn(f"An earlier run was cut off; {path} was put back first.")
        plan = file_set.make_plan(files, absent, directories)
        with file_set_baseline.first_seen(plan, folder, name, after):
            file_set.apply(plan, module.params["validate"])
    return plan


def _secrets(files):
    """Return the strings that must not be in the result: sensitive contents and their longer lines."""
    secrets = set()
    for item in files:
        if item["sensitive"]:
            lines = [line.strip() for line in item["content"].splitlines()]
            secrets.update(text for text in [item["content"]] + lines if len(text) >= SECRET_LENGTH)
    return secrets


def _invocation(params):
    """Return the arguments for the result without the contents, which the controller knows already."""
    files = [dict(item, content="({} characters)".format(len(item["content"]))) for item in params["files"]]
    return {"module_args": dict(params, files=files)}


if __name__ == "__main__":
    main()
