# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is secret among the arguments of module model_release, and the arguments as they may be shown."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.model_sources import redact, scheme, secrets_of

SHORTEST = 8
"""Shorter secrets are not masked in a result: they would mask ordinary words. No message is made with them."""
S3_SECRETS = ("access_key", "secret_key", "session_token")
NOT_SHOWN = "(not shown)"


def secrets_among(params):
    """Return the texts that no result may hold, as a set."""
    found = set()
    for model in params["models"]:
        if scheme(model["source"]):
            found |= secrets_of(model["source"])
        for value in map(str, (model["headers"] or {}).values()):
            found |= {value} | set(value.split())
    found |= {params["s3"][key] for key in S3_SECRETS if (params["s3"] or {}).get(key)}
    for url in _mirror_urls(params):
        found |= secrets_of(url)
    found |= secrets_of(params["hf_endpoint"] or "")
    return {text for text in found if len(text) >= SHORTEST}


def redacted(params):
    """Return the arguments without what is secret, for the result's `invocation`."""
    models = [dict(model, source=redact(model["source"]), headers=dict.fromkeys(model["headers"] or {}, NOT_SHOWN))
              for model in params["models"]]
    s3 = {key: NOT_SHOWN if key in S3_SECRETS and value else value for key, value in (params["s3"] or {}).items()}
    mirrors = {redact(str(prefix)): [redact(str(url)) for url in urls] if isinstance(urls, list) else NOT_SHOWN
               for prefix, urls in (params["mirrors"] or {}).items()}
    return dict(params, models=models, s3=s3, mirrors=mirrors, hf_endpoint=redact(params["hf_endpoint"] or ""))


def _mirror_urls(params):
    for prefix, urls in (params["mirrors"] or {}).items():
        yield str(prefix)
        for url in urls if isinstance(urls, list) else ():
            yield str(url)
