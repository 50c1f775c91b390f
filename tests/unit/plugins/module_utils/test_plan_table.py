"""What a person reads at the end of a run."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.plan_table import (
    placement_words,
    plan_table,
    summary,
    table,
)
from plan_topologies import gpu, model, service, topology

HOST = topology(sockets=2, cores=8, threads=2, nvme=1)


def lines_of(plan):
    return plan_table(plan).split("\n")


def test_columns_are_aligned():
    assert table(["A", "LONGER"], [["x" * 3, 1], ["y", "z"]]) == ["A    LONGER", "xxx  1", "y    z"]
    assert table(["A", "B"], []) == ["A  B"]


def test_the_table_shows_who_gets_what_and_why():
    big = service("big", threads=8, numa="interleave", port=9)
    plan = make_plan(HOST, [service("chat", threads=3, instances=2), big])
    lines = lines_of(plan)
    assert lines[0].split() == ["SERVICE", "INSTANCE", "CPUS", "NODE", "THREADS", "MIB", "PORT", "WHY"]
    assert [" ".join(line.split()).partition(" threads:")[0] for line in lines[1:4]] == [
        "chat 0 1-3 0 3 1536 18080", "chat 1 4-6 0 3 1536 18081", "big 0 7,9-15 0-1 interleaved 8 1536 9"]
    assert lines[1].endswith("threads: 3 was set by the user; 3 CPUs and 1536 MiB fit node 0")
    assert lines[3].endswith("threads: 8 was set by the user; numa: interleave was set by the user")
    assert len({line.index(word) for line, word in zip(lines[1:4], ("threads: 3", "threads: 3", "threads: 8"))}) == 1


@pytest.mark.parametrize(("numa", "words"), [(0, "0"), ("interleave", "0-1 interleaved"), ("off", "(0-1)")])
def test_nodes_that_nothing_holds_an_instance_at_stand_in_brackets(numa, words):
    (instance,) = make_plan(HOST, [service(threads=2, numa=numa)])["instances"]
    assert placement_words(instance) == words


def test_gpus_have_columns_where_one_is_used():
    host = topology(cores=8, gpus=[gpu(0), gpu(1)])
    on_gpus = service("a", threads=2, gpus=2, model=model(layers=4, weights_mib=9, kv_bytes_per_token=1))
    others = [service("b", threads=1), service("c", threads=1, runtime="vllm", model=model("n"))]
    lines = lines_of(make_plan(host, [on_gpus, *others]))
    assert lines[0].split()[4:8] == ["THREADS", "GPUS", "LAYERS", "MIB"]
    assert lines[1].split()[5:8] == ["0000:10:00.0", "0000:11:00.0", "5"]
    assert [line.split()[5:7] for line in lines[2:4]] == [["-", "-"], ["-", "-"]]
    assert "GPUS" not in lines_of(make_plan(host, others))[0]


def test_housekeeping_is_shown():
    assert "housekeeping CPUs: 0,8,16,24" in lines_of(make_plan(HOST, [service()]))
    assert "housekeeping CPUs: none (a small host)" in lines_of(make_plan(topology(cores=2), [service()]))


def test_settings_are_shown_with_value_or_with_why_not():
    lines = lines_of(make_plan(HOST, [service()], {"settings": {"memory_swappiness": 5}}))
    rows = {line.split()[1]: line for line in lines if line.startswith(("cpu ", "memory ", "nvme "))}
    assert "not applicable" in rows["governor"] and rows["governor"].endswith("no cpufreq driver")
    assert rows["vm.swappiness"].split()[2:] == ["5", *"memory_swappiness was set by the user".split()]


def test_a_file_is_shown_by_its_path_and_does_not_break_the_table():
    lines = lines_of(make_plan(HOST, [service()], {"settings": {"memory_lock_limit": "8G"}}))
    (limit,) = [line for line in lines if "DefaultLimitMEMLOCK" in line]
    assert limit.split(None, 2)[:2] == ["memory", "DefaultLimitMEMLOCK"]
    assert limit.split(None, 2)[2].split("  ")[0] == "in a file"
    assert limit.endswith("memory_lock_limit was set by the user (/etc/systemd/system.conf.d/60-inference-memory.conf)")
    start = next(number for number, line in enumerate(lines) if line.startswith("ROLE"))
    column = lines[start].index("WHY")
    for line in lines[start + 1:]:
        if not line.startswith("warning: "):
            assert line[column - 2:column] == "  " and line[column] != " "


def test_warnings_come_last():
    lines = lines_of(make_plan(HOST, [service()], {"settings": {"hugepages_count": 9}}))
    assert lines[-1].startswith("warning: hugepages_count is 9")


def test_a_plan_without_services_is_shown():
    assert lines_of(make_plan(HOST, []))[0].startswith("SERVICE")


def answer(text, **timings):
    return {"json": {"choices": [{"text": text}], "timings": timings}}


def test_the_summary_says_what_answers_where_and_how_fast():
    plan = make_plan(HOST, [service("chat"), service("docs", model=model("n"))], {"listen_port": 80})
    answers = [answer(" Paris,\n\n of course. ", predicted_per_second=12.345), answer("Yes")]
    lines = summary(plan, answers, "h1").split("\n")
    assert lines[-6:] == [
        "chat answers at http://h1:80/chat/v1", "  Paris, of course.", "  12.3 tokens per second",
        "docs answers at http://h1:80/docs/v1", "  Yes", "  the engine gave no timings"]
    assert lines[: len(lines_of(plan))] == lines_of(plan)


def test_of_what_completes_no_texts_is_said_where_it_is():
    plan = make_plan(HOST, [service("ears", runtime="whisper"), service("chat"), service("app", runtime="command")])
    lines = summary(plan, [answer("Yes")], "h1").split("\n")
    assert lines[-5:] == ["ears is at http://h1:8080/ears", "chat answers at http://h1:8080/chat/v1", "  Yes",
                          "  the engine gave no timings", "app is at http://h1:8080/app"]
