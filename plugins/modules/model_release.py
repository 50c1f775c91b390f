#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts a model file on the host as a release; the thinking is in module_utils/release.py and download.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_release
short_description: Puts a model file on the host as a release
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Installs a model file as C(MODELS_DIR/NAME/RELEASE/FILE) with a C(manifest.json), and lets the symbolic link
    C(MODELS_DIR/NAME/current) point to that release. The file appears only when it is whole and its checksum is right;
    the link is swapped in one step.
  - When nothing is to be done there is one remote call, and of the file no more than its header is read. It is hashed
    again only when its size or modification time is not the manifest's. A file with a wrong content is replaced.
  - Room, names and format are checked before a byte moves.
  - Downloads go on where they were interrupted. A file on the controller is hashed there, and only when the
    host needs it.
  - A run that was killed is simply repeated. Two runs on one host do not get in each other's way.
options:
  models_dir:
    description: Absolute path of the folder of all models on the host. It is made when missing.
    type: path
    required: true
  name:
    description: Name of the model; letters, digits, C(.), C(_) and C(-), no dot in front.
    type: str
    required: true
  source:
    description:
      - A file on the controller (found like that of M(ansible.builtin.copy); C(~) is expanded), an C(http://) or
        C(https://) URL that the host fetches, or C(file:///PATH) for a file that is on the host already.
      - User, password and query of a URL are neither shown nor kept.
      - Proxies and certificate authorities are taken from the task's environment (C(https_proxy), C(SSL_CERT_FILE)).
    type: str
    required: true
  sha256:
    description: SHA-256 of the file in 64 hexadecimal digits.
    type: str
    required: true
  filename:
    description:
      - Name of the file on the host, by default the last part of O(source) without a query.
      - It ends in C(.gguf) or C(.safetensors). Other formats can run code when they are loaded.
    type: str
  release:
    description: Name of the release, by default the first 12 digits of O(sha256). A release never changes its content.
    type: str
  headers:
    description: HTTP headers for a download that needs authorisation. They are taken to no other server by a redirect.
    type: dict
    default: {}
  preflight:
    description:
      - Changes nothing and reports no change, also outside check mode. Checks whether the model is installed, whether
        there is room, and whether the source is there; a file must have the right checksum, a server must answer.
    type: bool
    default: false
  time_budget_seconds:
    description:
      - A download is interrupted after this time to show its progress, where the server can go on in the middle.
      - A connection that was silent for so long is given up. After three such connections in a row the task fails.
    type: int
    default: 20
  size_bytes:
    description: Internal. Size of a file on the controller, set by the action plugin.
    type: int
  uploader:
    description:
      - Internal. User who is to get a folder for the upload, or V("") for the same user, set by the action plugin.
    type: str
  uploaded:
    description: Internal. Path of the transferred file on the host, set by the action plugin.
    type: path
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: The content is not text.
  platform:
    platforms: linux
"""

EXAMPLES = r"""
- name: Install a model from the controller
  inference.host.model_release:
    models_dir: /var/lib/inference/models
    name: gemma-3-270m
    source: ~/models/gemma-3-270m-q4_k_m.gguf
    sha256: a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818

- name: Install a model from a server that asks for a token
  inference.host.model_release:
    models_dir: /var/lib/inference/models
    name: gemma-3-270m
    source: https://models.example.org/gemma-3-270m-q4_k_m.gguf?download=true
    sha256: a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
    headers:
      Authorization: "Bearer {{ vault_model_token }}"
"""

RETURN = r"""
status:
  description: V(present), V(installed) or V(would_install). V(incomplete) only between two calls of the action plugin.
  returned: success
  type: str
  sample: installed
path:
  description: The file as the engine opens it, through C(current).
  returned: success
  type: str
  sample: /var/lib/inference/models/gemma-3-270m/current/gemma-3-270m-q4_k_m.gguf
name:
  description: Name of the model.
  returned: success
  type: str
  sample: gemma-3-270m
release:
  description: Name of the release.
  returned: success
  type: str
  sample: a5fd3b62230a
manifest:
  description: Path of the release's manifest.
  returned: success
  type: str
  sample: /var/lib/inference/models/gemma-3-270m/a5fd3b62230a/manifest.json
size_bytes:
  description: Size of the file in bytes; null when the server of a file that is not there yet does not tell it.
  returned: success
  type: int
  sample: 253000000
needed:
  description: Whether the file still has to come from its source.
  returned: success
  type: bool
  sample: false
facts:
  description:
    - What the header of the GGUF file says, as module M(inference.host.gguf_info) returns it. It is read where the file
      is, on the host or, before it is installed, on the controller.
    - Null, with RV(facts_note), for a file of another format, a part of a split model, a broken header, and a download
      that is still to come.
  returned: success
  type: dict
facts_note:
  description: Why there are no facts; null when there are.
  returned: success
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils import atomic, download
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of_file
from ansible_collections.inference.host.plugins.module_utils.release import (
    Release,
    ReleaseError,
    check_content,
    host_path,
    redact,
    scheme,
)

ARGUMENT_SPEC = {
    "models_dir": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    # no_log keeps it out of the system's log; what is secret of it in the result is set by _hide.
    "source": {"type": "str", "required": True, "no_log": True},
    "sha256": {"type": "str", "required": True},
    "filename": {"type": "str"},
    "release": {"type": "str"},
    "headers": {"type": "dict", "default": {}, "no_log": True},
    "preflight": {"type": "bool", "default": False},
    "time_budget_seconds": {"type": "int", "default": 20},
    "size_bytes": {"type": "int"},
    "uploader": {"type": "str"},
    "uploaded": {"type": "path"},
}

SECRET_LENGTH = 8
"""Shorter secrets are not masked in the result: they would mask ordinary words. No message is made with them."""


def main():
    """Carry the arguments to the release and its answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o022)
    params = module.params
    params["headers"] = params["headers"] or {}
    invocation = _hide(module)
    try:
        result = _run(params, module.check_mode or params["preflight"])
    except ReleaseError as error:
        module.fail_json(msg="model '%s': %s." % (params["name"], error), invocation=invocation)
    except OSError as error:
        says = "%s cannot be used: %s" % (error.filename or params["models_dir"], atomic.words(error))
        module.fail_json(msg="model '%s': %s." % (params["name"], says), invocation=invocation)
    if params["preflight"]:
        result["changed"] = False
    module.exit_json(invocation=invocation, **result)


def _hide(module):
    """Mask what is secret in everything that the module returns, and return the arguments as they may be shown."""
    params = module.params
    # A source without secrets may be shown: a message that names it would be of no use else.
    module.no_log_values.discard(params["source"])
    if scheme(params["source"]):
        module.no_log_values.update(download.secrets_of(params["source"]))
    module.no_log_values = {value for value in module.no_log_values if len(value) >= SECRET_LENGTH}
    headers = dict.fromkeys(params["headers"], "(not shown)")
    return {"module_args": dict(params, source=redact(params["source"]), headers=headers)}


def _run(params, only_look):
    release = Release(*(params[key] for key in ("models_dir", "name", "source", "sha256", "filename", "release")))
    result = {
        "changed": False,
        "status": "present",
        "path": os.path.join(release.current, release.filename),
        "name": release.name,
        "release": release.release,
        "manifest": release.manifest,
        "needed": False,
        "facts": None,
        "facts_note": "the file is not on the host yet.",
    }
    found = release.find()
    changed = not (found and release.is_current())
    if found and found.recorded and not changed:
        return dict(result, size_bytes=found.size, **facts_of_file(release.path))
    if only_look:
        size = found.size if found else _look(release, params)
        status = "would_install" if changed else "present"
        result.update(changed=changed, status=status, needed=not found, size_bytes=size)
        place = release.path if found else _place_on_host(params["source"])
        return dict(result, **facts_of_file(place)) if place else result
    if not found and _is_asked_only(params):
        return dict(result, status="incomplete", needed=True, size_bytes=_look(release, params))
    with release.locked():
        found = found or release.find()  # another run may have been faster
        changed = not (found and release.is_current())
        if not found:
            waiting = _install(release, params)
            if waiting:
                return dict(result, status="incomplete", needed=True, **waiting)
        if not (found and found.recorded):
            release.record()
        if not release.is_current():
            release.make_current()
    status = "installed" if changed else "present"
    size = os.path.getsize(release.path)
    return dict(result, changed=changed, status=status, size_bytes=size, **facts_of_file(release.path))


def _place_on_host(source):
    """Return the path of a source that is on the host already, or None."""
    return host_path(source) if scheme(source) == "file" else None


def _is_asked_only(params):
    """Return whether the file is on the controller, which did not send it yet and did not ask to."""
    return not scheme(params["source"]) and params["uploader"] is None and params["uploaded"] is None


def _look(release, params):
    """Return the size of what would be installed, or None, after all checks that change nothing."""
    source, kind, already = params["source"], scheme(params["source"]), 0
    if kind == "file":
        size = os.path.getsize(host_path(source))
    elif kind:
        size = download.probe(source, params["headers"], release.filename)
        already = release.partial_size()
    else:
        size = params["size_bytes"]
    if size is not None:
        release.check_room(size, min(already, size))
    if kind == "file":
        check_content(host_path(source), release.filename, release.sha256, host_path(source))
    return size


def _install(release, params):
    """Make the file the release's. Return None, or what the action plugin needs in order to call again."""
    try:
        waiting = _fetch(release, params)
        if not waiting:
            release.install()
    except OSError:
        release.drop_partial()
        raise
    finally:
        if params["uploaded"]:
            release.drop_upload(params["uploaded"])
    return waiting


def _fetch(release, params):
    """Fill the partial file. Return None when it is whole, else what the action plugin needs in order to call again."""
    source, kind = params["source"], scheme(params["source"])
    if params["uploaded"]:
        release.take_upload(params["uploaded"])
        return None
    if kind == "file":
        release.take_copy(host_path(source))
        return None
    if not kind:
        return {"upload_folder": release.make_upload_folder(params["uploader"]), "size_bytes": params["size_bytes"]}
    progress = download.download(source, params["headers"], release, params["time_budget_seconds"])
    return None if progress.finished else progress._asdict()


if __name__ == "__main__":
    main()
