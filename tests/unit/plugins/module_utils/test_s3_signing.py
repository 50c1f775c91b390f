"""Signatures: the examples of Amazon's S3 API reference, which are published with their keys and results."""

import calendar

import pytest
from ansible_collections.inference.host.plugins.module_utils.s3_signing import EMPTY, signed_headers

# "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", examples that read.
KEYS = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "region": "us-east-1"}
THEN = calendar.timegm((2013, 5, 24, 0, 0, 0))
HOST = "https://examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(("url", "headers", "signature"), [
    ("/test.txt", {"Range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
    ("/?lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    ("/?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ("/?prefix=J&max-keys=2", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
])
def test_the_published_examples(url, headers, signature):
    names = ";".join(sorted(["host", "x-amz-content-sha256", "x-amz-date", *map(str.lower, headers)]))
    assert signed_headers(HOST + url, headers, KEYS, THEN) == {
        "x-amz-date": "20130524T000000Z",
        "x-amz-content-sha256": EMPTY,
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                         f"SignedHeaders={names},Signature={signature}",
    }


def test_a_session_token_is_sent_and_signed():
    found = signed_headers(HOST + "/x", {}, dict(KEYS, session_token="token"), THEN)
    assert found["x-amz-security-token"] == "token"
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in found["Authorization"]


@pytest.mark.parametrize(("change", "value"), [
    ("secret_key", "other"), ("region", "eu-west-1"), ("access_key", "other"), ("session_token", "t")])
def test_each_part_changes_the_signature(change, value):
    plain = signed_headers(HOST + "/x", {}, KEYS, THEN)["Authorization"]
    assert signed_headers(HOST + "/x", {}, dict(KEYS, **{change: value}), THEN)["Authorization"] != plain


def test_the_secret_is_in_no_header():
    assert KEYS["secret_key"] not in str(signed_headers(HOST + "/x", {}, KEYS))
