"""The filters as Ansible sees them: names, documentation, examples that run, and errors that a person can act on."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from plan_topologies import model, service, topology

ROOT = Path(__file__).resolve().parents[4]
NAMES = sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.py"))
CARDS = [{"address": address, "class": "0x030200", "vendor": "0x10de", "device": "0x1eb8", "numa_node": node,
          "local_cpus": [*range(node * 8, node * 8 + 8), *range(node * 8 + 16, node * 8 + 24)], "driver": "nvidia"}
         for node, address in enumerate(("0000:65:00.0", "0000:b3:00.0"))]
HASWELL = "pni ssse3 fma sse4_1 sse4_2 popcnt avx f16c abm bmi1 avx2 bmi2".split()
HOST = topology(sockets=2, cores=8, threads=2, nvme=1, driver="intel_pstate", gpus=CARDS, flags=HASWELL)
SAID = re.compile(r"^ *# => (.+)$", re.MULTILINE)


def module_of(name):
    return importlib.import_module("ansible_collections.inference.host.plugins.filter." + name)


def filter_of(name):
    return module_of(name).FilterModule().filters()[name]


def examples_of(name):
    """The filter's examples: (task, [the value that a comment `# => VALUE` below it says that its message is])."""
    text = module_of(name).EXAMPLES
    said = [[yaml.safe_load(value) for value in SAID.findall(part)] for part in re.split(r"(?m)^- ", text)[1:]]
    return list(zip(yaml.safe_load(text), said, strict=True))


EXAMPLES = [(name, number) for name in NAMES for number in range(len(examples_of(name)))]
CHECKED = [(name, number) for name, number in EXAMPLES if examples_of(name)[number][1]]


def ansible(*arguments, cwd):
    """Run one of Ansible's programs with this checkout as the collection."""
    environment = dict(os.environ, ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".collections"),
                       ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_CALLBACK_RESULT_FORMAT="json",
                       ANSIBLE_LOCAL_TEMP=str(cwd / "tmp"), ANSIBLE_NOCOLOR="1", LC_ALL="C.UTF-8")
    command = [sys.executable, "-m", "ansible", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def documentation(tmp_path_factory):
    """What `ansible-doc` says of each filter."""
    names = ["inference.host." + name for name in NAMES]
    done = ansible("doc", "-t", "filter", "--json", *names, cwd=tmp_path_factory.mktemp("doc"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_filters():
    assert {"plan", "services", "exec_start", "cmake_args", "build_id", "plan_table", "summary"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_the_filter_of_its_name(name):
    filters = module_of(name).FilterModule().filters()
    assert list(filters) == [name] and callable(filters[name])


@pytest.mark.parametrize("name", NAMES)
def test_ansible_doc_shows_the_filter(documentation, name):
    shown = documentation["inference.host." + name]
    doc = shown["doc"]
    assert doc["plugin_name"] == "inference.host." + name
    assert doc["short_description"] and doc["description"] and doc["version_added"] == "0.1.0"
    assert doc["author"] == "inference.host contributors (@inference-host)"
    assert shown["examples"].strip() and shown["return"]["_value"]["type"]


@pytest.mark.parametrize("name", NAMES)
def test_the_documented_options_are_the_arguments(documentation, name):
    # The first argument is what stands before the bar.
    arguments = list(inspect.signature(filter_of(name)).parameters.values())[1:]
    options = documentation["inference.host." + name]["doc"]["options"]
    assert options.pop("_input")["required"]
    assert set(options) == {argument.name for argument in arguments}
    for argument in arguments:
        option = options[argument.name]
        assert option.get("required", False) == (argument.default is argument.empty)
        assert option.get("default") is None or option["default"] == argument.default


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_tasks_that_use_the_filter(name):
    tasks = yaml.safe_load(module_of(name).EXAMPLES)
    assert tasks and all("name" in task for task in tasks)
    assert "inference.host." + name in module_of(name).EXAMPLES


@pytest.mark.parametrize("name", NAMES)
def test_each_value_that_examples_say_belongs_to_one_task(name):
    said = [values for _task, values in examples_of(name)]
    assert all(len(values) <= 1 for values in said)
    assert sum(map(len, said)) == module_of(name).EXAMPLES.count("=>")


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_are_refused_by_name(name):
    with pytest.raises(AnsibleFilterError, match=r"^inference\.host\.%s does not know colour; it takes .*\.$" % name):
        filter_of(name)({}, colour="red")
    with pytest.raises(AnsibleFilterError, match=r"^inference\.host\.%s: too many positional .*\.$" % name):
        filter_of(name)(*range(20))


SERVICES = [
    # Texts that Ansible expands late, as inventories have them.
    {"name": "{{ 'ch' ~ 'at' }}", "runtime": "llama_cpp", "threads": "{{ 2 + 1 }}",
     "arguments": ["{{ '--' ~ 'seed' }}", "1"], "environment": {"A": "{{ '50%' }}"},
     "model": model(sha256="{{ '0' * 64 }}")}]
PLAIN = [service("chat", threads=3, arguments=["--seed", "1"], environment={"A": "50%"})]


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """One run of all examples; afterwards what filters give, and fail with, in a template."""
    folder = tmp_path_factory.mktemp("play")
    results = {
        "plan": "{{ inference_plan }}",
        "services": "{{ inference_services | inference.host.services([{'name': 'm', 'size_bytes': 1}]) }}",
        "build_id": "{{ inference_topology | inference.host.build_id(ingredients) }}",
        "cmake_args": "{{ inference_topology | inference.host.cmake_args }}",
    }
    bad = "{{ inference_topology | inference.host.plan([{'name': 'chat', 'thread': 1}]) }}"
    tasks = [dict(examples_of(name)[number][0], register="%s_%d" % (name, number)) for name, number in EXAMPLES]
    results.update({"%s_%d" % example: "{{ %s_%d.msg }}" % example for example in CHECKED})
    tasks.append({"ansible.builtin.copy": {"dest": str(folder / "results.json"), "content": results, "mode": "0600"}})
    tasks.append({"ansible.builtin.debug": {"msg": bad}})
    variables = {
        "inference_topology": HOST, "inference_services": SERVICES, "source_sha256": "ab", "cmake_args": ["-DX=ON"],
        "ingredients": ["{{ 'a' ~ 'b' }}", ["{{ 'c' }}"]],
        "runtime_engines": {"llama_cpp": {"path": "/opt/llama-server", "options": []}},
        "model_releases": {"m": [
            {"release": name * 12, "current": name == "a", "source": "/m.gguf", "opened": "m.gguf",
             "files": {"m.gguf": name * 64}, "check": None} for name in "ab"]},
        "inference_plan": "{{ inference_topology | inference.host.plan(inference_services) }}",
        "answers": {"results": [{"json": {"choices": [{"text": "Paris"}], "timings": {"predicted_per_second": 2.0}}}]}}
    book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks, "vars": dict(
        variables, ansible_python_interpreter=sys.executable)}]
    (folder / "play.yml").write_text(json.dumps(book))
    return ansible("playbook", "-i", "localhost,", "play.yml", cwd=folder), folder


def test_all_examples_run(play):
    done, folder = play
    assert re.search(r"\bok=%d\b" % (len(EXAMPLES) + 1), done.stdout), done.stdout + done.stderr
    assert (folder / "results.json").exists()


@pytest.mark.parametrize(("name", "number"), CHECKED)
def test_examples_give_what_they_say(play, name, number):
    results = json.loads((play[1] / "results.json").read_text())
    assert [results["%s_%d" % (name, number)]] == examples_of(name)[number][1]


def test_filters_give_in_a_template_what_they_give_in_python(play):
    results = json.loads((play[1] / "results.json").read_text())
    assert results["plan"] == filter_of("plan")(HOST, PLAIN)
    assert results["services"] == filter_of("services")(PLAIN, [{"name": "m", "size_bytes": 1}])
    assert results["build_id"] == filter_of("build_id")(HOST, ["ab", ["c"]])
    assert results["cmake_args"] == filter_of("cmake_args")(HOST)


def test_a_wrong_wish_fails_the_task_with_the_sentence(play):
    done, _folder = play
    assert done.returncode == 2
    assert "inference_services[0].thread is not known; did you mean threads?" in done.stdout + done.stderr


@pytest.mark.parametrize(("name", "arguments", "sentence"), [
    ("plan", (HOST, [service(threads="8")]),
     "inference_services[0].threads is '8'; it must be a whole number from 1 to 4096."),
    ("plan", (HOST, [service(threads=20)], {"housekeeping_cores": 0}),
     "inference_services want chat 20 = 20 threads, host has 16 physical cores; "
     "lower threads, cpu_share or instances."),
    ("plan", (HOST, [], {"settings": {"memory_swappiness": 500}}),
     "memory_swappiness is 500; it must be a whole number from 0 to 200."),
    ("services", ("chat",), "inference_services is 'chat'; it must be a list of services."),
    ("exec_start", ({"name": "a-0", "runtime": "b"}, "/x", "/m"), "a-0: runtime is 'b'; it must be one of "
     "llama_cpp, vllm, whisper, command, container."),
    ("thread_count", (HOST, "8"), "share is '8'; it must be a number above 0 and at most 1."),
    ("gpu_cpus", (HOST, 2), "gpu is 2; on this host it must be a PCI address or a number from 0 to 1."),
    ("cpu_range", (["0"],), "CPU id '0' is not an integer from 0 to 65535."),
    ("numactl_args", ("chat-0",), "The instance is 'chat-0'; give one element of the plan's instances."),
    ("cflags", (HOST, "yes"), "lto is 'yes'; it must be true or false."),
    ("build_id", (HOST, "ab"), "ingredients is 'ab'; it must be a list, such as [source_sha256]."),
    ("unit_text", ("a\nb",), "environment value 'a\\nb' has a control character; write it as one line of text."),
])
def test_errors_are_the_sentence(name, arguments, sentence):
    with pytest.raises(AnsibleFilterError) as error:
        filter_of(name)(*arguments)
    assert str(error.value) == sentence


def test_the_filters_give_what_roles_need():
    plan = filter_of("plan")(HOST, PLAIN)
    line = filter_of("exec_start")(plan["instances"][0], {"path": "/opt/llama-server"}, "/models")
    assert line.startswith("/opt/llama-server --host 127.0.0.1 --port 18080 --model /models/m/")
    assert line.endswith(" --seed 1")
    assert filter_of("plan_table")(plan).startswith("SERVICE")
    assert filter_of("unit_text")('50% "a"') == '50%% \\"a\\"'
    assert filter_of("nvidia_report")(topology()) == ["not applicable: no NVIDIA card on PCI"]
