# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS Signature Version 4 for reading objects, as Amazon's S3 API reference describes it ("Signature Calculations for
the Authorization Header"). Other servers that speak S3 verify the same."""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import parse_qsl, quote, urlsplit

EMPTY = hashlib.sha256(b"").hexdigest()


def signed_headers(url, headers, credentials, seconds=None):
    """Return the headers that sign a GET of `url`, a dict; `headers`, which are sent as well, are signed too.

    url: with its path encoded as it is sent. credentials: {"access_key", "secret_key", "session_token" or None,
    "region"}. seconds: time since 1970, now by default.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
    own = {"x-amz-date": stamp, "x-amz-content-sha256": EMPTY}
    if credentials.get("session_token"):
        own["x-amz-security-token"] = credentials["session_token"]
    parts = urlsplit(url)
    covered = {name.lower(): " ".join(value.split()) for name, value in dict(headers, **own).items()}
    covered["host"] = parts.netloc
    names = sorted(covered)
    query = sorted((quote(name, "-_.~"), quote(value, "-_.~"))
                   for name, value in parse_qsl(parts.query, keep_blank_values=True))
    request = "\n".join(
        ["GET", parts.path or "/", "&".join("%s=%s" % pair for pair in query)]
        + ["%s:%s" % (name, covered[name]) for name in names]
        + ["", ";".join(names), EMPTY])
    scope = "%s/%s/s3/aws4_request" % (stamp[:8], credentials["region"])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(_key(credentials["secret_key"], scope), text.encode(), hashlib.sha256).hexdigest()
    own["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s" % (
        credentials["access_key"], scope, ";".join(names), signature)
    return own


def _key(secret, scope):
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
