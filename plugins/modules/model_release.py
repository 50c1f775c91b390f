#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: model_release
author: inference.host contributors (@inference-host)
version_added: 0.1.0
short_description: Put a model file on the host as a release
description:
  - Installs a model file as C(MODELS_DIR/NAME/RELEASE/FILE) with a manifest, and lets C(MODELS_DIR/NAME/current) point
    to that release. The file appears only when it is whole and its checksum is right.
  - Asks the host once when nothing is to be done; the file is not hashed again while its size and time are the
    manifest's.
  - Downloads go on where they were interrupted.
options:
  models_dir:
    description: Folder of all models on the host.
    type: path
    required: true
  name:
    description: Name of the model; letters, digits, C(.), C(_) and C(-).
    type: str
    required: true
  source:
    description:
      - A file on the controller, an C(http) or C(https) URL that the host fetches, or C(file:///path) on the host.
      - Credentials in a URL are not shown and not kept.
    type: str
    required: true
  sha256:
    description: SHA-256 of the file.
    type: str
    required: true
  filename:
    description: Name of the file on the host. Defaults to the last part of O(source).
    type: str
  release:
    description: Name of the release. Defaults to the first 12 digits of O(sha256).
    type: str
  headers:
    description: HTTP headers for a download that needs authorisation.
    type: dict
    default: {}
  preflight:
    description: Only checks that the model can be had and that there is room; changes nothing.
    type: bool
    default: false
  size_bytes:
    description: Size of a file on the controller. Set by the action plugin.
    type: int
  staged:
    description: Path of the transferred file on the host. Set by the action plugin.
    type: path
  time_budget_seconds:
    description: How long one call downloads before it reports progress. Set by the action plugin.
    type: int
    default: 15
attributes:
  check_mode:
    support: full
    description: Says whether the model would be installed.
  diff_mode:
    support: none
    description: The content is not text.
  action:
    support: full
    description: Files on the controller are transferred, downloads are followed.
"""

EXAMPLES = """
- name: Install a model from the controller
  inference.host.model_release:
    models_dir: /var/lib/inference/models
    name: gemma-3-270m
    source: files/gemma-3-270m-q4_k_m.gguf
    sha256: a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
"""

RETURN = """
path:
  description: The file on the host.
  type: str
  returned: success
name:
  description: Name of the model.
  type: str
  returned: success
release:
  description: Name of the release.
  type: str
  returned: success
size_bytes:
  description: Size of the file in bytes; null where it is not known yet.
  type: int
  returned: success
status:
  description: C(present), C(installed), C(would_install), or C(needed) between two calls of the action plugin.
  type: str
  returned: success
received_bytes:
  description: What of a download is there.
  type: int
  returned: status is needed
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.download import ask, download
from ansible_collections.inference.host.plugins.module_utils.release import Release, ReleaseError, secrets


def main():
    module = AnsibleModule(
        argument_spec={
            "models_dir": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "source": {"type": "str", "required": True, "no_log": False},
            "sha256": {"type": "str", "required": True},
            "filename": {"type": "str"},
            "release": {"type": "str"},
            "headers": {"type": "dict", "default": {}, "no_log": True},
            "preflight": {"type": "bool", "default": False},
            "size_bytes": {"type": "int"},
            "staged": {"type": "path"},
            "time_budget_seconds": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    module.no_log_values.update(secrets(module.params["source"]))
    try:
        result = run(module.params, module.check_mode or module.params["preflight"])
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg="model '%s': %s: %s." % (
            module.params["name"], error.filename or module.params["models_dir"], atomic.words(error)))
    if module.params["preflight"]:
        result["changed"] = False
    module.exit_json(**result)


def run(params, only_look):
    release = Release(*(params[key] for key in ("models_dir", "name", "source", "sha256", "filename", "release")))
    result = {"changed": False, "path": release.path, "name": release.name, "release": release.release}
    size = release.installed_size()
    if size is not None and release.is_current():
        return dict(result, status="present", size_bytes=size)
    if only_look:
        return dict(result, changed=True, status="would_install", size_bytes=size or look(release, params))
    os.makedirs(params["models_dir"], mode=0o755, exist_ok=True)
    release.prepare()
    with atomic.locked(os.path.join(release.incoming, "lock")):
        if size is None:
            waiting = fetch(release, params)
            if waiting is not None:
                return dict(result, status="needed", **waiting)
            release.install()
        release.make_current()
    return dict(result, changed=True, status="installed", size_bytes=os.path.getsize(release.path))


def look(release, params):
    """Return the size of what would be installed after a check of its room."""
    url = params["source"]
    if url.startswith("file://"):
        size = os.path.getsize(url[len("file://"):])
    elif "://" in url:
        response, size, _begins = ask(url, params["headers"], 0)
        response.close()
    else:
        size = params["size_bytes"]
    if size is not None:
        release.check_room(size)
    return size


def fetch(release, params):
    """Fill the partial file. Return None when it is whole, else what the action plugin needs to go on."""
    if params["staged"]:
        release.take(params["staged"])
        return None
    url = params["source"]
    if url.startswith("file://"):
        path = url[len("file://"):]
        release.check_room(os.path.getsize(path))
        shutil.copyfile(path, release.partial)
        return None
    if "://" not in url:
        if params["size_bytes"] is not None:
            release.check_room(params["size_bytes"])
        return {"size_bytes": params["size_bytes"], "received_bytes": 0}
    have, size, finished = download(
        url, params["headers"], release.partial, params["time_budget_seconds"], release.check_room)
    return None if finished else {"size_bytes": size, "received_bytes": have}


if __name__ == "__main__":
    main()
