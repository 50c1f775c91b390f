"""The settings of a host: the plan's reason and evidence beside what was found."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.report_inputs import read_inputs
from ansible_collections.inference.host.plugins.module_utils.report_settings import (
    LONGEST,
    settings_of,
    settings_part,
    short,
)
from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_report
from plan_topologies import service, topology
from report_fleets import file, row, rows_of
from report_pages import Page

HOST = topology(sockets=2, cores=8, nvme=1, driver="intel_pstate")
PLAN = make_plan(HOST, [service(threads=4)])


def read(*rows):
    files = {"plans": {"h": {"plan": file(PLAN)}}}
    if rows:
        files["verify"] = file(verify_report(list(rows)))
    (host,), _notes = read_inputs(files)
    return host["plan"], host["rows"]


def test_every_setting_of_the_plan_is_there_with_its_evidence():
    entries = settings_of(*read(*rows_of("h", PLAN, 16)))
    assert {entry["evidence"] for entry in entries} == {"convention", "vendor"}
    assert len(entries) == len(PLAN["settings"]) and {entry["status"] for entry in entries} == {"ok"}
    (governor,) = [entry for entry in entries if "scaling_governor" in entry["label"]]
    assert (governor["more"], governor["reason"]) == (15, "steady clock under short bursts of work")


def test_a_setting_that_was_not_compared_says_so():
    entries = settings_of(*read())
    assert {entry["status"] for entry in entries} == {"not read"} and {entry["found"] for entry in entries} == {""}
    page = Page(settings_part(*read()))
    assert page.texts("td").count("not read back") == len(entries)


def test_one_cpu_that_differs_is_a_row_of_its_own():
    rows = rows_of("h", PLAN, 16)
    wrong = next(one for one in rows if "scaling_governor" in one["setting"])
    wrong.update(status="drift", found="powersave")
    entries = [entry for entry in settings_of(*read(*rows)) if "scaling_governor" in entry["label"]]
    assert [(entry["status"], entry["more"]) for entry in entries] == [("drift", 0), ("ok", 14)]
    assert Page(settings_part(*read(*rows))).texts("span", "badge") == ["drift"]


def test_settings_that_differ_in_a_number_alone_keep_their_own_rows():
    paths = ["/sys/devices/system/node/node%d/hugepages/nr" % node for node in range(3)]
    settings = [{"role": "hugepages", "label": path, "name": "pages", "kind": "sysfs", "value": str(number),
                 "reason": "", "evidence": "vendor", "applies": True, "why_not": ""}
                for number, path in enumerate(paths)]
    rows = [row("h", "hugepages", path, wanted=str(number), found=str(number)) for number, path in enumerate(paths)]
    entries = settings_of({"settings": settings}, rows)
    assert [(entry["label"], entry["found"], entry["status"]) for entry in entries] == [
        (path, str(number), "ok") for number, path in enumerate(paths)]


def test_a_name_with_many_stars_takes_no_longer():
    setting = {"role": "nvme", "label": "/sys/" + "*a" * 40 + "/b*", "name": "n", "kind": "sysfs", "value": "1",
               "reason": "", "evidence": "vendor", "applies": True, "why_not": ""}
    names = ["/sys/" + "a" * 90 + "/c", "/sys/" + "xa" * 45 + "/bx"]
    assert [entry["label"] for entry in settings_of({"settings": [setting]}, [
        row("h", "nvme", name, wanted=name) for name in names])] == names[::-1]


def test_a_star_stands_for_no_folder():
    setting = {"role": "nvme", "label": "/sys/block/*/queue/*_kb", "name": "n", "kind": "sysfs", "value": "1",
               "reason": "", "evidence": "vendor", "applies": True, "why_not": ""}
    names = ["/sys/block/nvme0n1/queue/max_kb", "/sys/block/a/b/queue/max_kb", "/sys/block/x/queue/y_kb/z_kb"]
    evidence = {entry["label"]: entry["evidence"] for entry in settings_of({"settings": [setting]}, [
        row("h", "nvme", name) for name in names])}
    assert evidence == dict(zip(names, ["vendor", "", ""], strict=True))


def test_what_the_plan_does_not_name_is_shown_in_its_role_without_evidence():
    rows = [*rows_of("h", PLAN, 16), row("h", "memory", "/etc/sysctl.d/60-old.conf", "drift", wanted="not there")]
    (entry,) = [entry for entry in settings_of(*read(*rows)) if "60-old" in entry["label"]]
    assert (entry["role"], entry["evidence"], entry["status"]) == ("memory", "", "drift")


def test_what_does_not_apply_is_listed_apart_with_its_reason():
    rows = rows_of("h", PLAN, 16)
    rows[0].update(status="not_applicable", note="the kernel belongs to the machine outside")
    page = Page(settings_part(*read(rows[0])))
    assert page.texts("summary") == ["1 setting does not apply to this host"]
    assert page.texts("li") == [rows[0]["setting"] + " — the kernel belongs to the machine outside"]


def test_no_plan_has_no_settings():
    assert "No settings are known" in settings_part(None, None)


@pytest.mark.parametrize(("name", "shown"), [
    ("vm.swappiness", "vm.swappiness"), ("x" * 90, "x" * 90),
    ("/etc/" + "folder/" * 12 + "file.conf", "…" + "/folder" * 7 + "/file.conf")])
def test_of_a_long_path_the_end_is_shown_and_the_whole_is_a_tooltip(name, shown):
    page = Page("<p>%s</p>" % short(name))
    assert page.texts("p") == [shown] and len(shown) <= max(LONGEST + 1, 90)
    assert [one["attributes"]["title"] for one in page.all("span")] == ([name] if shown != name else [])
