# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One real completion of an instance, compared with what its model's manifest expects."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from ansible_collections.inference.host.plugins.module_utils.checks import kind

RUNTIMES = ("llama_cpp", "vllm")
"""Those that take a prompt and answer with text."""
DEFAULT = {"prompt": "The capital of France is", "expect": None, "max_tokens": 8}
"""Of a manifest that says nothing: any text will do."""
SHOWN = 200
"""Characters of an answer that go into a message."""


class CompletionError(Exception):
    """Why an answer is not what it should be, as the end of a sentence."""


def check_of(manifest):
    """Return the check that the text of a manifest.json asks for, with defaults for what it leaves out."""
    try:
        found = json.loads(manifest).get("check") or {}
    except (ValueError, AttributeError):
        found = {}
    return dict(DEFAULT, **{key: value for key, value in found.items() if key in DEFAULT and value is not None})


def complete(port, check, model, key=None, seconds=300):
    """Ask the engine on a port of this host for a completion and return its text. Raises CompletionError."""
    body = {"model": model, "prompt": check["prompt"], "max_tokens": check["max_tokens"], "temperature": 0}
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = "Bearer " + key
    request = urllib.request.Request(
        "http://127.0.0.1:%d/v1/completions" % port, data=json.dumps(body).encode(), headers=headers)
    # Requests to this host never go through a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=seconds) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise CompletionError("has status %d: %s" % (error.code, shown(error.read()))) from None
    except (OSError, http.client.HTTPException) as error:
        raise CompletionError("did not come: %s" % getattr(error, "reason", error)) from None
    return text_of(said, check)


def text_of(said, check):
    """Return the text of an answer, bytes; raise CompletionError when it is not whole or not as expected."""
    try:
        choice = json.loads(said.decode("utf-8", "replace"))["choices"][0]
        text, reason = choice["text"], choice["finish_reason"]
    except (ValueError, LookupError, TypeError):
        raise CompletionError("is no completion: %s" % shown(said)) from None
    if not isinstance(text, str) or not text or not reason:
        raise CompletionError("is not whole: text %s, finish_reason %s" % (kind(text), kind(reason)))
    if check["expect"] and check["expect"] not in text:
        raise CompletionError("to %r is %r; %r is expected in it" % (check["prompt"], text[:SHOWN], check["expect"]))
    return text


def shown(said):
    """Return the beginning of an answer, bytes, as one line."""
    return " ".join(said.decode("utf-8", "replace").split())[:SHOWN] or "nothing"
