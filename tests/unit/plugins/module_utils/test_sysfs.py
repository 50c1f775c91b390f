"""The bounded reader: what it gives, and the reason when it gives nothing."""

import errno
import os

import pytest
from ansible_collections.inference.host.plugins.module_utils.sysfs import MAX_NAMES, SMALL, Tree, natural
from builders import write_files


@pytest.fixture
def tree(tmp_path):
    write_files(
        tmp_path,
        {
            "number": "-12",
            "words": b"a b\n\0",
            "choice": "always [madvise] never",
            "junk": b"\xff\xfe\x00\x80",
            "mask": "00000000,00000006",
            "list": "0,3",
            "folder/b10": "",
            "folder/b9": "",
            "folder/c": "",
        },
    )
    return Tree(tmp_path)


def test_what_it_reads(tree):
    assert tree.read("words") == "a b"
    assert tree.read_int("number") == -12
    assert tree.read_choice("choice") == ("madvise", ["always", "madvise", "never"])
    assert tree.read_list("list") == [0, 3]
    assert tree.names("folder") == ["b10", "b9", "c"]
    assert sorted(tree.names("folder", "b[0-9]+"), key=natural) == ["b9", "b10"]
    assert tree.read_bytes("junk") == b"\xff\xfe\x00\x80\n"[:4]


def test_the_mask_comes_before_the_list_and_the_list_instead_of_no_mask(tree):
    assert tree.read_ids("mask", "list") == [1, 2]
    assert tree.read_ids("missing", "list") == [0, 3]
    assert tree.read_ids("junk", "list") == [0, 3]
    assert tree.read_ids("missing") is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", os.strerror(errno.ENOENT)),
        ("folder", "not a regular file"),
        ("words/below", os.strerror(errno.ENOTDIR)),
        ("nul\0byte", "null"),
        ("pipe", "not a regular file"),
        ("loop", os.strerror(errno.ELOOP)),
        ("null", "not a regular file"),
        ("large", "larger than 65536 bytes"),
    ],
)
def test_why_there_is_nothing(tree, path, reason):
    os.mkfifo(tree.at("pipe"))
    os.symlink("loop", tree.at("loop"))
    os.symlink("/dev/zero", tree.at("null"))
    write_files(tree.root, {"large": b"1" * (SMALL + 1)})
    assert tree.read(path) is None
    assert tree.why(path).startswith(f"/{path}: ")
    assert reason in tree.why(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read(tree):
    os.chmod(tree.at("number"), 0)
    assert tree.read_int("number") is None
    assert tree.why("number") == f"/number: {os.strerror(errno.EACCES)}"


def test_the_reason_for_a_malformed_answer(tree):
    assert tree.read_int("words") is None
    assert tree.why("words") == "/words: not a whole number"
    tree.missing("key", "words", "gone")
    tree.read("gone")
    assert tree.notes == {"key": "Not known: /words: not a whole number; /gone: nothing of use in it."}
    tree.note("key", "A later reason does not replace the first.")
    assert "words" in tree.notes["key"]


def test_a_file_is_remembered_as_it_was_first_read(tree):
    assert tree.read("words") == "a b"
    os.unlink(tree.at("words"))
    assert tree.read("words") == "a b"


def test_where_a_link_leads(tree, tmp_path):
    os.symlink("folder", tree.at("inside"))
    os.symlink("/etc", tree.at("outside"))
    assert tree.real("inside/c") == "folder/c"
    assert tree.real("outside") is None
    assert "out of the tree" in tree.why("outside")
    assert tree.real("missing") is None
    assert tree.link_name("inside") == "folder"
    assert tree.link_name("words") is None


def test_names_that_are_no_text_and_more_than_are_looked_at(tree, monkeypatch):
    os.mkdir(tree.at("many"))
    with open(os.path.join(os.fsencode(tree.at("many")), b"\xff\xfe"), "w"):
        pass
    write_files(tree.root, {f"many/{number}": "" for number in range(5)})
    assert tree.names("many") == ["0", "1", "2", "3", "4"]
    assert MAX_NAMES >= 8192
    monkeypatch.setattr("ansible_collections.inference.host.plugins.module_utils.sysfs.MAX_NAMES", 3)
    assert len(tree.names("many")) == 3


def test_a_leading_slash_does_not_leave_the_tree(tree):
    assert tree.read("/words") == "a b"
    assert tree.read("/etc/hostname") is None
