"""What of a machine is read beside a run."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils import bench_state
from hypothesis import given
from hypothesis import strategies as st

STAT = """cpu  100 0 0 100 0 0 0 0 0 0
cpu0 {0} 10 20 400 30 1 2 {1} 0 0
cpu1 50 10 20 400 30 1 2 4 0 0
intr 1 2 3
"""
NUMA_MAPS = """55d0 bind:0 file=/srv/m.gguf mapped=256 N0=200 N1=56 kernelpagesize_kB=4
7f00 bind:0 huge anon=3 N1=3 kernelpagesize_kB=2048
7f10 default stack:1
"""
HERE = {"proc/loadavg": "1.50 1.0 0.5 2/100 77\n", "proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   2097152 kB\n",
        "proc/stat": STAT.format(50, 4), "proc/77/stat": "77 (a (b) c) S " + " ".join("0" * 10) + " 300 25 0 0\n",
        "proc/77/numa_maps": NUMA_MAPS,
        "proc/cpuinfo": "processor\t: 0\ncpu MHz\t\t: 2500.5\n\nprocessor\t: 1\ncpu MHz\t\t: 900.0\n",
        "sys/class/hwmon/hwmon0/name": "nvme\n", "sys/class/hwmon/hwmon0/temp1_input": "90000\n",
        "sys/class/hwmon/hwmon1/name": "coretemp\n", "sys/class/hwmon/hwmon1/temp1_input": "61500\n",
        "sys/class/hwmon/hwmon1/temp2_input": "58000\n"}


@pytest.fixture
def machine(tmp_path):
    def make(files, cpus=(0, 1)):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return bench_state.Machine(cpus, str(tmp_path))

    return make


def test_the_state_of_a_machine(machine):
    assert machine(HERE).snapshot({"chat-0": "77"}) == {
        "load_1m": 1.5, "memory_available_mib": 2048, "cpu_mhz": {"low": 900, "median": 1700, "high": 2500},
        "governor": None, "temperature_c": 61.5, "throttled": None,
        "pages_per_node_mib": {"chat-0": {"0": 0.7812, "1": 6.219}}}


def test_frequencies_and_governors_of_the_engines_cpus_alone(machine):
    files = dict(HERE)
    for cpu, mhz in enumerate((3000, 1200)):
        files["sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq" % cpu] = "%d000\n" % mhz
        files["sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor" % cpu] = "performance\n"
        files["sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count" % cpu] = "%d\n" % (cpu + 2)
    found = machine(files, cpus=[1]).snapshot({})
    assert found["cpu_mhz"] == {"low": 1200, "median": 1200, "high": 1200}
    assert (found["governor"], found["throttled"]) == ("performance", 3)


def test_a_machine_that_tells_nothing(machine):
    found = machine({}).snapshot({"chat-0": "77"})
    assert found.pop("pages_per_node_mib") == {"chat-0": None}
    assert set(found.values()) == {None}


def test_ticks_of_some_cpus():
    assert bench_state.cpu_ticks(STAT.format(50, 4), [0]) == {"busy": 83, "stolen": 4, "total": 517}
    assert bench_state.cpu_ticks(STAT.format(50, 4), [0, 1])["total"] == 1034
    assert bench_state.cpu_ticks(STAT.format(50, 4), [0, 2]) is None
    assert bench_state.cpu_ticks("", []) is None


def test_a_processes_ticks_come_after_its_name():
    assert bench_state.process_ticks(HERE["proc/77/stat"]) == 325
    assert bench_state.process_ticks("") is None


@given(st.text(max_size=300))
def test_no_text_makes_the_readers_fail(text):
    bench_state.cpu_ticks(text, [0])
    bench_state.process_ticks(text)
    bench_state.pages_per_node(text.splitlines())


def test_what_others_took_is_what_the_engine_and_we_did_not(machine):
    here = machine(HERE, cpus=[0])
    watch = bench_state.Watch(here, ["77"], beside=False)
    # 1000 ticks more: 500 busy of which the engine had 320, 80 stolen, the rest idle.
    machine({"proc/stat": STAT.format(550, 84).replace("20 400 30", "20 820 30", 1),
             "proc/77/stat": HERE["proc/77/stat"].replace("300 25", "600 45")})
    during = watch.during(10.0)
    assert (during["stolen_percent"], during["engine_percent"], during["others_percent"]) == (8.0, 32.0, 18.0)
    assert during["client_percent"] >= 0 and watch.ended() == []


def test_an_engine_that_has_ended_is_told_and_its_share_not_known(machine):
    here = machine(HERE, cpus=[0])
    watch = bench_state.Watch(here, ["77"], beside=False)
    machine({"proc/stat": STAT.format(550, 4), "proc/77/stat": ""})
    during = watch.during(10.0)
    assert (during["others_percent"], during["engine_percent"], during["stolen_percent"]) == (None, None, 0.0)
    assert watch.ended() == ["77"]


def test_the_time_of_an_engine_that_is_no_process_of_ours(machine):
    here = machine(HERE, cpus=[0])
    watch = bench_state.Watch(here, [], beside=False)
    machine({"proc/stat": STAT.format(550, 4)})
    during = watch.during(10.0, engine_seconds=400 / os.sysconf("SC_CLK_TCK"))
    assert (during["engine_percent"], during["others_percent"]) == (80.0, 20.0)


def test_a_stat_that_stands_still_tells_nothing(machine):
    here = machine(HERE, cpus=[0])
    during = bench_state.Watch(here, ["77"]).during(10.0)
    assert [during[key] for key in ("stolen_percent", "others_percent", "engine_percent")] == [None] * 3


def test_an_engine_is_all_processes_of_its_unit(machine):
    """As vLLM, whose main process leaves the work to others."""
    unit = "system.slice/system-x.slice/inference-chat@0.service"
    folder = "sys/fs/cgroup/" + unit
    files = dict(HERE, **{"proc/77/cgroup": "0::/%s\n" % unit, folder + "/cgroup.procs": "77\n78\n",
                          folder + "/cpu.stat": "usage_usec 1000000\nuser_usec 1\n",
                          "proc/78/numa_maps": "7f00 default anon=256 N1=256 kernelpagesize_kB=4\n"})
    here = machine(files, cpus=[0])
    assert here.snapshot({"chat-0": "77"})["pages_per_node_mib"] == {"chat-0": {"0": 0.7812, "1": 7.219}}
    watch = bench_state.Watch(here, ["77"], beside=False)
    seconds = 400 / os.sysconf("SC_CLK_TCK")
    machine({"proc/stat": STAT.format(550, 4), folder + "/cpu.stat": "usage_usec %d\n" % (1e6 + 1e6 * seconds)})
    during = watch.during(10.0)
    assert (during["engine_percent"], during["others_percent"]) == (80.0, 20.0)


@pytest.mark.parametrize(("text", "path"), [
    ("0::/system.slice/inference-chat@0.service\n", "/system.slice/inference-chat@0.service"),
    ("0::/a/inference-chat@0.service/libpod-1", "/a/inference-chat@0.service/libpod-1"),
    ("0::/\n", None), ("0::/user.slice\n", None), ("", None), ("1:cpu:/inference-x\n", None),
    ("0::/../../inference-x\n", None),
])
def test_a_group_that_holds_more_than_the_engine_is_none(text, path):
    assert bench_state.own_group(text) == path
