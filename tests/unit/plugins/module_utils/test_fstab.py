"""fstab as text: what it says, and edits that leave every other character alone and can be taken back."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import fstab
from hypothesis import given
from hypothesis import strategies as st

TEXT = """# /etc/fstab
UUID=0b1-2  /       ext4\terrors=remount-ro   0  1
LABEL=data /srv/my\\040models xfs defaults 0 2 # the models
tmpfs /tmp tmpfs
/dev/x /twice ext4 a
/dev/y /twice ext4 b
/swap.img none swap sw 0 0
"""


def test_options_are_read_by_mount_point():
    assert fstab.options_at(TEXT, "/") == ["errors=remount-ro"]
    assert fstab.options_at(TEXT, "/srv/my models") == ["defaults"]
    assert fstab.options_at(TEXT, "/tmp") == []
    assert fstab.options_at(TEXT, "/srv") is None
    assert fstab.options_at(TEXT, "/twice") == ["a"]
    assert fstab.options_at(TEXT, "/twice", last=True) == ["b"]
    assert fstab.split_options('context="a,b",ro') == ['context="a,b"', "ro"]


@pytest.mark.parametrize(
    ("path", "options", "was", "line"),
    [
        ("/", ["noatime"], "errors=remount-ro ", "errors=remount-ro,noatime "),
        ("/srv/my models", ["noatime", "x=1"], "defaults 0 2", "defaults,noatime,x=1 0 2"),
        ("/tmp", ["noatime"], "/tmp tmpfs\n", "/tmp tmpfs\tnoatime\n"),
        ("/twice", ["noatime"], "ext4 a\n", "ext4 a,noatime\n"),
    ],
)
def test_only_the_options_of_the_line_change(path, options, was, line):
    edited = fstab.with_options(TEXT, path, options)
    assert edited == TEXT.replace(was, line)
    assert fstab.with_options(edited, path, options) == edited


def test_no_line_is_no_change():
    assert fstab.with_options(TEXT, "/no", ["noatime"]) == TEXT
    assert fstab.without_options(TEXT, "/no", ["noatime"]) == TEXT


def test_the_last_option_leaves_defaults():
    assert fstab.without_options("a /b ext4 noatime 0 0\n", "/b", ["noatime"]) == "a /b ext4 defaults 0 0\n"


def test_a_swap_file_has_a_line_of_its_own():
    assert fstab.has_swap(TEXT, "/swap.img")
    assert fstab.with_swap(TEXT, "/swap.img") == TEXT
    added = fstab.with_swap(TEXT, "/my swap")
    assert added == TEXT + "/my\\040swap none swap sw 0 0\n"
    assert fstab.without_swap(added, "/my swap") == TEXT
    assert fstab.with_swap("a /b c", "/s") == "a /b c\n/s none swap sw 0 0\n"


@pytest.mark.parametrize(
    ("path", "kind", "point"),
    [
        ("/srv/models/x", "xfs", "/srv/models"),
        ("/srv/modelsx", "ext4", "/"),
        ("/srv/models", "xfs", "/srv/models"),
        ("/over/x", "tmpfs", "/over"),
    ],
)
def test_the_file_system_of_a_path_is_the_deepest_and_last_one(path, kind, point):
    mounts = "a / ext4 rw\nb /srv/models xfs rw\nc /over xfs rw\nd /over tmpfs rw\n"
    assert fstab.file_system_of(mounts, path) == (kind, point)


WORDS = st.text("ab/=\\#\"'", min_size=1, max_size=5)
OPTIONS = st.lists(st.text("abc=1", min_size=1, max_size=4), min_size=1, max_size=4, unique=True)
BLANKS = st.text(" \t", min_size=1, max_size=3)


@given(text=st.text("ab /,=#\n\t\\\"", max_size=80), path=st.sampled_from(["/", "/a", "/b/a"]), options=OPTIONS)
def test_edits_of_any_text_are_idempotent_and_leave_other_lines(text, path, options):
    edited = fstab.with_options(text, path, options)
    assert fstab.with_options(edited, path, options) == edited
    assert len(edited.splitlines()) == len(text.splitlines())
    assert sum(a != b for a, b in zip(text.splitlines(), edited.splitlines())) <= 1
    if fstab.options_at(text, path) is not None:
        assert set(options) <= set(fstab.options_at(edited, path))


@given(blanks=st.tuples(BLANKS, BLANKS, BLANKS, BLANKS), there=OPTIONS, new=OPTIONS, end=st.sampled_from(["", "\n"]))
def test_options_that_were_added_can_be_taken_back(blanks, there, new, end):
    text = "#x\ndev{}/a{}ext4{}{}{}0 0{}".format(*blanks[:3], ",".join(there), blanks[3], end)
    edited = fstab.with_options(text, "/a", new)
    assert fstab.without_options(edited, "/a", [option for option in new if option not in there]) == text


@given(text=st.text("ab /swap\n", max_size=60), path=st.text("ab \t#\\", min_size=1, max_size=6).map("/{}".format))
def test_a_swap_line_that_was_added_can_be_taken_back(text, path):
    edited = fstab.with_swap(text, path)
    assert fstab.has_swap(edited, path)
    assert fstab.with_swap(edited, path) == edited
    if not fstab.has_swap(text, path):
        assert fstab.without_swap(edited, path) == (text if text.endswith("\n") or not text else text + "\n")
