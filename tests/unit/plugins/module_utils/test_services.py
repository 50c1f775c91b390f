"""What a user may write: refused by name, completed with defaults."""

import copy

import pytest
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.release import Release, release_file
from ansible_collections.inference.host.plugins.module_utils.service_fields import PROFILES, SERVICE_FIELDS
from ansible_collections.inference.host.plugins.module_utils.service_models import MODEL_FIELDS
from ansible_collections.inference.host.plugins.module_utils.services import (
    POLICY_FIELDS,
    POLICY_VARIABLES,
    check_keys,
    check_policy,
    check_services,
    with_releases,
)
from hypothesis import given
from hypothesis import strategies as st
from plan_topologies import IMAGE, model, service, wishes

CHAT = "inference_services[0] (chat)"


def refused(*services):
    with pytest.raises(PlanError) as error:
        check_services(list(services))
    return str(error.value)


def test_only_name_runtime_and_model_are_needed():
    (checked,) = check_services([service()])
    assert set(checked) == set(SERVICE_FIELDS)
    assert (checked["instances"], checked["threads"], checked["numa"], checked["port"]) == (1, None, "auto", None)
    assert checked["model"] == dict(dict.fromkeys(MODEL_FIELDS), **model())
    sizes = {"context": 4096, "batch": 2048, "ubatch": 512, "cache_ram_mib": 1024, "gpus": 0, "gpu_layers": "auto"}
    assert sizes.items() <= checked.items()


def test_null_is_the_default():
    assert check_services([service(threads=None, environment=None, context=None)]) == check_services([service()])


def test_defaults_are_not_shared():
    first, second = check_services([service("a"), service("b")])
    first["environment"]["A"] = "b"
    first["arguments"].append("c")
    assert (second["environment"], second["arguments"]) == ({}, [])
    assert check_services([service()])[0]["environment"] == {}


@given(wishes())
def test_what_was_checked_is_checked_again_to_the_same_and_the_input_stays(services):
    before = copy.deepcopy(services)
    checked = check_services(services)
    assert services == before
    assert check_services(checked) == checked


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("instances", "8", "'8'"),
        ("instances", 0, "0"),
        ("instances", True, "True"),
        ("instances", "per_socket", "'per_socket'"),
        ("instances", 1025, "1025"),
        ("instances", 2.0, "2.0"),
        ("threads", "8", "'8'"),
        ("threads", True, "True"),
        ("threads", -1, "-1"),
        ("threads", 0, "0"),
        ("threads_batch", 4097, "4097"),
        ("cpu_share", "0.5", "'0.5'"),
        ("cpu_share", True, "True"),
        ("cpu_share", -0.5, "-0.5"),
        ("cpu_share", 0, "0"),
        ("cpu_share", 1.01, "1.01"),
        ("cpu_share", float("nan"), "nan"),
        ("cpu_share", float("inf"), "inf"),
        ("numa", "1", "'1'"),
        ("numa", "bind", "'bind'"),
        ("numa", -1, "-1"),
        ("numa", False, "False"),
        ("numa", 1024, "1024"),
        ("gpus", -1, "-1"),
        ("gpus", 65, "65"),
        ("gpus", "all", "'all'"),
        ("gpu_layers", "all", "'all'"),
        ("gpu_layers", -1, "-1"),
        ("gpu_memory_mib", 0, "0"),
        ("hugepages_mib", -1, "-1"),
        ("hugepages_mib", 1.5, "1.5"),
        ("profile", "fast", "'fast'"),
        ("io", "idle", "'idle'"),
        ("port", 0, "0"),
        ("port", 65536, "65536"),
        ("port", "8080", "'8080'"),
        ("context", 64, "64"),
        ("parallel", 0, "0"),
        ("batch", [512], "a list"),
        ("cache_type", "q4", "'q4'"),
        ("cache_ram_mib", -1, "-1"),
        ("nice", 20, "20"),
        ("priority", "high", "'high'"),
        ("environment", ["A=b"], "a list"),
        ("environment", {"A": 1}, "a mapping"),
        ("environment", {1: "A"}, "a mapping"),
        ("environment", {"A": "b\nExecStartPre=/bin/evil"}, "a mapping"),
        ('environment', {'A"': "b"}, "a mapping"),
        ("environment", {"A B": "b"}, "a mapping"),
        ("environment", {"A\n": "b"}, "a mapping"),
        ("environment", {"": "b"}, "a mapping"),
        ("arguments", "--verbose", "'--verbose'"),
        ("arguments", ["--seed", 1], "a list"),
        ("arguments", ["--a\tb"], "a list"),
        ("command", "serve", "'serve'"),
        ("command", ["/srv/app", 1], "a list"),
        ("image", "app:latest", "'app:latest'"),
        ("image", "registry.example.org/app:1.0", "'registry.example.org/app:1.0'"),
        ("image", "registry.example.org/app@sha256:" + "A" * 64,
         "'registry.example.org/app@sha256:%s..." % ("A" * 24)),
        ("image", "app@sha256:" + "a" * 64, "'app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."),
        ("image", IMAGE + "\n", "'registry.example.org/engines/serve@sha256:aaaaaaaaaaaaaa..."),
        ("container_port", 0, "0"),
        ("health", "health", "'health'"),
        ("health", "/a b", "'/a b'"),
        ("health", "/a;rm", "'/a;rm'"),
        ("paths", [], "a list"),
        ("paths", ["v1/"], "a list"),
        ("paths", ["/v1/ {"], "a list"),
        ("paths", "/", "'/'"),
        ("prefix", "nice", "'nice'"),
        ("load_mode", "lock", "'lock'"),
        ("memory_lock", 0, "0"),
        ("memory_lock", "all", "'all'"),
        ("open_files", 63, "63"),
        ("tasks", 0, "0"),
        ("oom_score", -1001, "-1001"),
        ("scheduling", "fifo", "'fifo'"),
        ("restart", 5, "5"),
        ("allocator", "libjemalloc.so", "'libjemalloc.so'"),
        ("allocator", "/usr/lib/a.so:/usr/lib/b.so", "'/usr/lib/a.so:/usr/lib/b.so'"),
        ("allocator", "/usr/lib/a b.so", "'/usr/lib/a b.so'"),
        ("config", "{}", "'{}'"),
        ("warm_up", 1, "1"),
        ("tensor_parallel", 0, "0"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_is_allowed(key, value, shown):
    allowed = SERVICE_FIELDS[key][1][1]
    assert refused(service(**{key: value})) == "inference_services[0].%s is %s; it must be %s." % (key, shown, allowed)


@pytest.mark.parametrize(("key", "allowed"), [
    ("instances", "per_numa_node, per_gpu or a whole number from 1 to 1024"),
    ("cpu_share", "a number above 0 and at most 1"),
    ("numa", "auto, interleave, off or a whole number from 0 to 1023"),
    ("gpu_layers", "auto or a whole number from 0 to 4096"),
    ("cache_type", "one of f16, bf16, q8_0, q4_0"),
    ("model", "a mapping with a name"),
    ("environment", "a mapping of names (letters, digits and '_') to texts of one line"),
])
def test_what_is_allowed_is_said_in_words(key, allowed):
    assert refused(service(**{key: "?"})) == "inference_services[0].%s is '?'; it must be %s." % (key, allowed)


@pytest.mark.parametrize(
    ("key", "value"),
    [("instances", 1024), ("threads", 4096), ("cpu_share", 1), ("cpu_share", 1e-6), ("numa", 0), ("numa", "off"),
     ("port", 1), ("port", 65535), ("context", 128), ("cache_ram_mib", 0), ("nice", -20), ("priority", -1000),
     ("environment", {"_a1": "it's 50% of \"$x\"; é"}), ("arguments", ["", "a b"]), ("profile", "speed"),
     ("instances", "per_numa_node"), ("hugepages_mib", 0), ("gpus", 64), ("health", "tcp"), ("health", "/"),
     ("paths", ["/", "/v1/models", "/~x/.well-known/"]), ("prefix", "taskset"), ("load_mode", "mmap+mlock"),
     ("memory_lock", "infinity"), ("memory_lock", 1), ("oom_score", -1000), ("oom_score", 1000), ("warm_up", True),
     ("allocator", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"), ("config", {}), ("open_files", 64), ("tasks", 1)],
)
def test_values_at_the_bounds_are_taken(key, value):
    assert check_services([service(**{key: value})])[0][key] == value


@pytest.mark.parametrize("key", ["name", "runtime", "model"])
def test_what_is_missing_is_named(key):
    wish = service()
    del wish[key]
    assert refused(wish).startswith("inference_services[0].%s is missing; it must be " % key)
    assert refused(dict(service(), **{key: None})).startswith("inference_services[0].%s is missing" % key)


@pytest.mark.parametrize("name", ["", "Chat", "a b", "-a", "a/b", "../a", "a.b", "a@b", "a\n", "é", "a" * 33, 7, "%i"])
def test_a_name_that_no_unit_can_have_is_refused(name):
    assert "inference_services[0].name is " in refused(service(name))


@pytest.mark.parametrize("name", ["a", "0", "whisper-large_v3", "a" * 32])
def test_plain_names_are_taken(name):
    assert check_services([service(name)])[0]["name"] == name


@pytest.mark.parametrize(("key", "hint"), [
    ("thread", "did you mean threads?"),
    ("cpu-share", "did you mean cpu_share?"),
    ("parrallel", "did you mean parallel?"),
    ("zzz", "allowed are allocator, arguments, batch, cache_ram_mib"),
    (1, "allowed are"),
])
def test_an_unknown_key_is_refused_with_a_suggestion(key, hint):
    sentence = refused(dict(service(), **{"name": "chat"}) | {key: 1})
    assert sentence.startswith("inference_services[0].%s is not known; %s" % (key, hint))


def test_an_unknown_runtime_is_refused():
    assert refused(service(runtime="vllmm")) == (
        "inference_services[0].runtime is 'vllmm'; it must be one of llama_cpp, vllm, whisper, command, container.")


@pytest.mark.parametrize(("given_", "shown"), [(None, "None"), ({}, "a mapping"), ("chat", "'chat'"), (3, "3")])
def test_services_must_be_a_list(given_, shown):
    with pytest.raises(PlanError, match="inference_services is %s; it must be a list of services" % shown):
        check_services(given_)


@pytest.mark.parametrize(("wish", "shown"), [("chat", "'chat'"), (["chat"], "a list"), (None, "None"), (1, "1")])
def test_a_service_must_be_a_mapping(wish, shown):
    assert refused(wish) == "inference_services[0] is %s; it must be a mapping." % shown


def test_two_services_have_two_names():
    assert refused(service(), service()) == (
        "inference_services[1] (chat).name: 'chat' is used twice; each service needs a name of its own.")


def test_one_model_name_is_one_file():
    other = model(sha256="1" * 64)
    assert refused(service("a"), service("b", model=other)) == (
        "inference_services[1] (b).model.name: 'm' stands for two files with different sha256; give each its own name.")
    assert len(check_services([service("a"), service("b"), service("c", model=model("n", sha256="1" * 64))])) == 3


def test_a_micro_batch_fits_its_batch():
    assert refused(service(batch=256, ubatch=257)) == CHAT + ".ubatch is 257; it must be at most batch (256)."
    assert check_services([service(batch=256, ubatch=256)])


def test_long_values_are_cut():
    assert refused(service(runtime="x" * 1000)) == (
        "inference_services[0].runtime is '%s...; it must be one of llama_cpp, vllm, whisper, command, "
        "container." % ("x" * 56))
    assert "runtime is '%s';" % ("x" * 58) in refused(service(runtime="x" * 58))


# Sizes, profiles and io


@pytest.mark.parametrize(("wish", "context", "batch", "ubatch"), [
    ({}, 4096, 2048, 512),
    ({"context": 128}, 128, 2048, 512),
    ({"batch": 100}, 4096, 100, 100),
    ({"batch": 100, "ubatch": 50}, 4096, 100, 50),
    ({"ubatch": 1024}, 4096, 2048, 1024),
    ({"ubatch": 4096}, 4096, 4096, 4096),
    ({"profile": "speed"}, 2048, 1024, 512),
    ({"profile": "balanced"}, 4096, 512, 512),
    ({"profile": "quality"}, 8192, 256, 256),
    ({"profile": "quality", "context": 512, "batch": 64, "ubatch": 32}, 512, 64, 32),
    ({"profile": "quality", "ubatch": 512}, 8192, 512, 512),
])
def test_what_the_service_says_wins_over_its_profile_and_that_over_the_default(wish, context, batch, ubatch):
    (checked,) = check_services([service(**wish)])
    assert (checked["context"], checked["batch"], checked["ubatch"]) == (context, batch, ubatch)


def test_profiles_are_as_their_name_says():
    for key, numbers in {"context": (2048, 4096, 8192), "batch": (1024, 512, 256)}.items():
        assert tuple(PROFILES[name][key] for name in ("speed", "balanced", "quality")) == numbers


@pytest.mark.parametrize(("runtime", "wish", "mib"), [
    ("llama_cpp", None, 1024), ("llama_cpp", 0, 0), ("vllm", None, 0), ("whisper", None, 0), ("command", 5, 5)])
def test_only_llama_cpp_has_a_prompt_cache_unasked(runtime, wish, mib):
    assert check_services([service(runtime=runtime, cache_ram_mib=wish)])[0]["cache_ram_mib"] == mib


def test_io_has_a_class_and_a_priority():
    assert check_services([service(io={"class": "idle"})])[0]["io"] == {"class": "idle", "priority": 4}
    assert check_services([service(io={"class": "realtime", "priority": 0})])[0]["io"]["priority"] == 0
    for io, sentence in (
        ({}, ".io.class is missing; it must be one of realtime, best-effort, idle."),
        ({"class": "fast"}, ".io.class is 'fast'; it must be one of realtime, best-effort, idle."),
        ({"class": "idle", "priority": 8}, ".io.priority is 8; it must be a whole number from 0 to 7."),
        ({"class": "idle", "prio": 1}, ".io.prio is not known; did you mean priority?"),
    ):
        assert refused(service(io=io)) == CHAT + sentence


@pytest.mark.parametrize(("scheduling", "sentence"), [
    ({}, ".scheduling.policy is missing; it must be one of other, batch, idle, fifo, rr."),
    ({"policy": "deadline"}, ".scheduling.policy is 'deadline'; it must be one of other, batch, idle, fifo, rr."),
    ({"policy": "fifo"}, ".scheduling.priority is None and its policy is fifo; give a priority from 1 to 99."),
    ({"policy": "rr", "priority": 0}, ".scheduling.priority is 0; it must be a whole number from 1 to 99."),
    ({"policy": "batch", "priority": 1},
     ".scheduling.priority is 1 and its policy is batch; only fifo and rr have a priority."),
])
def test_only_real_time_scheduling_has_a_priority(scheduling, sentence):
    assert refused(service(scheduling=scheduling)) == CHAT + sentence
    assert check_services([service(scheduling={"policy": "fifo", "priority": 99})])
    assert check_services([service(scheduling={"policy": "idle"})])[0]["scheduling"] == {
        "policy": "idle", "priority": None}


@pytest.mark.parametrize(("wish", "numbers"), [
    ({}, (2, 60, 20, 600)), ({"delay_seconds": 90}, (90, 90, 20, 600)), ({"tries": 3}, (2, 60, 3, 600)),
    ({"delay_seconds": 1, "max_delay_seconds": 1, "within_seconds": 9}, (1, 1, 20, 9))])
def test_restarts_are_completed(wish, numbers):
    names = ("delay_seconds", "max_delay_seconds", "tries", "within_seconds")
    assert check_services([service(restart=wish)])[0]["restart"] == dict(zip(names, numbers, strict=True))


def test_a_delay_grows_and_does_not_shrink():
    assert refused(service(restart={"delay_seconds": 9, "max_delay_seconds": 8})) == (
        CHAT + ".restart.max_delay_seconds is 8; it must be at least delay_seconds (9).")
    assert refused(service(restart={"delay_second": 9})) == (
        CHAT + ".restart.delay_second is not known; did you mean delay_seconds?")


# GPUs


@pytest.mark.parametrize(("wish", "gpus"), [({}, 0), ({"gpus": 2}, 2), ({"instances": "per_gpu"}, 1),
                                            ({"instances": "per_gpu", "gpus": 2}, 2)])
def test_one_instance_a_gpu_has_one_gpu_unless_it_says_more(wish, gpus):
    assert check_services([service(**wish)])[0]["gpus"] == gpus


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"instances": "per_gpu", "gpus": 0}, ".gpus is 0 and instances is per_gpu; gpus must be at least 1."),
    ({"gpu_layers": 0}, ".gpu_layers is 0 and gpus is 0; say how many gpus each instance has."),
    ({"gpu_memory_mib": 9}, ".gpu_memory_mib is 9 and gpus is 0; say how many gpus each instance has."),
    ({"instances": "per_numa_node", "numa": 0}, ".numa is 0 and instances is per_numa_node; leave numa at auto."),
    ({"instances": "per_numa_node", "numa": "off"}, ".numa is off and instances is per_numa_node; leave numa at auto."),
])
def test_wishes_that_contradict_each_other_are_refused(wish, sentence):
    assert refused(service(**wish)) == CHAT + sentence


# Models


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "g" * 64, "A" * 64, "0" * 64 + "\n", 0, "sha256:0"])
def test_a_bad_checksum_is_refused(sha256):
    sentence = refused(service(model=model(sha256=sha256)))
    assert sentence.startswith(CHAT + ".model.sha256 is ")
    assert sentence.endswith("it must be 64 hexadecimal digits in lower case.")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "a\n", "a" * 129])
def test_a_model_name_or_file_name_is_one_plain_folder_or_file(name):
    assert (CHAT + ".model.name is ") in refused(service(model=model(name)))
    assert (CHAT + ".model.filename is ") in refused(service(model=model(filename=name)))


@pytest.mark.parametrize(("key", "value"), [("source", ""), ("source", 1), ("weights_mib", 0), ("weights_mib", "12"),
                                            ("kv_bytes_per_token", 0), ("kv_bytes_per_token", 1.5), ("layers", 0),
                                            ("layers", 4097), ("header", "llama")])
def test_other_parts_of_a_model_are_checked_too(key, value):
    assert (CHAT + ".model.%s is " % key) in refused(service(model=model(**{key: value})))


def test_a_model_is_a_mapping_without_unknown_keys():
    assert "inference_services[0].model is 'm.gguf'; it must be a mapping" in refused(service(model="m.gguf"))
    assert refused(service(model=model(sha_256="0"))) == CHAT + ".model.sha_256 is not known; did you mean sha256?"


@pytest.mark.parametrize("source", ["/srv/a.gguf", "https://h/x/a.gguf", "https://h/a.gguf?sig=a/b", "https://h/a.gguf#b/c",
                                    "a.gguf"])
@pytest.mark.parametrize("filename", [None, "b.gguf"])
def test_the_plan_and_the_release_mean_the_same_file(source, filename):
    checked = check_services([service(model=model(source=source, filename=filename))])[0]["model"]
    release = Release("/models", checked["name"], checked["source"], checked["sha256"], checked["filename"])
    assert release.path == "/models/" + release_file(checked)
    assert release_file(checked) == "m/000000000000/" + (filename or "a.gguf")


def test_what_was_found_of_the_files_is_filled_in_and_the_users_word_wins():
    services = [service("size"), service("user", model=model("n", weights_mib=7)), service("absent", model=model("o")),
                service("facts", model=model("p")), service("own", model=model("q", header={"own": 1}))]
    before = copy.deepcopy(services)
    found = [
        {"name": "m", "size_bytes": (1 << 20) + 1, "facts": None},
        {"name": "n", "size_bytes": 1 << 30},
        {"name": "o", "size_bytes": None, "facts": None},
        {"name": "p", "size_bytes": 1 << 30, "facts": {"layers": 1}},
        {"name": "q", "size_bytes": 1 << 30, "facts": {"layers": 1}},
        {"name": "nobody's", "size_bytes": 1 << 30},
    ]
    models = {one["name"]: one["model"] for one in with_releases(services, found)}
    assert {name: (found["weights_mib"], found["header"]) for name, found in models.items()} == {
        "size": (2, None), "user": (7, None), "absent": (None, None), "facts": (None, {"layers": 1}),
        "own": (None, {"own": 1})}
    assert services == before


# Policy


def test_a_policy_is_completed():
    assert check_policy(None) == check_policy({}) == check_policy(dict.fromkeys(POLICY_FIELDS))
    assert check_policy({"first_port": 9000}) == {
        "housekeeping_cores": None, "smt": False, "memory_headroom_mib": 1024, "gpu_headroom_mib": 1024,
        "gpu_display_mib": 512, "gpu_ids": "index", "first_port": 9000, "listen_port": 8080, "workers": None,
        "settings": {}}


def test_every_key_of_the_policy_but_settings_has_a_variable_of_the_user():
    assert set(POLICY_VARIABLES) == set(POLICY_FIELDS) - {"settings"}


def test_a_policy_must_be_a_mapping():
    with pytest.raises(PlanError, match=r"^policy is a list; it must be a mapping\.$"):
        check_policy([])


@pytest.mark.parametrize(("key", "value", "variable"), [
    ("housekeeping_cores", -1, "topology_housekeeping_cores is -1;"),
    ("housekeeping_cores", "2", "topology_housekeeping_cores is '2';"),
    ("smt", 1, "topology_smt is 1; it must be true or false."),
    ("smt", "yes", "topology_smt is 'yes';"),
    ("memory_headroom_mib", True, "topology_memory_headroom_mib is True;"),
    ("gpu_headroom_mib", -1, "topology_gpu_headroom_mib is -1;"),
    ("gpu_display_mib", 0.5, "topology_gpu_display_mib is 0.5;"),
    ("workers", 0, "nginx_workers is 0;"),
    ("first_port", 65536, "topology_first_port is 65536;"),
    ("listen_port", "80", "nginx_listen_port is '80';"),
    ("settings", [], "policy.settings is a list;"),
    ("housekeeping", 1, "policy.housekeeping is not known; did you mean housekeeping_cores?"),
])
def test_a_wrong_policy_names_the_users_variable(key, value, variable):
    with pytest.raises(PlanError) as error:
        check_policy({key: value})
    assert str(error.value).startswith(variable)


JUNK = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=8)


JUNK_SERVICE = st.fixed_dictionaries({}, optional={key: JUNK for key in SERVICE_FIELDS})
ONE_JUNK_VALUE = st.builds(lambda key, value: [service(**{key: value})], st.sampled_from(sorted(SERVICE_FIELDS)), JUNK)


@given(JUNK | st.lists(JUNK_SERVICE, max_size=2) | ONE_JUNK_VALUE)
def test_whatever_is_written_is_taken_or_refused_in_one_sentence(junk):
    try:
        check_services(junk)
    except PlanError as error:
        assert str(error).startswith("inference_services") and str(error).endswith((".", "?"))


# Keys


@pytest.mark.parametrize("runtime", ["vllm", "whisper", "command", "container"])
def test_a_key_that_would_not_stay_secret_is_refused(runtime):
    with pytest.raises(PlanError) as error:
        check_keys(check_services([service("chat", runtime=runtime)]), {"chat": "not-a-real-key"})
    assert str(error.value) == (
        "service_api_keys has a key for chat, whose runtime %s takes none that stays secret; leave it out and set "
        "nginx_clients, so that nginx asks for keys in front." % runtime)


def test_keys_belong_to_services_and_are_one_line():
    services = check_services([service("chat")])
    check_keys(services, {})
    check_keys(services, {"chat": "k"})
    for keys, sentence in (
        ({"chta": "secret"}, "service_api_keys has a key for 'chta', which is no service; did you mean chat?"),
        ({"chat": "a\nsecret"}, "service_api_keys.chat is not fit for a key; it must be one line of text."),
        ({"chat": ""}, "service_api_keys.chat is not fit for a key; it must be one line of text."),
        ({"chat": 7}, "service_api_keys.chat is not fit for a key; it must be one line of text."),
    ):
        with pytest.raises(PlanError) as error:
            check_keys(services, keys)
        assert str(error.value) == sentence
