"""The set of files on trees below tmp_path: what is refused, what a plan holds, and that all or nothing is done."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils import atomic, file_diff, file_set
from hypothesis import given, settings
from hypothesis import strategies as st

FAILS = ["sh", "-c", "echo first; echo last; exit 3"]


def wanted(path, content="new\n", mode="0644", **more):
    return dict({"path": str(path), "content": content, "mode": mode, "sensitive": False}, **more)


def directory(path, mode="0755", **more):
    return dict({"path": str(path), "mode": mode}, **more)


def bring(files=(), absent=(), directories=(), validate=()):
    """Plan and apply, and return the changed paths."""
    plan = file_set.make_plan(files, [str(pattern) for pattern in absent], directories)
    file_set.apply(plan, validate)
    return file_set.changed_paths(plan)


def refused(**arguments):
    with pytest.raises(file_set.FileSetError) as caught:
        bring(**arguments)
    return str(caught.value)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# What is refused


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("etc/x", "'etc/x' is not an absolute path"),
        ("/etc/x/", "/etc/x/ is the path of a directory"),
        ("/etc/../x", "must be written as /x"),
        ("/etc//x", "must be written as /etc/x"),
        ("//etc/x", "must be written as /etc/x"),
        ("/etc/\0x", "NUL or a line break"),
        ("/etc/x\n", "NUL or a line break"),
        ("", "not an absolute path"),
    ],
)
def test_a_path_that_is_not_plain_is_refused_in_every_option(path, says):
    assert says in refused(files=[wanted(path)])
    assert says in refused(absent=[path])
    assert says in refused(directories=[directory(path)])


def test_a_path_that_is_named_twice_is_refused(tmp_path):
    path = tmp_path / "a"
    assert f"{path} is named twice" in refused(files=[wanted(path), wanted(path, "other")])
    assert f"{path} is named twice" in refused(files=[wanted(path)], directories=[directory(path)])


@pytest.mark.parametrize("wrong", ["644", "420", "u=rw", "0o644", "0888", ""])
def test_a_mode_that_is_not_four_octal_digits_is_refused(tmp_path, wrong):
    assert "four octal digits in quotes" in refused(files=[wanted(tmp_path / "a", mode=wrong)])
    assert "four octal digits in quotes" in refused(directories=[directory(tmp_path / "a", mode=wrong)])


def test_a_glob_over_any_depth_is_refused():
    assert "** is not allowed" in refused(absent=["/etc/**"])


def test_a_directory_a_symlink_and_a_pipe_are_refused_by_name(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")
    assert refused(files=[wanted(tmp_path / "folder")]) == f"files: {tmp_path}/folder is a directory"
    assert f"files: {tmp_path}/link is a symbolic link" in refused(files=[wanted(tmp_path / "link")])
    assert f"files: {tmp_path}/pipe is there and is not a regular file" in refused(files=[wanted(tmp_path / "pipe")])
    assert f"{tmp_path}/target is there and is not a directory" in refused(directories=[directory(tmp_path / "target")])
    (tmp_path / "to_folder").symlink_to("folder")
    assert f"{tmp_path}/to_folder is there and is not" in refused(directories=[directory(tmp_path / "to_folder")])
    assert (tmp_path / "target").read_text() == "old"


def test_a_missing_folder_is_refused_and_named_but_not_in_check_mode(tmp_path):
    files = [wanted(tmp_path / "no" / "a")]
    assert f"the folder {tmp_path}/no is missing; name it in directories" in refused(files=files)
    assert file_set.changed_paths(file_set.make_plan(files, [], [], check_mode=True)) == [str(tmp_path / "no" / "a")]


def test_a_file_in_the_place_of_a_parent_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    assert f"{tmp_path}/a is not a directory" in refused(directories=[directory(tmp_path / "a" / "b" / "c")])


@pytest.mark.parametrize("kind", ["user", "group"])
def test_an_owner_that_does_not_exist_is_refused_but_not_in_check_mode(tmp_path, kind):
    option = {"user": "owner", "group": "group"}[kind]
    files = [wanted(tmp_path / "a", **{option: "nobody-has-this-name"})]
    assert refused(files=files) == f"{tmp_path}/a: there is no {kind} 'nobody-has-this-name' on this host"
    plan = file_set.make_plan(files, [], [], check_mode=True)
    assert "nobody-has-this-name" in file_diff.diff(plan)[0]["after"]
    assert os.listdir(tmp_path) == []


# What is done


def test_files_and_directories_are_made_and_a_second_run_has_nothing_to_do(tmp_path):
    arguments = {
        "directories": [directory(tmp_path / "deep" / "er", "0750"), directory(tmp_path / "deep" / "other", "0700")],
        "files": [wanted(tmp_path / "deep" / "er" / "a", "ä\n", "0600"), wanted(tmp_path / "b", "")],
    }
    changed = bring(**arguments)
    assert changed == [str(tmp_path / name) for name in ("deep", "deep/er", "deep/other", "deep/er/a", "b")]
    assert (tmp_path / "deep" / "er" / "a").read_bytes() == "ä\n".encode()
    modes = {name: mode(tmp_path / name) for name in ("deep", "deep/er", "deep/other", "deep/er/a", "b")}
    assert modes == {"deep": 0o755, "deep/er": 0o750, "deep/other": 0o700, "deep/er/a": 0o600, "b": 0o644}
    assert bring(**arguments) == []


def test_directories_may_be_named_in_any_order(tmp_path):
    assert bring(directories=[directory(tmp_path / "a" / "b"), directory(tmp_path / "a", "0700")])
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o755)


def test_a_wrong_mode_alone_is_corrected(tmp_path):
    (tmp_path / "d").mkdir(0o700)
    (tmp_path / "d" / "a").write_text("new\n")
    (tmp_path / "d" / "a").chmod(0o600)
    arguments = {"directories": [directory(tmp_path / "d")], "files": [wanted(tmp_path / "d" / "a")]}
    assert bring(**arguments) == [str(tmp_path / "d"), str(tmp_path / "d" / "a")]
    assert (mode(tmp_path / "d"), mode(tmp_path / "d" / "a")) == (0o755, 0o644)
    assert bring(**arguments) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_and_group_are_set_by_name_or_number_and_otherwise_kept(tmp_path):
    path = tmp_path / "a"
    assert bring(files=[wanted(path, owner="daemon", group="12345")]) == [str(path)]
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 12345)
    assert bring(files=[wanted(path, "changed")]) == [str(path)]
    assert (path.stat().st_uid, path.stat().st_gid) == (1, 12345)
    assert bring(directories=[directory(tmp_path, group="12345")]) == [str(tmp_path)]
    assert tmp_path.stat().st_gid == 12345


def test_stale_files_go_and_what_the_set_names_or_does_not_match_stays(tmp_path):
    for name in ("x-1.conf", "x-2.conf", "x-3.conf", "other.conf"):
        (tmp_path / name).write_text("old")
    (tmp_path / "x-link.conf").symlink_to("other.conf")
    (tmp_path / "x-folder.conf").mkdir()
    changed = bring(files=[wanted(tmp_path / "x-2.conf")], absent=[tmp_path / "x-*.conf"])
    assert changed == [str(tmp_path / name) for name in ("x-2.conf", "x-1.conf", "x-3.conf", "x-link.conf")]
    assert sorted(os.listdir(tmp_path)) == ["other.conf", "x-2.conf", "x-folder.conf"]
    assert (tmp_path / "other.conf").read_text() == "old"


def test_a_drop_in_folder_that_becomes_empty_goes_with_its_last_file(tmp_path):
    folder = tmp_path / "x.service.d"
    folder.mkdir()
    (folder / "a.conf").write_text("")
    assert bring(absent=[folder / "*.conf"]) == [str(folder / "a.conf"), str(folder)]
    assert os.listdir(tmp_path) == []


def test_a_folder_named_by_a_wildcard_goes_and_a_fixed_one_stays(tmp_path):
    for name in ("one", "two", "fixed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.conf").write_text("")
    (tmp_path / "two" / "admin").write_text("")
    bring(absent=[tmp_path / "[ot]*" / "*.conf", tmp_path / "fixed" / "a.conf"])
    assert sorted(os.listdir(tmp_path)) == ["fixed", "two"]
    assert os.listdir(tmp_path / "two") == ["admin"]


def test_an_empty_folder_stays_when_the_set_needs_it(tmp_path):
    folder = tmp_path / "x.service.d"
    folder.mkdir()
    (folder / "a.conf").write_text("")
    arguments = {"absent": [folder / "*.conf"], "files": [wanted(folder / "b.conf")]}
    assert bring(**arguments) == [str(folder / "b.conf"), str(folder / "a.conf")]
    assert bring(absent=[folder / "*.conf"], directories=[directory(folder)]) == [str(folder / "b.conf")]
    assert os.listdir(tmp_path) == ["x.service.d"]


# All or nothing


def furnish(root):
    """A tree with something of every kind, and arguments that change all of it."""
    root = Path(root)
    for name in ("d", "x.service.d", "kept"):
        (root / name).mkdir()
    for name in ("same", "changed", "kept/stale", "x.service.d/stale", "mode"):
        (root / name).write_text("old " + name)
    (root / "changed").chmod(0o640)
    (root / "kept" / "link").symlink_to("nowhere")
    return {
        "directories": [directory(root / "d", "0700"), directory(root / "new" / "deep", "0700")],
        "files": [
            wanted(root / "same", "old same"),
            wanted(root / "changed"),
            wanted(root / "mode", "old mode", "0600"),
            wanted(root / "new" / "deep" / "made"),
        ],
        "absent": [root / "kept" / "*", root / "x.service.d" / "*"],
    }


def test_a_refusing_command_sees_the_new_files_in_place_and_then_all_is_as_before(tmp_path, snapshot):
    arguments = furnish(tmp_path)
    before = snapshot(tmp_path)
    sees = f"cat {tmp_path}/changed {tmp_path}/new/deep/made; ls {tmp_path}/kept {tmp_path}/x.service.d; exit 3"
    says = refused(**arguments, validate=["sh", "-c", sees])
    shown = f"status 3 and said: new\nnew\n{tmp_path}/kept:\n\n{tmp_path}/x.service.d:; everything is as it was before"
    assert says.endswith(shown)
    assert snapshot(tmp_path) == before


def test_the_message_has_the_last_lines_only(tmp_path):
    says = refused(files=[wanted(tmp_path / "a")], validate=["sh", "-c", "seq 100; exit 1"])
    assert "said: 91\n" in says
    assert "100; everything" in says


def test_a_command_that_cannot_be_run_puts_all_back(tmp_path, snapshot):
    arguments = furnish(tmp_path)
    before = snapshot(tmp_path)
    says = refused(**arguments, validate=["/no/such/command", "-t"])
    assert says.startswith("validate: /no/such/command -t cannot be run: no such file or directory")
    assert snapshot(tmp_path) == before


def test_the_command_is_run_only_when_something_changed(tmp_path):
    arguments = {"files": [wanted(tmp_path / "a")]}
    bring(**arguments, validate=["test", "-s", str(tmp_path / "a")])
    assert bring(**arguments, validate=FAILS) == []


def test_a_failing_write_half_way_puts_all_back(tmp_path, snapshot):
    arguments = furnish(tmp_path)
    arguments["files"].append(wanted(tmp_path / ("n" * 250)))  # its hidden name would be too long
    before = snapshot(tmp_path)
    says = refused(**arguments)
    assert says == f"{tmp_path}/{'n' * 250} cannot be written: file name too long; everything is as it was before"
    assert snapshot(tmp_path) == before


def test_a_folder_somebody_else_fills_meanwhile_stays(tmp_path):
    made = tmp_path / "made"
    says = refused(directories=[directory(made)], validate=["sh", "-c", f"echo mine > {made}/other; exit 1"])
    assert "everything is as it was before" in says
    assert (made / "other").read_text() == "mine\n"


def test_any_other_exception_puts_all_back_and_goes_on(tmp_path, snapshot):
    arguments = furnish(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(TypeError):
        bring(**arguments, validate=[1])
    assert snapshot(tmp_path) == before


def test_recover_undoes_a_killed_run(tmp_path, snapshot):
    arguments = furnish(tmp_path)
    absent = [str(pattern) for pattern in arguments["absent"]]
    arguments["directories"][1:] = []
    arguments["files"][3:] = [wanted(tmp_path / "made")]
    before = snapshot(tmp_path)
    plan = file_set.make_plan(arguments["files"], absent, [])
    atomic.exchange((change.path, *file_set._new(change.after)) for change in plan.files)  # and there it was killed
    assert snapshot(tmp_path) != before
    atomic.stage(str(tmp_path / "same"), b"half", 0o644)
    back = file_set.recover(arguments["files"], absent)
    assert back == sorted(change.path for change in plan.files)
    assert snapshot(tmp_path) == before
    assert file_set.recover(arguments["files"], absent) == []


# What is told


def test_the_diff_shows_contents_and_attributes(tmp_path):
    (tmp_path / "a").write_text("old\n")
    (tmp_path / "a").chmod(0o600)
    plan = file_set.make_plan([wanted(tmp_path / "a")], [], [])
    attributes, content = file_diff.diff(plan)
    assert attributes["before_header"] == f"{tmp_path}/a (attributes)"
    assert attributes["before"].startswith("file, mode 0600, owner ")
    assert attributes["after"].startswith("file, mode 0644, owner ")
    header = f"{tmp_path}/a"
    assert content == {"before_header": header, "after_header": header, "before": "old\n", "after": "new\n"}


def test_the_diff_hides_what_is_sensitive(tmp_path):
    (tmp_path / "a").write_text("old secret")
    (tmp_path / "stale").write_text("stale secret")
    (tmp_path / "stale").chmod(0o600)
    (tmp_path / "open").write_text("no secret")
    absent = [str(tmp_path / "stale"), str(tmp_path / "open")]
    shown = str(file_diff.diff(file_set.make_plan([wanted(tmp_path / "a", "new secret", sensitive=True)], absent, [])))
    assert "no secret" in shown
    assert all(secret not in shown for secret in ("old secret", "new secret", "stale secret"))
    assert shown.count("content not shown") == 3


def test_the_diff_of_what_is_no_text_tells_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe\x00")
    entry = file_diff.diff(file_set.make_plan([wanted(tmp_path / "a")], [], []))[-1]
    assert entry["before"] == "(not text: 3 bytes)\n"


# Properties

NAMES = st.sampled_from(["a.conf", "b.conf", "c", "x.service.d/a.conf", "y.service.d/b.conf", "deep/er/d"])
CONTENTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MODES = st.sampled_from(["0644", "0600", "0755", "0440"])
TREES = st.dictionaries(NAMES, st.tuples(CONTENTS, MODES), max_size=6)
GLOBS = st.lists(st.sampled_from(["*.conf", "*.service.d/*.conf", "?", "deep/er/*"]), unique=True)


def grow(root, tree):
    for name, (content, bits) in tree.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
        path.chmod(int(bits, 8))


def arguments_for(root, tree, globs):
    parents = sorted({str(Path(root, name).parent) for name in tree} - {str(root)})
    return {
        "files": [wanted(Path(root, name), content, bits) for name, (content, bits) in tree.items()],
        "absent": [Path(root, pattern) for pattern in globs],
        "directories": [directory(parent) for parent in parents],
    }


@settings(max_examples=60, deadline=None)
@given(before=TREES, after=TREES, globs=GLOBS)
def test_a_set_is_true_after_one_run_and_the_second_finds_nothing(snapshot, before, after, globs):
    with tempfile.TemporaryDirectory() as root:
        grow(root, before)
        arguments = arguments_for(root, after, globs)
        bring(**arguments)
        for name, (content, bits) in after.items():
            assert Path(root, name).read_bytes() == content.encode()
            assert mode(Path(root, name)) == int(bits, 8)
        matching = {str(path) for pattern in globs for path in Path(root).glob(pattern) if path.is_file()}
        assert matching <= {str(Path(root, name)) for name in after}
        settled = snapshot(root)
        assert bring(**arguments) == []
        assert snapshot(root) == settled


@settings(max_examples=60, deadline=None)
@given(before=TREES, after=TREES, globs=GLOBS)
def test_a_refusing_command_leaves_every_tree_as_it_was(snapshot, before, after, globs):
    with tempfile.TemporaryDirectory() as root:
        grow(root, before)
        was = snapshot(root)
        arguments = arguments_for(root, after, globs)
        try:
            assert bring(**arguments, validate=["false"]) == []
        except file_set.FileSetError as error:
            assert "validate: false ended with status 1" in str(error)
        assert snapshot(root) == was
