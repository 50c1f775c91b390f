# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the watch is to find on its host, as one mapping that is written there. Read on the controller, without I/O.

No secret is in it: of a file that holds one there is the hash, and of a key the file that the host has it in.
"""

from __future__ import annotations

import hashlib

from ansible_collections.inference.host.plugins.module_utils.completion import RUNTIMES
from ansible_collections.inference.host.plugins.module_utils.json_text import json_text
from ansible_collections.inference.host.plugins.module_utils.p2p import LLAMA_SWITCH, NCCL_SWITCH

SETTING_ROLES = ("cpu", "hugepages", "memory", "nvme", "network")
"""Those whose files are looked for also where the plan has nothing for them."""
SETTING_DEFAULTS = {"path": None, "persist": None, "retry_seconds": 0, "after": [], "reboot": None, "role": None,
                    "reason": None, "evidence": None, "applies": True, "why_not": None}
"""As module tunables has them."""
INSTANCE_KEYS = ("name", "service", "unit", "cpus", "numa_policy", "numa_range", "parallel", "gpus", "p2p")
KEYS = "/etc/inference.host/keys/"
CLIENTS = "/etc/nginx/inference/clients.map"
READ_SECONDS = 240
"""What the reading may take without the probes: nvidia-smi alone is given 60 seconds a call until it hangs."""
PROBE_SECONDS = 30
MOST_TOKENS = 256


def watch_wanted(plan, host, files, nginx, model_dir, textfile_dir, probe_tokens=8, keyed=None, clients=False,
                 mig=None):
    """Return what is written to watch.json.

    plan: of the host. host: its name. files: what module files is given for the units, sealed: {"directories", "files",
    "absent"}. nginx: what module nginx is given, its files sealed. model_dir: folder of the models. textfile_dir:
    folder of the metrics. probe_tokens: length of the completion, 0 for none. keyed: services with a key of their own.
    clients: whether clients have keys of their own, so that nginx takes no other. mig: nvidia_mig. Raises ValueError
    for a wrong probe_tokens.
    """
    if isinstance(probe_tokens, bool) or not isinstance(probe_tokens, int) or not 0 <= probe_tokens <= MOST_TOKENS:
        raise ValueError("watch_probe_tokens is %s; it must be a whole number from 0, for no probe, to %d." % (
            probe_tokens, MOST_TOKENS))
    asked = [service["name"] for service in plan["services"] if service["runtime"] in RUNTIMES and probe_tokens]
    roles = list(dict.fromkeys([*SETTING_ROLES, *(setting["role"] for setting in plan["settings"])]))
    return {
        "host": host,
        "digest": hashlib.sha256(json_text(plan).encode()).hexdigest()[:12],
        "plan": {
            "settings": [complete(setting) for setting in plan["settings"]],
            "instances": [_instance(instance) for instance in plan["instances"]],
            "hugepages": plan["hugepages"],
        },
        "setting_roles": roles,
        "files": dict(files, directories=[dict({"mode": "0755", "owner": None, "group": None}, **item)
                                          for item in files["directories"]]),
        "nginx": nginx,
        "mig": mig,
        "model_dir": model_dir,
        "textfile_dir": textfile_dir,
        "probe": {
            "url": "http://127.0.0.1:%d/" % plan["nginx"]["listen_port"],
            "tokens": probe_tokens,
            "seconds": PROBE_SECONDS,
            "services": [{"name": name, "key_file": CLIENTS if clients else KEYS + name if name in (keyed or ()) else
                          None} for name in asked],
        },
        "timeout_seconds": READ_SECONDS + PROBE_SECONDS * len(asked),
    }


def complete(setting):
    """Return a setting with the defaults and types that Ansible gives it for module tunables."""
    whole = dict(SETTING_DEFAULTS, **{key: value for key, value in setting.items() if value is not None})
    return dict(whole, value=str(whole["value"]), after=[[str(word) for word in argv] for argv in whole["after"]])


def _instance(instance):
    """Of the environment only what is read back is kept: the rest may be secret."""
    switches = {name: value for name, value in instance["environment"].items() if name in (LLAMA_SWITCH, NCCL_SWITCH)}
    return dict({key: instance[key] for key in INSTANCE_KEYS}, environment=switches)
