"""Sources: what is accepted, how it is shown, and which addresses its files have."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import model_sources
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.model_sources import (
    Address,
    addresses,
    check_access,
    check_source,
    host_path,
)
from hypothesis import given
from hypothesis import strategies as st

COMMIT = "0123456789abcdef" * 2 + "01234567"
SHA256 = "5" * 64
HF = f"hf://owner/re-po.x@{COMMIT}"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/a/b?c.gguf", "/a/b?c.gguf"),
        ("https://h.org/a/x.gguf?token=secret#part", "https://h.org/a/x.gguf"),
        ("https://user:secret@h.org:8443/a/x.gguf", "https://h.org:8443/a/x.gguf"),
        ("https://user:se/cret@h.org/a/x.gguf", "https://…"),
        ("https://user:se?cret@h.org/a/x.gguf", "https://…"),
        ("https://user:sec@ret@h.org/x.gguf", "https://h.org/x.gguf"),
        ("http://user:secret@[::1]:80/x.gguf", "http://[::1]:80/x.gguf"),
        ("http://[bad/x.gguf", "http://…"),
        (f"{HF}/x.gguf", f"{HF}/x.gguf"),
        ("s3://key:secret@bucket/x.gguf", "s3://bucket/x.gguf"),
    ],
)
def test_a_source_is_shown_without_what_may_be_secret(source, shown):
    assert model_sources.redact(source) == shown


@pytest.mark.parametrize("source", [
    "x.gguf", "~/x.gguf", "/a/x.gguf", "https://h/x.gguf?a=b", "file:///a/x.gguf", f"{HF}/x.gguf", f"{HF}/sub/x.gguf",
    HF, f"{HF}/", "s3://bucket/a/x.gguf", "s3://bucket/", "s3://bucket/x.gguf?versionId=v1", "oci://reg.org/a/b",
    "oci://localhost:5000/a"])
def test_what_may_be_a_source(source):
    check_source(source)


@pytest.mark.parametrize(("source", "sentence"), [
    ("ftp://h/x.gguf", "source is ftp://h/x.gguf; it must be a path on the controller, or begin with http://, https://"),
    ("hf://owner/repo@main/x.gguf", "source is hf://owner/repo@main/x.gguf; it must be hf://OWNER/REPO@COMMIT/PATH with"
                                    " the commit's 40 hexadecimal digits, for branches and tags move"),
    ("hf://owner/repo/x.gguf", "it must be hf://OWNER/REPO@COMMIT/PATH"),
    (f"{HF[:-1]}/x.gguf", "it must be hf://OWNER/REPO@COMMIT/PATH"),
    (f"{HF}/x.gguf?download=true", "it must be hf://OWNER/REPO@COMMIT/PATH"),
    ("s3://key:secret@bucket/x.gguf", "source is s3://bucket/x.gguf; it must be s3://BUCKET/KEY; credentials"),
    ("s3://bucket", "it must be s3://BUCKET/KEY"),
    ("s3://bucket/x.gguf?X-Amz-Signature=secret", "source is s3://bucket/x.gguf; it must be s3://BUCKET/KEY"),
    ("oci://reg.org/a/b:latest", "it must be oci://REGISTRY/REPOSITORY without a tag or digest"),
    ("oci://reg.org/A", "it must be oci://REGISTRY/REPOSITORY"),
])
def test_what_is_no_source_is_said(source, sentence):
    with pytest.raises(ReleaseError) as raised:
        check_source(source)
    assert sentence in str(raised.value) and "secret" not in str(raised.value)


@given(st.text())
def test_any_text_is_accepted_or_refused_with_a_sentence(text):
    for source in (text, "hf://" + text, "s3://" + text, "oci://" + text):
        try:
            check_source(source)
        except ReleaseError as error:
            assert str(error).startswith("source is ")  # noqa: PT017
            continue
        if model_sources.is_remote(source) and not source.startswith("http"):
            assert addresses(source, None, SHA256, {})[-1].url.startswith("https://")


@pytest.mark.parametrize(("source", "path", "url"), [
    ("https://h/a/x.gguf?t=1", None, "https://h/a/x.gguf?t=1"),
    ("https://h/a/?t=1", "b/x.gguf", "https://h/a/b/x.gguf?t=1"),
    (f"{HF}/x.gguf", None, f"https://huggingface.co/owner/re-po.x/resolve/{COMMIT}/x.gguf"),
    (HF, "b/x.gguf", f"https://huggingface.co/owner/re-po.x/resolve/{COMMIT}/b/x.gguf"),
    (f"{HF}/a", "x.gguf", f"https://huggingface.co/owner/re-po.x/resolve/{COMMIT}/a/x.gguf"),
    ("s3://bucket/a b/ü.gguf", None, "https://s3.us-east-1.amazonaws.com/bucket/a%20b/%C3%BC.gguf"),
    ("s3://bucket/", "x.gguf", "https://s3.us-east-1.amazonaws.com/bucket/x.gguf"),
    ("s3://bucket/a", "x.gguf", "https://s3.us-east-1.amazonaws.com/bucket/a/x.gguf"),
    ("s3://bucket/x.gguf?versionId=a/b", None, "https://s3.us-east-1.amazonaws.com/bucket/x.gguf?versionId=a%2Fb"),
    ("oci://reg.org:5000/a/b", None, f"https://reg.org:5000/v2/a/b/blobs/sha256:{SHA256}"),
    ("oci://reg.org:5000/a/b", "x.gguf", f"https://reg.org:5000/v2/a/b/blobs/sha256:{SHA256}"),
])
def test_the_address_of_a_file(source, path, url):
    (address,) = addresses(source, path, SHA256, {"headers": {"a": "b"}})
    assert (address.url, address.headers, address.s3) == (url, {"a": "b"}, None)
    assert address.oci is source.startswith("oci")


def test_endpoints_are_other_servers():
    access = {"hf_endpoint": "http://mirror.lan/hf/", "s3": {
        "endpoint": "http://store.lan:9000/", "region": "garage", "access_key": "a", "secret_key": "s"}}
    (hf,) = addresses(f"{HF}/x.gguf", None, SHA256, access)
    assert hf == Address(f"http://mirror.lan/hf/owner/re-po.x/resolve/{COMMIT}/x.gguf", {})
    (s3,) = addresses("s3://bucket/x.gguf", None, SHA256, access)
    assert s3.url == "http://store.lan:9000/bucket/x.gguf"
    assert (s3.s3["access_key"], s3.s3["region"]) == ("a", "garage")
    (regional,) = addresses("s3://bucket/x.gguf", None, SHA256, {"s3": {"region": "eu-west-1"}})
    assert (regional.url, regional.s3) == ("https://s3.eu-west-1.amazonaws.com/bucket/x.gguf", None)


def test_mirrors_come_first_and_get_nothing_that_is_the_sources():
    access = {"headers": {"Authorization": "Bearer t"}, "mirrors": {
        "https://huggingface.co/": ["https://one.lan/hf/", "http://two.lan/"],
        "https://huggingface.co/owner/": ["https://three.lan/"], "https://other.org/": ["https://four.lan/"]}}
    found = addresses(f"{HF}/x.gguf", None, SHA256, access)
    assert found == [
        Address(f"https://three.lan/re-po.x/resolve/{COMMIT}/x.gguf", {}),
        Address(f"https://huggingface.co/owner/re-po.x/resolve/{COMMIT}/x.gguf", {"Authorization": "Bearer t"})]
    del access["mirrors"]["https://huggingface.co/owner/"]
    assert [place.url.split("/owner")[0] for place in addresses(f"{HF}/x.gguf", None, SHA256, access)] == [
        "https://one.lan/hf", "http://two.lan", "https://huggingface.co"]
    layers = addresses("oci://reg.org/a/b", None, SHA256, {"mirrors": {"https://reg.org/": ["http://cache.lan:5000/"]}})
    assert [place.url for place in layers] == [
        f"http://cache.lan:5000/v2/a/b/blobs/sha256:{SHA256}", f"https://reg.org/v2/a/b/blobs/sha256:{SHA256}"]
    assert all(place.oci for place in layers)


@pytest.mark.parametrize(("access", "sentence"), [
    ({"hf_endpoint": "mirror.lan"}, "hf_endpoint is 'mirror.lan'; it must begin with https:// or http://"),
    ({"s3": {"endpoint": "s3://user:s3cr3t@x"}}, "s3.endpoint is 's3://x'; it must begin with"),
    ({"s3": {"access_key": "a"}}, "s3 has only one of access_key and secret_key"),
    ({"mirrors": {"https://h/": "https://m/"}}, "mirrors has no list for https://h/; it must be one of URL prefixes"),
    ({"mirrors": {"https://h/": ["https://u:s3cr3t@m"]}}, "mirrors has https://m; it must begin with"),
    ({"mirrors": {"h/": ["https://m/"]}}, "mirrors has h/; it must begin with"),
    ({"mirrors": {"https://h/": [1]}}, "mirrors has 1; it must begin with"),
])
def test_wrong_endpoints_and_mirrors_are_named(access, sentence):
    with pytest.raises(ReleaseError) as raised:
        check_access(access)
    assert sentence in str(raised.value) and "s3cr3t" not in str(raised.value)


def test_sound_endpoints_and_mirrors_pass():
    check_access({})
    check_access({"hf_endpoint": "http://m", "s3": {"access_key": "a", "secret_key": "s"}, "mirrors": {
        "https://h/": ["http://m/", "https://u:p@n/x/"]}})


@pytest.mark.parametrize(("source", "path", "place"), [
    ("file:///a/x%20y.gguf", None, "/a/x y.gguf"), ("file://localhost/a", "b/x.gguf", "/a/b/x.gguf"),
    ("file:///a/", "x.gguf", "/a/x.gguf")])
def test_a_file_on_the_host_has_a_path(source, path, place):
    assert host_path(source, path) == place


@pytest.mark.parametrize("source", ["file://other/a", "file://"])
def test_a_file_of_another_host_is_refused(source):
    with pytest.raises(ReleaseError, match="a file on the managed host is file:///PATH"):
        host_path(source)
