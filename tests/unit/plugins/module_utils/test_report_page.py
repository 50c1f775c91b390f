"""The report as a whole: what a reader finds on it, that it is one file, and that no text does anything in it."""

import json
import re

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan_svg import plan_svg
from ansible_collections.inference.host.plugins.module_utils.report_page import POLICY, fleet_report
from ansible_collections.inference.host.plugins.module_utils.report_style import report_style
from ansible_collections.inference.host.plugins.module_utils.verify_report import verify_report
from hypothesis import given, settings
from hypothesis import strategies as st
from report_fleets import WHEN, benchmark, benchmark_file, file, large_fleet, large_host, metric, row, rows_of, run
from report_pages import Page

ELEMENTS = set("""html head meta link title style body a header h1 h2 h3 h4 main section ul li b p div small span table
caption thead tbody tr th td details summary footer figure figcaption svg desc defs pattern path rect g text tspan line
circle""".split())
ATTRIBUTES = set("""class id title role scope tabindex lang colspan href data-label aria-label viewbox width height x y
x1 x2 y1 y2 dx rx cx cy r d fill patternunits name content http-equiv charset rel""".split())
SHARP = ["<script>alert(1)</script>", "</style><script>", "</title>", "\"onload=\"alert(1)", "' onerror='", "<!--",
         "-->", "]]>", "javascript:alert(1)", "&lt;b&gt;", "<svg/onload=alert(1)>", "{{ 7 * 7 }}", "\u202e", "\x00",
         "\x1b[31m", "<img src=//example.org/x>", "../../etc/passwd", "data:text/html,x", "%s %d", "`${x}`", "\ud800"]
HOSTILE = st.lists(st.sampled_from(SHARP) | st.text(max_size=9), min_size=1, max_size=3).map("".join)


def sample(verify=True):
    """Three hosts: one as planned, one with drift and slower, one that did not answer."""
    files = {"plans": {}, "benchmarks": []}
    rows = []
    for number, name in enumerate(("good", "bad")):
        host, plan = large_host(number)
        files["plans"][name] = {"plan": file(plan), "picture": file(plan_svg(host, plan, name))}
        rows += rows_of(name, plan, 128)
        for label, factor in (("before", 1), ("after", (1.5, 0.5)[number]), ("later", (1.6, 0.5)[number])):
            files["benchmarks"].append(benchmark_file(name, benchmark(
                label, run(tokens_per_second=metric(40 * factor),
                           ttft_ms=metric(200 / factor, unit="ms", better="less")),
                run(shape="noisy", judged=False, why_not="others took 40 %"),
                when="2026-11-2%dT10:00:00Z" % len(files["benchmarks"]))))
    next(one for one in rows if one["host"] == "bad" and one["setting"] == "vm.swappiness").update(
        status="drift", found="60")
    rows.append(row("gone", "host", "reading the host", "unreachable", found="-", note="no route"))
    if verify:
        files["verify"] = file(verify_report(rows))
    return files


SAMPLE = sample()
PAGE = Page(fleet_report(SAMPLE, "My fleet", ["never"]))


def section(host):
    """The elements of a host's page."""
    return Page(re.search('<section id="host-%s".*?</section>' % host, fleet_report(SAMPLE, hosts=["never"])).group(0))


# The front page


def test_hosts_that_need_somebody_come_first():
    assert PAGE.texts("h1") == ["My fleet"]
    front = PAGE.all("table")[0]
    assert front["path"].count("section") == 1
    hosts = [link["text"] for link in PAGE.all("a") if link["path"][-1] == "th"]
    assert hosts == ["gone", "bad", "never", "good"]


def test_the_front_page_counts_and_says_how_old_it_is():
    (tally,) = PAGE.all("ul", "tally")
    assert " ".join(tally["text"].split()) == "4hosts2need attention2read back2measured"
    assert any("Plans of %s, read back on %s." % (WHEN, WHEN) in text for text in PAGE.texts("p"))


def test_a_comparison_that_is_older_than_a_plan_says_so():
    words = "read back on 2026-11-20 20:00 UTC, which was before the newest plan."
    assert words in fleet_report(dict(SAMPLE, verify=dict(SAMPLE["verify"], modified="2026-11-20 20:00 UTC")))
    assert "newest plan" not in fleet_report(SAMPLE) + fleet_report(dict(SAMPLE, verify=None))


@pytest.mark.parametrize("status", ["refused", "unreachable"])
def test_a_host_that_could_not_be_read_was_not_read_back(status):
    verify = verify_report([row("a", "host", "reading the host", status), row("b", "cpu", "x", "drift")])
    (tally,) = Page(fleet_report({"verify": file(verify)})).all("ul", "tally")
    assert "1read back" in tally["text"]


def test_what_needs_attention_first_names_its_hosts():
    (first, *_others) = PAGE.all("ul", "problems")
    words = " ".join(first["text"].split())
    assert words.startswith("Unreachablehost: reading the host") and "Driftmemory: vm.swappiness" in words
    assert "Slowerchat throughput-b4-p512: tokens per second" in words


def test_rows_say_what_a_host_serves_and_how_fast():
    text = fleet_report(SAMPLE)
    cells = Page(text).texts("td")
    assert "chat × 2, embed, whisper" in cells
    assert "64 tokens/schat throughput-b4-p512: better: 1.60× (1.51–1.70)" in cells


# The pages of the hosts


def test_every_link_leads_to_a_place_of_the_page():
    places = [element["attributes"]["id"] for element in PAGE.elements if "id" in element["attributes"]]
    assert len(places) == len(set(places))
    links = {link["attributes"]["href"] for link in PAGE.all("a")}
    assert {"#" + place for place in places if place.startswith("host")} == links


def test_a_host_has_all_its_parts():
    page = section("bad")
    assert page.texts("h3") == ["Needs attention", "Plan", "Benchmarks", "Models and releases", "Settings",
                                "Engines, units, nginx"]
    assert page.all("svg", "inference-plan") and len(page.all("svg", "chart")) == 3
    assert page.texts("h4") == ["Over time"]
    (drift,) = [" ".join(element["text"].split()) for element in page.all("tr") if "vm.swappiness" in element["text"]]
    assert drift.startswith("vm.swappiness") and "10" in drift and "60" in drift and "convention" in drift
    assert any("others took 40 %" in text for text in page.texts("li"))
    assert [text for text in page.texts("tr") if "gemma-3-27b" in text and "a5fd3b62230aa5fd3b62230aok" in text]


def test_what_is_missing_is_said():
    words = section("never").of_id("host-never")["text"]
    for sentence in ("There is no plan of this host", "The host was not compared with its plan",
                     "There is no picture of the plan", "No benchmark of this host was found", "No models are known",
                     "No settings are known", "Nothing else was read back"):
        assert sentence in words
    assert Page(fleet_report({})).texts("p")[0] == "No host was found: no plans, no comparison, no benchmarks."
    assert "nothing was read back" in fleet_report(sample(verify=False))


def test_a_broken_file_is_said_and_the_rest_is_shown():
    files = dict(SAMPLE, verify=file("{"), plans=dict(SAMPLE["plans"], bad={"plan": file("["), "picture": file("x")}))
    text = fleet_report(files)
    assert "verify.json is no JSON" in text and "plan.json is no JSON" in text and "nothing was read back" in text
    assert "plan.svg is none that this collection draws" in text and "chat × 2, embed, whisper" in text


def test_one_measurement_has_bars_and_no_comparison():
    files = dict(SAMPLE, benchmarks=SAMPLE["benchmarks"][:1])
    (page,) = re.findall('<section id="host-good".*?</section>', fleet_report(files))
    assert "Nothing is compared with one measurement" in page and 'class="was"' not in page and 'class="now"' in page


# One file


def test_the_page_needs_nothing_but_itself():
    text = fleet_report(SAMPLE)
    assert not re.search(r"(src|srcset|action|data|poster)=|@import|https?://|<(script|img|iframe|object|form)", text)
    assert [one["attributes"]["href"] for one in PAGE.all("link")] == ["data:,"]
    policy = [one["attributes"]["content"] for one in PAGE.all("meta") if "http-equiv" in one["attributes"]]
    assert policy == [POLICY] and "default-src 'none'" in POLICY
    assert (PAGE.declarations, PAGE.comments, PAGE.open) == (["DOCTYPE html"], [], [])


def test_the_same_files_give_the_same_text():
    files = json.loads(json.dumps(SAMPLE))
    files["plans"] = dict(reversed(files["plans"].items()))
    files["benchmarks"].reverse()
    assert fleet_report(files) == fleet_report(SAMPLE)


def test_200_large_hosts_that_all_differ_stay_below_10_megabytes():
    assert len(fleet_report(large_fleet(200)).encode()) < 10_000_000


@pytest.mark.parametrize("factor", [1.2, 0.8])
def test_it_is_no_larger_with_all_shapes_better_or_worse(factor):
    """20 hosts, each with the room that it has among 200."""
    files = large_fleet(20, sizes=27, growth={"more": factor, "less": 1 / factor})
    others = ["never%d" % number for number in range(180)]
    sizes = [len(fleet_report(found, hosts=others).encode()) for found in (files, {})]
    assert 10 * (sizes[0] - sizes[1]) < 10_000_000


def test_few_hosts_show_all_their_runs_and_many_say_how_many_more():
    files = large_fleet(1, sizes=27)
    alone, among = (Page(fleet_report(files, hosts=["never%d" % number for number in range(count)]))
                    for count in (0, 199))
    runs = [sum("throughput-b" in row["text"] for row in page.all("tr") if row["path"].count("details")) for page in (
        alone, among)]
    assert runs == [81, 8] and "All numbers" in alone.texts("summary")
    assert "73 more runs of december are in the benchmark's file." in among.texts("p")


# Hostile texts


def check(text):
    page = Page(text)
    assert {element["name"] for element in page.elements} <= ELEMENTS
    for element in page.elements:
        assert set(element["attributes"]) <= ATTRIBUTES
        assert re.fullmatch("(#[a-z0-9-]+|data:,)?", element["attributes"].get("href", ""))
        assert re.fullmatch(r"(url\(#hatch-[0-9a-f]{8}\))?", element["attributes"].get("fill", ""))
    assert [element["text"] for element in page.all("style")] == [report_style()]
    assert (page.declarations, page.comments, page.open) == (["DOCTYPE html"], [], [])
    assert len(page.all("section")) == len({one["attributes"]["id"] for one in page.all("section")})
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    text.encode()


def replaced(value, words, every):
    """Return a value with each of its texts replaced by a hostile one, but those in `every`; lists are cut."""
    if isinstance(value, dict):
        return {key: replaced(one, words, every) for key, one in value.items()}
    if isinstance(value, list):
        return [replaced(one, words, every) for one in value[:12]]
    return words if isinstance(value, str) and value not in every else value


KEPT = {"drift", "ok", "unreachable", "not_applicable", "service", "engine", "bind", "less", "more"}


@settings(max_examples=60, deadline=None)
@given(HOSTILE, HOSTILE)
def test_no_text_of_a_host_becomes_more_than_text(name, words):
    plain = {"plans": {host: json.loads(pair["plan"]["text"]) for host, pair in SAMPLE["plans"].items()},
             "verify": json.loads(SAMPLE["verify"]["text"]),
             "benchmarks": [json.loads(one["text"]) for one in SAMPLE["benchmarks"]]}
    bad = replaced(plain, words, KEPT)
    for one in bad["benchmarks"]:
        one["engine"] = {words: words}
        one["runs"][0]["summary"][words] = one["runs"][0]["summary"]["ttft_ms"]
    picture = SAMPLE["plans"]["bad"]["picture"]["text"].replace("gemma", words).replace("bad", words)
    files = {"plans": {name + host: {"plan": file(json.dumps(plan)), "picture": {"text": picture, "modified": words}}
                       for host, plan in bad["plans"].items()},
             "verify": dict(file(json.dumps(bad["verify"])), modified=words),
             "benchmarks": [dict(file(json.dumps(one)), host=name + "bad", label=words) for one in bad["benchmarks"]]
             + [{"fault": words, "host": name, "label": words}]}
    check(fleet_report(files, words, [words]))


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(SHARP),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
                        ["instances", "settings", "reasons", "rows", "runs", "summary", "m"]), inner, max_size=3),
                    max_leaves=12)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_value_of_another_kind_never_stops_the_report(data):
    """One place of one file is anything at all."""
    files = {"plan": {"instances": [{"name": "a", "service": "a", "gpus": [], "reasons": {}, "host_memory_mib": 1}],
                      "settings": [{"role": "cpu", "name": "n", "kind": "sysctl", "value": "1"}], "warnings": []},
             "verify": {"hosts": [{"host": "h", "rows": [row("h", "cpu", "n")], "p2p": [{"gpus": ["a", "b"]}]}]},
             "benchmark": benchmark("a", run(m=metric(1)))}
    place, path = files, []
    while isinstance(place, (dict, list)) and place and (len(path) < 1 or data.draw(st.booleans())):
        path.append(data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))))
        parent, place = place, place[path[-1]]
    parent[path[-1]] = data.draw(JSON)
    other = json.dumps(benchmark("b", run(m=metric(2)), when="2027-01-01T00:00:00Z"))
    check(fleet_report({"plans": {"h": {"plan": file(json.dumps(files["plan"]))}},
                        "verify": file(json.dumps(files["verify"])),
                        "benchmarks": [dict(file(json.dumps(files["benchmark"])), host="h", label="a"),
                                       dict(file(other), host="h", label="b")]}))


@pytest.mark.parametrize("files", [
    None, 3, [], {"plans": 3}, {"plans": {"h": 3}}, {"plans": {"h": {"plan": {"text": 3}}}}, {"verify": "x"},
    {"benchmarks": ["x", None]}, {"benchmarks": {}}])
def test_files_of_another_kind_never_stop_the_report(files):
    check(fleet_report(files))


@pytest.mark.parametrize("part", ["<script></script>", "<p onclick=1></p>", "<a href=//x></a>", "<!-- -->"])
def test_what_should_not_be_in_a_page_would_be_found(part):
    text = fleet_report(SAMPLE)
    check(text)
    with pytest.raises(AssertionError):
        check(text.replace("<main>", "<main>" + part))
