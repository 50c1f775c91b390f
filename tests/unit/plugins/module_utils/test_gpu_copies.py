"""Where the results of copies are kept, and when they count."""

import json
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery import copies as kept_copies
from ansible_collections.inference.host.plugins.module_utils.gpu_copies import refresh_copies
from ansible_collections.inference.host.plugins.module_utils.sysfs import Tree
from builders import write_files, write_link
from hypothesis import given
from hypothesis import strategies as st

ONE, TWO = "0000:10:00.0", "0000:11:00.0"
WAYS = [(ONE, TWO), (TWO, ONE)]
ROOT = "0000:00:01.0"
NOW = {"driver_version": "570.86.10", "gpus": [ONE, TWO], "translating": False, "redirecting": [], "options": []}


def copy(source=ONE, target=TWO, ok=True, access=True, reason=None):
    return {"from": source, "to": target, "ok": ok, "access": access, "bytes": 4096 if ok else 0, "reason": reason}


BOTH = [copy(), copy(TWO, ONE)]


@pytest.fixture
def host(tmp_path):
    """Return a function that makes the tree of a host. redirect: whether ACS does at the bridge above the cards.
    options: RegistryDwords of the driver. guest: a card that is lent to one."""

    def make(driver="570.86.10", cards=(ONE, TWO), group="identity", redirect=False, options="", guest=None):
        bridge = "sys/devices/pci0000:00/" + ROOT
        write_files(tmp_path, {
            bridge + "/class": "0x060400", "proc/driver/nvidia/params": 'RegistryDwords: "%s"' % options})
        (tmp_path / bridge / "config").write_bytes(with_acs(0x1D if redirect else 0))
        links = {"sys/bus/pci/devices/" + ROOT: bridge}
        for address in cards:
            folder = bridge + "/" + address
            links["sys/bus/pci/devices/" + address] = folder
            if address == guest:
                links[folder + "/driver"] = "sys/bus/pci/drivers/vfio-pci"
                write_files(tmp_path, {"sys/bus/pci/drivers/vfio-pci/bind": ""})
            write_files(tmp_path, {
                folder + "/class": "0x030200", folder + "/vendor": "0x10de", folder + "/device": "0x1db4",
                folder + "/numa_node": 0, folder + "/local_cpus": "1"})
        write_files(tmp_path, {"sys/kernel/iommu_groups/0/type": group})
        for link, target in links.items():
            if not (tmp_path / link).is_symlink():
                write_link(tmp_path, link, target)
        version = tmp_path / "proc/driver/nvidia/version"
        if driver:
            write_files(tmp_path, {
                "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  %s  Release" % driver})
        elif version.exists():
            version.unlink()
        return tmp_path

    return make


class Copier:
    """Answers as compare_copies would, and keeps the directions that it is asked for."""

    def __init__(self, results=(), why=None):
        self.answer, self.asked = (list(results), why), []

    def __call__(self, ways):
        self.asked.append(ways)
        results, why = self.answer
        return [result for result in results if (result["from"], result["to"]) in ways], why


def with_acs(control):
    """A bridge's configuration space whose only extended capability is ACS."""
    return bytes(0x100) + (0x000D).to_bytes(4, "little") + bytes(2) + control.to_bytes(2, "little")


def kept(root):
    return kept_copies.read_copies(Tree(str(root)), NOW)


def test_results_are_kept_once(host):
    root, copier = host(), Copier(BOTH)
    assert refresh_copies(Tree(str(root)), copier) == {"changed": True, "copies": BOTH, "skipped": None}
    assert kept(root) == BOTH and copier.asked == [WAYS]
    path = root / kept_copies.FILE
    assert path.stat().st_mode & 0o777 == 0o644 and [item.name for item in path.parent.iterdir()] == ["p2p.json"]
    again = refresh_copies(Tree(str(root)), copier)
    assert (again["changed"], again["copies"]) == (False, BOTH) and len(copier.asked) == 1
    assert again["skipped"] == "they are known, and nothing between the GPUs has changed"
    forced = refresh_copies(Tree(str(root)), copier, again=True)
    assert forced["changed"] is False and len(copier.asked) == 2


@pytest.mark.parametrize(("wishes", "why"), [
    ({"driver": None}, "the NVIDIA driver is not loaded"),
    ({"cards": [ONE]}, "fewer than two NVIDIA GPUs"),
    ({"cards": []}, "fewer than two NVIDIA GPUs"),
    ({"guest": TWO}, "fewer than two NVIDIA GPUs"),
])
def test_where_there_is_nothing_to_copy_nothing_is_asked(host, wishes, why):
    root, copier = host(**wishes), Copier(BOTH)
    assert refresh_copies(Tree(str(root)), copier) == {"changed": False, "copies": [], "skipped": why}
    assert copier.asked == [] and not (root / kept_copies.FILE).exists()


def test_check_mode_uses_no_card(host):
    root, copier = host(), Copier(BOTH)
    answer = refresh_copies(Tree(str(root)), copier, check_mode=True)
    assert answer == {"changed": False, "copies": [], "skipped": "check mode: no copy is made"} and not copier.asked


def test_a_reason_leaves_no_file(host):
    root = host()
    answer = refresh_copies(Tree(str(root)), Copier([], "cuInit: no device"))
    assert answer == {"changed": False, "copies": [], "skipped": "cuInit: no device"}
    assert not (root / kept_copies.FILE).exists()


def test_a_busy_card_takes_nothing_back(host):
    root = host()
    refresh_copies(Tree(str(root)), Copier(BOTH))
    busy = [copy(ok=None, access=None, reason="out of memory"), copy(TWO, ONE, ok=False, reason="x")]
    answer = refresh_copies(Tree(str(root)), Copier(busy), again=True)
    assert answer["copies"] == [BOTH[0], busy[1]] == kept(root)


def test_copies_that_were_made_do_not_outlast_an_access_that_is_gone(host):
    root = host()
    refresh_copies(Tree(str(root)), Copier(BOTH))
    none = [copy(*way, ok=None, access=False, reason="CUDA gives no access") for way in WAYS]
    assert refresh_copies(Tree(str(root)), Copier(none), again=True)["copies"] == none == kept(root)


def test_what_is_not_known_yet_is_asked_for_again(host):
    root = host()
    refresh_copies(Tree(str(root)), Copier([copy(ok=None, access=None, reason="busy"), BOTH[1]]))
    copier = Copier(BOTH)
    # What is known is not: engines may use the cards by now.
    assert refresh_copies(Tree(str(root)), copier)["changed"] is True and copier.asked == [WAYS[:1]]
    assert kept(root) == BOTH


def test_no_access_is_asked_for_again_since_mig_mode_may_have_been_the_reason(host):
    root = host()
    none = [copy(*way, ok=None, access=False, reason="CUDA gives no access") for way in WAYS]
    refresh_copies(Tree(str(root)), Copier(none))
    assert refresh_copies(Tree(str(root)), Copier(none))["changed"] is False and kept(root) == none
    assert refresh_copies(Tree(str(root)), Copier(BOTH))["changed"] is True and kept(root) == BOTH


@pytest.mark.parametrize(("change", "word"), [
    ({"driver": "580.95.05"}, "driver"),
    ({"cards": [ONE, TWO, "0000:12:00.0"]}, "set of GPUs"),
    ({"group": "DMA-FQ"}, "IOMMU mode"),
    # Offered, or set by the user, for the very pair whose copies failed.
    ({"redirect": True}, "set of redirecting bridges"),
    ({"options": "ForceP2P=0x11"}, "set of module options"),
])
def test_results_count_only_while_nothing_changed(host, change, word):
    root = host()
    refresh_copies(Tree(str(root)), Copier(BOTH))
    copier = Copier([], "busy")
    answer = refresh_copies(Tree(str(host(**change))), copier)
    assert answer == {"changed": False, "copies": [], "skipped": "busy"} and copier.asked
    tree = Tree(str(root))
    now = dict(NOW, **{"driver": {"driver_version": "580.95.05"}, "cards": {"gpus": [ONE]},
                       "group": {"translating": True}, "redirect": {"redirecting": [ROOT]},
                       "options": {"options": ["ForceP2P=17"]}}[next(iter(change))])
    assert kept_copies.read_copies(tree, now) == []
    assert tree.notes == {"nvidia.copies": "The copies in /var/lib/inference.host/p2p.json were made with another %s, "
                                           "and do not count." % word}


def test_no_file_is_no_note(tmp_path):
    tree = Tree(str(tmp_path))
    assert kept_copies.read_copies(tree, NOW) == [] and not tree.notes


@pytest.mark.parametrize("damage", [
    "", "{", "[]", "null", '{"copies": []}', "[" * 100000,
    json.dumps(dict(NOW, copies={})), json.dumps(dict(NOW, copies=[1])), json.dumps(dict(NOW, gpus=7, copies=[])),
    json.dumps(dict(NOW, copies=[dict(BOTH[0], ok=1)])), json.dumps(dict(NOW, copies=[dict(BOTH[0], bytes="x")])),
    json.dumps(dict(NOW, copies=[dict(BOTH[0], bytes=-1)])), json.dumps(dict(NOW, copies=[dict(BOTH[0], to=[])])),
    json.dumps(dict(NOW, copies=[dict(BOTH[0], reason="x" * 401)])),
    json.dumps(dict(NOW, copies=[dict(BOTH[0], access="yes")])),
    json.dumps(dict(NOW, copies=[dict(BOTH[0], to="0000:99:00.0")])),
])
def test_another_content_does_not_count(host, damage):
    root = host()
    write_files(root, {kept_copies.FILE: damage})
    tree = Tree(str(root))
    assert kept_copies.read_copies(tree, NOW) == []
    assert "is not what module gpu_copy writes" in tree.notes["nvidia.copies"]
    # It is replaced.
    assert refresh_copies(Tree(str(root)), Copier(BOTH))["changed"] is True and kept(root) == BOTH


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                               st.sampled_from(["from", "to", "ok", "copies", "gpus", "bytes"]), inner, max_size=4),
                           max_leaves=12)


@given(json_values, json_values, json_values)
def test_nothing_that_json_can_hold_is_too_much(gpus, copies, one):
    text = json.dumps(dict(NOW, gpus=gpus, copies=[copies, dict(BOTH[0], ok=one)]))
    assert kept_copies.parse(text) is None or isinstance(kept_copies.parse(text)["copies"], list)
    kept_copies.parse(json.dumps(gpus))


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(host):
    root = host()
    Path(root, "var").write_text("in the way", encoding="utf-8")
    with pytest.raises(OSError) as error:
        refresh_copies(Tree(str(root)), Copier(BOTH))
    assert str(root) in error.value.filename
