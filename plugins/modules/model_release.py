#!/usr/bin/python
# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts models on the host as releases; the thinking is in module_utils/model_install.py and what it imports."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: model_release
short_description: Puts models on the host as releases
version_added: 0.1.0
author:
  - inference.host contributors (@inference-host)
description:
  - Installs each model as C(MODELS_DIR/NAME/RELEASE/FILE...) with a C(manifest.json), and lets the symbolic link
    C(MODELS_DIR/NAME/current) point to that release. A release appears only when all its files are whole and their
    checksums are right; the link is swapped in one step.
  - When nothing is to be done there is one remote call for all models, and of the files no more than GGUF headers are
    read. A file is hashed again only when its size or modification time is not the manifest's. A file with a wrong
    content is replaced.
  - Names and formats, and the room for all models together, are checked before a byte moves.
  - Downloads go on where they were interrupted, each file on its own. A file on the controller is hashed there, and
    only when the host needs it.
  - A run that was killed is simply repeated. Two runs on one host do not get in each other's way.
options:
  models_dir:
    description: Absolute path of the folder of all models on the host. It is made when missing.
    type: path
    required: true
  models:
    description: The models wanted.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the model; letters, digits, C(.), C(_) and C(-), no dot in front.
        type: str
        required: true
      source:
        description:
          - A file on the controller (found like that of M(ansible.builtin.copy); C(~) is expanded), or C(file:///PATH)
            for a file that is on the host already.
          - An C(http://) or C(https://) URL that the host fetches.
          - C(hf://OWNER/REPO@COMMIT/FILE), a file of a Hugging Face repository at a commit (40 hexadecimal digits).
          - C(s3://BUCKET/KEY), an object of an S3-compatible store.
          - C(oci://REGISTRY/REPOSITORY), a layer of an OCI artifact. The file's SHA-256 is the layer's digest.
          - With O(models[].files) it is the folder or prefix that they are in.
          - User, password and query of a URL are neither shown nor kept.
          - Proxies and certificate authorities are taken from the task's environment (C(https_proxy),
            C(SSL_CERT_FILE)).
        type: str
        required: true
      sha256:
        description: SHA-256 of a model of one file, in 64 hexadecimal digits.
        type: str
      files:
        description: >-
          SHA-256 of each file of a model of several, by its path below O(models[].source). The parts of a split GGUF
          model, or safetensors with their configuration and tokenizer.
        type: dict
      filename:
        description:
          - Name of the one file on the host, by default the last part of O(models[].source) without a query.
          - With O(models[].files) the one that the engine opens, where that is in doubt.
          - Weights end in C(.gguf), C(.safetensors) or C(.ggml), which is whisper.cpp's format. Beside them there may
            be C(.json), C(.jinja), C(.txt), C(.md), C(.tiktoken) and C(.model) (SentencePiece). Other formats can run
            code when they are loaded.
        type: str
      release:
        description:
          - Name of the release, by default the first 12 digits of O(models[].sha256), or of the SHA-256 of the sorted
            list of O(models[].files). A release never changes its content.
        type: str
      headers:
        description: >-
          HTTP headers for a download that needs authorisation. They are taken to no other server by a redirect, and to
          no mirror.
        type: dict
        default: {}
      check:
        description: What a completion must contain, kept in the manifest as it is.
        type: dict
  hf_endpoint:
    description: Server of the Hugging Face repositories, or one with the same paths.
    type: str
    default: https://huggingface.co
  s3:
    description: Where objects are and how to be let in. Objects that are public need no keys.
    type: dict
    default: {}
    suboptions:
      endpoint:
        description: URL of the store, below which bucket and key stand; by default Amazon's of the region.
        type: str
      region:
        description: Region that requests are signed for.
        type: str
        default: us-east-1
      access_key:
        description: Name of the key.
        type: str
      secret_key:
        description: The key.
        type: str
      session_token:
        description: Token of temporary keys.
        type: str
  mirrors:
    description:
      - Lists of URL prefixes by the URL prefix that they stand for, all ending in C(/). They are tried in order, and
        then the source itself. The longest prefix counts.
      - The checksum says whether a mirror's file is the right one.
    type: dict
    default: {}
  switch:
    description: Whether C(current) is to point to the releases. Without it they are only installed.
    type: bool
    default: true
  keep:
    description:
      - When a release was installed and C(current) points to it, older ones of all models are removed but for so many
        of each. Those that unit files on the host name stay as well.
      - 0 removes nothing.
    type: int
    default: 0
  preflight:
    description:
      - Changes nothing and reports no change, also outside check mode. Checks whether the models are installed, whether
        there is room, and whether the sources are there; a file must have the right checksum, a server must answer.
    type: bool
    default: false
  time_budget_seconds:
    description:
      - A download is interrupted after this time to show its progress, where the server can go on in the middle.
      - A connection that was silent for so long is given up. After three such connections in a row the task fails.
    type: int
    default: 20
  sizes:
    description: Internal. Sizes of files on the controller, set by the action plugin.
    type: dict
    default: {}
  uploader:
    description:
      - Internal. User who is to get a folder for the upload, or V("") for the same user, set by the action plugin.
    type: str
  uploaded:
    description: Internal. The transferred file, set by the action plugin.
    type: dict
  looked:
    description: Internal. Whether an earlier call has checked sources and room, set by the action plugin.
    type: bool
    default: false
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - inference.host.attributes.no_text
"""

EXAMPLES = r"""
- name: Install a model from the controller
  inference.host.model_release:
    models_dir: /var/lib/inference/models
    models:
      - name: gemma-3-270m
        source: ~/models/gemma-3-270m-q4_k_m.gguf
        sha256: a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818

- name: Install a model from a server that asks for a token
  inference.host.model_release:
    models_dir: /var/lib/inference/models
    models:
      - name: gemma-3-270m
        source: https://models.example.org/gemma-3-270m-q4_k_m.gguf?download=true
        sha256: a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
        headers:
          Authorization: "Bearer {{ vault_model_token }}"

- name: Install a split model from a bucket, beside the release that is in use
  inference.host.model_release:
    models_dir: /var/lib/inference/models
    models:
      - name: big
        source: s3://models/big
        files:
          big-00001-of-00002.gguf: 6f4f1a5a9a4c24a2d1b6e1de6fd0ba4d9d1f0c6e0e1ec5b2b6a3f2a7d6c4b1a0
          big-00002-of-00002.gguf: 0b9a8c7d6e5f40312233445566778899aabbccddeeff00112233445566778899
    s3:
      endpoint: https://s3.example.org
      access_key: "{{ vault_s3_access_key }}"
      secret_key: "{{ vault_s3_secret_key }}"
    switch: false
"""

RETURN = r"""
results:
  description: What is said of each model, in the order given.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the model.
      type: str
      sample: gemma-3-270m
    changed:
      description: Whether this model was changed, or in check mode would be.
      type: bool
    status:
      description: >-
        V(present), V(installed) or V(would_install). V(incomplete) only between two calls of the action plugin.
      type: str
      sample: installed
    path:
      description: What the engine opens, through C(current); a folder where that is what it opens.
      type: str
      sample: /var/lib/inference/models/gemma-3-270m/current/gemma-3-270m-q4_k_m.gguf
    release:
      description: Name of the release.
      type: str
      sample: a5fd3b62230a
    manifest:
      description: Path of the release's manifest.
      type: str
      sample: /var/lib/inference/models/gemma-3-270m/a5fd3b62230a/manifest.json
    size_bytes:
      description: Size of all files in bytes; null when the server of a file that is not there yet does not tell it.
      type: int
      sample: 253000000
    needed:
      description: Whether a file still has to come from its source.
      type: bool
      sample: false
    missing:
      description: The files that still have to come, by their paths below the release.
      type: list
      elements: str
    current:
      description: Whether C(current) points to the release.
      type: bool
    facts:
      description:
        - What the header of the GGUF file says, as module M(inference.host.gguf_info) returns it, of all parts of a
          split model together. It is read where the model is, on the host or, before it is installed, on the
          controller or on a server that gives parts of a file.
        - Null, with RV(results[].facts_note), for another format, a broken header, and a server that gives no parts.
      type: dict
    facts_note:
      description: Why there are no facts; null when there are.
      type: str
pruned:
  description: Releases that were removed, as C(NAME/RELEASE).
  returned: success
  type: list
  elements: str
waiting:
  description: Null; something else only between two calls of the action plugin.
  returned: success
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.atomic import words
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_install import check_names, run
from ansible_collections.inference.host.plugins.module_utils.model_secrets import redacted, secrets_among
from ansible_collections.inference.host.plugins.module_utils.model_sources import check_access
from ansible_collections.inference.host.plugins.module_utils.wished_model import WishedModel

MODEL_SPEC = {
    "name": {"type": "str", "required": True},
    "source": {"type": "str", "required": True},
    "sha256": {"type": "str"},
    "files": {"type": "dict"},
    "filename": {"type": "str"},
    "release": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "check": {"type": "dict"},
}
S3_SPEC = {
    "endpoint": {"type": "str"},
    "region": {"type": "str", "default": "us-east-1"},
    "access_key": {"type": "str", "no_log": True},
    "secret_key": {"type": "str", "no_log": True},
    "session_token": {"type": "str", "no_log": True},
}
ARGUMENT_SPEC = {
    "models_dir": {"type": "path", "required": True},
    # no_log keeps them out of the system's log; what is secret of them in the result is said by model_secrets.
    "models": {"type": "list", "elements": "dict", "required": True, "no_log": True, "options": MODEL_SPEC},
    "hf_endpoint": {"type": "str", "default": "https://huggingface.co"},
    "s3": {"type": "dict", "default": {}, "no_log": True, "options": S3_SPEC},
    "mirrors": {"type": "dict", "default": {}, "no_log": True},
    "switch": {"type": "bool", "default": True},
    "keep": {"type": "int", "default": 0},
    "preflight": {"type": "bool", "default": False},
    "time_budget_seconds": {"type": "int", "default": 20},
    "sizes": {"type": "dict", "default": {}},
    "uploader": {"type": "str"},
    "uploaded": {"type": "dict"},
    "looked": {"type": "bool", "default": False},
}


def main():
    """Carry the arguments to the models and their answer back."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    os.umask(0o022)
    params = module.params
    module.no_log_values = secrets_among(params)
    invocation = {"module_args": redacted(params)}
    access = {key: params[key] or {} for key in ("hf_endpoint", "s3", "mirrors")}
    try:
        check_access(access)
        check_names(params["models"])
        models = [WishedModel(params["models_dir"], wish, access) for wish in params["models"]]
        result = run(models, params, module.check_mode or params["preflight"])
    except ReleaseError as error:
        start = "model%s '%s': " % ("s" if ", " in error.model else "", error.model) if error.model else ""
        module.fail_json(msg="%s%s." % (start, error), invocation=invocation)
    except OSError as error:
        says = "%s cannot be used: %s." % (error.filename or params["models_dir"], words(error))
        module.fail_json(msg=says, invocation=invocation)
    if params["preflight"]:
        result.update(changed=False, results=[dict(model, changed=False) for model in result["results"]])
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
