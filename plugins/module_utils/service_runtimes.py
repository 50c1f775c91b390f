# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service must and must not say for its runtime, and what its runtime stands for where it says nothing."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.service_fields import SERVICE_FIELDS

NO_MODEL = {"name": "none"}
"""Of a program that has no model of ours."""

# Where a running engine says that it can answer. `tcp`: it takes connections, all that is known of any program.
HEALTH = {"llama_cpp": "/health", "vllm": "/health", "whisper": "/health", "command": "tcp", "container": "tcp"}

TAKE_A_KEY = ("llama_cpp",)
"""Runtimes that read the key which clients present from a file, where nobody else sees it."""

# Key -> the runtimes that it is for, where not for all.
KEYS_OF = {
    "command": ("command", "container"),
    "image": ("container",),
    "container_port": ("container",),
    "load_mode": ("llama_cpp",),
    "tensor_parallel": ("vllm",),
    "allocator": ("llama_cpp", "vllm", "whisper", "command"),
    "prefix": ("llama_cpp", "vllm", "whisper", "command"),
}
WHY_NOT = {
    "allocator": "the library would have to be in the image; name it there, in environment.LD_PRELOAD",
    "prefix": "a container gets its CPUs and nodes as its cpuset",
}
NEEDED = {"command": "command", "container": "image"}

# The engines' names of what the plan sets: a second one would contradict it. llama.cpp's `distribute` and `isolate` are
# values of --numa, and override the unit's placement.
PLANNED_OPTIONS = {
    "llama_cpp": frozenset(
        "--host --port --model -m --alias -a --threads -t --threads-batch -tb --ctx-size -c --parallel -np --batch-size"
        " -b --ubatch-size -ub --cache-type-k -ctk --cache-type-v -ctv --cache-ram -cram --numa --cpu-mask -C"
        " --cpu-range -Cr --cpu-mask-batch -Cb --cpu-range-batch -Crb --cpu-strict --cpu-strict-batch --prio"
        " --prio-batch --hf-repo -hf -hfr --model-url -mu --swa-full --kv-unified --gpu-layers --n-gpu-layers -ngl"
        " --api-key --api-key-file --load-mode --mmap --no-mmap --mlock --direct-io --no-direct-io --rpc"
        " -lm".split()),
    "vllm": frozenset(
        "--host --port --uds --model --served-model-name --tensor-parallel-size -tp --max-model-len --max-num-seqs"
        " --gpu-memory-utilization --api-key --numa-bind --numa-bind-nodes --numa-bind-cpus".split()),
    "whisper": frozenset("--host --port --threads -t --processors -p --model -m --no-gpu -ng".split()),
}
MODEL_OPTIONS = ("--model", "-m")


def fill_model(where, service):
    """Set the model of a service that needs none and names none."""
    if service["model"] is None:
        if service["runtime"] not in ("command", "container"):
            raise PlanError("%s.model is missing; it must be a mapping with a name." % where.split(" ")[0])
        service["model"] = dict(NO_MODEL)


def has_file(model):
    """Tell whether the checked model says where its file or files come from, with their checksums."""
    return bool(model["source"] and (model["sha256"] or model.get("files")))


def check_runtime(where, service):
    """Fill in health and memory_lock; raise PlanError for keys that the service's runtime lacks or does not have."""
    runtime = service["runtime"]
    for key, runtimes in KEYS_OF.items():
        if service[key] != SERVICE_FIELDS[key][0] and runtime not in runtimes:
            raise PlanError("%s.%s is set and its runtime is %s; %s." % (
                where, key, runtime, WHY_NOT.get(key, "%s is for %s" % (key, " and ".join(runtimes)))))
    needed = NEEDED.get(runtime)
    if needed and not service[needed]:
        raise PlanError("%s.%s is missing; runtime %s needs it." % (where, needed, runtime))
    if runtime == "command" and not service["command"][0].startswith("/"):
        raise PlanError("%s.command begins with %r; it must be the absolute path of a program on the host." % (
            where, service["command"][0]))
    if service["allocator"] and "LD_PRELOAD" in service["environment"]:
        raise PlanError("%s.environment has LD_PRELOAD, and allocator is %s; set one of the two." % (
            where, service["allocator"]))
    check_arguments(where, service)
    check_parallel(where, service)
    service["health"] = service["health"] or HEALTH[runtime]
    # Beside what mlock locks: memory that GPUs and network cards copy from is pinned.
    if service["memory_lock"] is None and (service["gpus"] or service["load_mode"] in ("mlock", "mmap+mlock")):
        service["memory_lock"] = "infinity"


def check_arguments(where, service):
    """Raise PlanError for an argument that says what the plan says."""
    planned = PLANNED_OPTIONS.get(service["runtime"], frozenset())
    if service["runtime"] == "whisper":
        if any("{port}" in word for word in service["arguments"]):
            # A Python package's own command line. Whether the engine is one is known when it is found.
            return
        if not has_file(service["model"]):
            # Then its user says where the model is.
            planned = planned.difference(MODEL_OPTIONS)
    for word in service["arguments"]:
        if word.split("=")[0] in planned:
            raise PlanError("%s.arguments has %s; the plan sets that, use the service's own key for it." % (
                where, word))


def check_parallel(where, service):
    """Raise PlanError for a number of ranks that the instance's GPUs cannot have."""
    ranks = service["tensor_parallel"]
    if ranks and service["gpus"] and service["gpus"] % ranks:
        raise PlanError("%s.tensor_parallel is %d and gpus is %d; gpus must be a multiple of it." % (
            where, ranks, service["gpus"]))
