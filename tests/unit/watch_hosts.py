"""Hosts for the tests of the watch: a tree for what is read of the kernel, and a systemctl that answers from a table.
"""

from ansible_collections.inference.host.plugins.module_utils.plan import make_plan
from ansible_collections.inference.host.plugins.module_utils.topology import read_topology
from ansible_collections.inference.host.plugins.module_utils.watch_read import Reader
from ansible_collections.inference.host.plugins.module_utils.watch_sealed import sealed
from ansible_collections.inference.host.plugins.module_utils.watch_wanted import watch_wanted
from builders import Machine, write_files
from plan_topologies import service

SYSCTLS = {"proc/sys/vm/swappiness": "60\n", "proc/sys/vm/overcommit_memory": "0\n",
           "proc/sys/vm/overcommit_ratio": "50\n",
           "proc/sys/kernel/numa_balancing": "1\n", "proc/sys/vm/zone_reclaim_mode": "0\n",
           "proc/sys/net/core/somaxconn": "4096\n", "proc/sys/net/ipv4/tcp_slow_start_after_idle": "1\n",
           "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n"}


def planned_host(root, **wishes):
    """Write a server of two nodes below root, and return its plan."""
    Machine(sockets=2, cores=4, threads=2, cpufreq="intel_pstate", node_memory_mib=32768).write(root)
    write_files(root, SYSCTLS)
    services = [service(instances=2, hugepages_mib=64)]
    return make_plan(read_topology(root), services, {"settings": wishes})


def nginx_params(folder, **changes):
    return dict({"files": [], "absent": [], "absent_with_package": [], "directories": [], "instances": [],
                 "revision": str(folder / "revision.conf"), "url": "http://127.0.0.1:9", "certificate": None,
                 "key": None, "stapling": False, "before": str(folder / "before"), "open_files": 0}, **changes)


def wanted_of(plan, folder, files=(), probe_tokens=0, nginx=None, **more):
    """Return what is written to the host: no file but those given, and no probe."""
    manifest = {"directories": [], "files": sealed(files), "absent": []}
    return watch_wanted(plan, "box1", manifest, nginx or nginx_params(folder), str(folder / "models"), str(folder),
                        probe_tokens, **more)


def commands(**units):
    """Return a stand-in for commands. units: by the instance's number, properties of the unit."""
    def run(argv):
        if argv[0] != "systemctl" or "show" not in argv:
            return 0, "", ""
        blocks = []
        for name in (word for word in argv if word.endswith(".service")):
            told = dict({"Id": name, "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled",
                         "MainPID": "0", "NRestarts": "0", "Environment": "", "NeedDaemonReload": "no",
                         "ControlGroup": ""}, **units.get("unit_" + name.split("@")[-1][0], {}))
            blocks.append("\n".join("%s=%s" % pair for pair in told.items()))
        return 0, "\n\n".join(blocks) + "\n", ""
    return run


def reader(wanted, root, **units):
    return Reader(wanted, commands(**units), str(root))
