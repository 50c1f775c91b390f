"""What is secret among the arguments, and the arguments as they may be shown."""

from ansible_collections.inference.host.plugins.module_utils.model_secrets import redacted, secrets_among

PARAMS = {
    "models": [
        {"name": "m", "source": "https://user-word:pass-word@h/x.gguf?sig=query-word", "headers": {
            "Authorization": "Bearer header-word"}},
        {"name": "n", "source": "/srv/models/x.gguf", "headers": None},
    ],
    "s3": {"endpoint": "https://s3.lan", "region": "r", "access_key": "access-word", "secret_key": "secret-word",
           "session_token": None},
    "mirrors": {"https://h/": ["https://mirror-user:mirror-word@m/"], "https://i/": "not a list"},
    "hf_endpoint": "https://hf-user-word:hf-word-word@hf.lan",
}
WORDS = (
    "user-word", "pass-word", "query-word", "header-word", "access-word", "secret-word", "mirror-word", "hf-word-word")


def test_every_secret_is_found():
    assert [word for word in WORDS if word not in secrets_among(PARAMS)] == []


def test_words_that_are_no_secrets_stay():
    assert not secrets_among(PARAMS) & {"Bearer", "/srv/models/x.gguf", "https://s3.lan", "m", "r"}


def test_what_is_shown_has_no_secret_and_says_the_rest():
    shown = redacted(PARAMS)
    assert [word for word in WORDS if word in str(shown)] == []
    assert shown["models"][0]["source"] == "https://h/x.gguf"
    assert shown["models"][0]["headers"] == {"Authorization": "(not shown)"}
    assert shown["models"][1]["source"] == "/srv/models/x.gguf"
    assert shown["s3"] == {"endpoint": "https://s3.lan", "region": "r", "access_key": "(not shown)",
                           "secret_key": "(not shown)", "session_token": None}
    assert shown["mirrors"] == {"https://h/": ["https://m/"], "https://i/": "(not shown)"}
    assert PARAMS["models"][0]["headers"]["Authorization"] == "Bearer header-word"


def test_no_arguments_are_no_secrets():
    bare = {"models": [], "s3": None, "mirrors": None, "hf_endpoint": None}
    assert secrets_among(bare) == set()
    assert redacted(bare)["s3"] == {}
