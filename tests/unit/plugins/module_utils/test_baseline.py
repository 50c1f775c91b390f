"""What is kept of files, and how it is put back."""

import os
import stat

import pytest
from ansible_collections.inference.host.plugins.module_utils import baseline


def an_odd_tree(folder):
    """Make a file, a link, a dangling link, a folder and nothing; return their paths."""
    names = ("file", "link", "dangling", "folder", "nothing")
    paths = {name: str(folder / name) for name in names}
    with open(paths["file"], "wb") as stream:
        stream.write(b"bytes \xff\x00")
    os.chmod(paths["file"], 0o4750)
    os.symlink("file", paths["link"])
    os.symlink("/no/where", paths["dangling"])
    os.mkdir(paths["folder"], 0o711)
    return paths


def test_whatever_was_there_is_put_back(tmp_path, snapshot):
    paths = an_odd_tree(tmp_path)
    before = {name: what[:3] for name, what in snapshot(tmp_path).items() if name != "."}
    found = {path: baseline.look(path) for path in paths.values()}
    for name in ("file", "link", "dangling"):
        os.unlink(paths[name])
    os.rmdir(paths["folder"])
    for name in ("link", "nothing"):
        with open(paths[name], "w") as stream:
            stream.write("ours")
    for path, was in found.items():
        baseline.put_back(path, was)
        assert baseline.look(path) == was
    after = snapshot(tmp_path)
    assert {name: what[:3] for name, what in after.items() if name != "."} == before
    assert os.readlink(paths["dangling"]) == "/no/where"
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file", "folder", "link"]


def test_a_pipe_is_told_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(baseline.BaselineError, match="pipe is there and is not a regular file"):
        baseline.look(str(tmp_path / "pipe"))


def test_the_first_that_is_seen_is_kept(tmp_path):
    path = str(tmp_path / "a")
    state = baseline.empty()
    baseline.note(state, "", path, b"one")
    (tmp_path / "a").write_text("one")
    baseline.note(state, "", path, b"two")
    assert state["files"][path]["before"] == {"kind": "absent"}
    assert state["files"][path]["written"] == baseline.digest_of(b"two")


def test_what_another_role_saw_first_counts_and_what_we_wrote_is_nothing(tmp_path):
    path = tmp_path / "a"
    path.write_text("# ours\n")
    one, two = baseline.empty(), baseline.empty()
    baseline.note(one, "", str(path), b"x", header=b"# ours")
    assert one["files"][str(path)]["before"] == {"kind": "absent"}
    baseline.note(two, "", str(path), b"y", [one])
    assert two["files"][str(path)]["before"] == {"kind": "absent"}


def test_a_state_is_saved_for_its_owner_and_an_empty_one_leaves_no_file(tmp_path):
    folder, state = str(tmp_path), baseline.empty()
    state["pending"] = [["true"]]
    baseline.save(folder, "60-x", state)
    assert stat.S_IMODE(os.stat(tmp_path / "60-x.json").st_mode) == 0o600
    assert baseline.load(folder, "60-x") == state
    assert baseline.stems(folder) == ["60-x"]
    baseline.save(folder, "60-x", baseline.empty())
    assert os.listdir(folder) == []
    assert baseline.load(folder, "60-x") == baseline.empty()
