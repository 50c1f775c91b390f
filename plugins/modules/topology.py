# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module inference.host.topology: what the host is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology
short_description: Read what the host is - CPUs, NUMA nodes, memory, disks, GPUs and limits
version_added: 0.1.0
description:
  - Reads C(/sys) and C(/proc) once and returns everything that the plan for inference services needs as the fact
    C(inference_topology).
  - Changes nothing and starts no program, except C(nvidia-smi) where an NVIDIA driver is loaded, and
    C(nv-fabricmanager) where there are NVSwitches besides; each call has a time limit, none is made after one that
    reached it, and any may fail without failing the module.
  - An answer that could not be had is null (an empty list where a list is expected), and
    RV(ansible_facts.inference_topology.notes) says why. Null without a note is an answer of its own, as with limits.
options:
  root:
    description:
      - Directory that holds C(sys) and C(proc) of the machine to read. Anything but V(/) is a recording of a machine,
        for which nothing is asked of the live system.
    type: path
    default: /
  look_for:
    description: Absolute paths of which RV(ansible_facts.inference_topology.files) shall tell whether they are there.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what it reads without changing the target.
    support: full
  diff_mode:
    description: Returns nothing that could differ, since it changes nothing.
    support: none
  facts:
    description: Returns the fact C(inference_topology).
    support: full
  platform:
    description: Target operating systems.
    support: full
    platforms: posix
notes:
  - As an ordinary user everything is read but the ACS bits of PCI bridges, the kernel log and, in containers, the
    environment of PID 1.
author:
  - inference.host contributors (@inference-host)
"""

EXAMPLES = r"""
- name: Read the topology of the host
  inference.host.topology:

- name: Show how many physical cores this host may use
  ansible.builtin.debug:
    msg: "{{ ansible_facts['inference_topology']['cores'] | length }} cores"

- name: Read a recorded machine on the controller
  inference.host.topology:
    root: "{{ playbook_dir }}/recordings/dual-socket"
  delegate_to: localhost
"""

RETURN = r"""
ansible_facts:
  description: The facts that this module adds.
  returned: success
  type: dict
  contains:
    inference_topology:
      description: What the host is. CPU and node numbers are the kernel's; all lists of them are sorted.
      returned: success
      type: dict
      contains:
        cpus:
          description: CPU numbers. Offline are those that are present and not online.
          type: dict
          sample: {"present": [0, 1, 2, 3], "online": [0, 1, 2], "offline": [3]}
        allowed_cpus:
          description: Online CPUs that cpuset and affinity leave to the reading process.
          type: list
          elements: int
        quota_cpus:
          description:
            - CPU time limit of the reading process's control groups, as a number of CPUs. Null without a note is no
              limit.
          type: float
          sample: 2.5
        memory_limit_mib:
          description:
            - Memory limit of the reading process's control groups, in MiB rounded down. Null without a note is no
              limit.
          type: int
        services:
          description:
            - The same three limits for what systemd starts, from C(system.slice) and the affinity of PID 1.
          type: dict
          contains:
            allowed_cpus:
              description: Online CPUs that a system service may use.
              type: list
              elements: int
            quota_cpus:
              description: CPU time limit as a number of CPUs. Null without a note is no limit.
              type: float
            memory_limit_mib:
              description: Memory limit in MiB rounded down. Null without a note is no limit.
              type: int
        packages:
          description: Packages (sockets) as lists of their online CPUs.
          type: list
          elements: list
        dies:
          description: Dies as lists of online CPUs. Empty where the kernel does not tell.
          type: list
          elements: list
        cores:
          description: Physical cores as lists of the online CPUs that are their SMT siblings.
          type: list
          elements: list
          sample: [[0, 4], [1, 5], [2, 6], [3, 7]]
        threads_per_core:
          description: CPUs of the core that has most.
          type: int
          sample: 2
        l2:
          description: Online CPUs that share a level 2 cache.
          type: list
          elements: list
        l3:
          description: Online CPUs that share a level 3 cache. Empty where there is none.
          type: list
          elements: list
        core_kinds:
          description:
            - Unlike cores (performance and efficiency) as CPU lists, the most capable first. Empty where all are alike.
          type: list
          elements: list
        cpu:
          description: What the processor says of itself, as texts.
          type: dict
          contains:
            vendor:
              description: Vendor, such as C(GenuineIntel); on Arm the implementer's number.
              type: str
            model_name:
              description: Model name; on Arm the part number.
              type: str
            family:
              description: Family number.
              type: str
            model:
              description: Model number.
              type: str
            stepping:
              description: Stepping or revision.
              type: str
            flags:
              description: Flags that every CPU has.
              type: list
              elements: str
            features:
              description: Those of the flags that choose an engine build.
              type: list
              elements: str
              sample: [amx_tile, avx2, avx512_vnni, avx512f]
        numa_nodes:
          description: NUMA nodes by number. Nodes without CPUs or without memory are among them.
          type: list
          elements: dict
          contains:
            id:
              description: Node number; there may be gaps.
              type: int
            cpus:
              description: Online CPUs of the node.
              type: list
              elements: int
            memory_mib:
              description: Memory of the node in MiB, rounded down.
              type: int
            memory_free_mib:
              description: Memory that holds nothing, page cache included in what is held, in MiB.
              type: int
            hugepages:
              description: Reserved pages by page size in KiB; null for a count that could not be read.
              type: dict
              sample: {"2048": 512, "1048576": 0}
            hugepages_free:
              description: Reserved pages that are not in use, by page size in KiB.
              type: dict
            hugepages_surplus:
              description: Pages beyond the reservation, by page size in KiB.
              type: dict
        distances:
          description: The nodes in order, and the distance from each (row) to each (column); 10 is the node itself.
          type: dict
          sample: {"nodes": [0, 1], "matrix": [[10, 21], [21, 10]]}
        memory_mib:
          description: Memory of the machine (MemTotal) in MiB, rounded down.
          type: int
        memory:
          description: Memory of the machine and the kernel's settings for it.
          type: dict
          contains:
            total_mib:
              description: MemTotal in MiB, rounded down.
              type: int
            free_mib:
              description: MemFree in MiB, rounded down.
              type: int
            available_mib:
              description: MemAvailable in MiB, rounded down. Null on kernels before 3.14.
              type: int
            swap_total_mib:
              description: Swap space in MiB, rounded down.
              type: int
            swap_free_mib:
              description: Unused swap space in MiB, rounded down.
              type: int
            transparent_hugepage:
              description: Chosen value and choices of C(enabled) and C(defrag).
              type: dict
              sample:
                enabled: madvise
                enabled_choices: [always, madvise, never]
                defrag: madvise
                defrag_choices: [always, defer, defer+madvise, madvise, never]
            swappiness:
              description: C(vm.swappiness).
              type: int
            overcommit_memory:
              description: C(vm.overcommit_memory).
              type: int
            overcommit_ratio:
              description: C(vm.overcommit_ratio), in percent.
              type: int
            numa_balancing:
              description: C(kernel.numa_balancing).
              type: int
            zone_reclaim_mode:
              description: C(vm.zone_reclaim_mode).
              type: int
        cpufreq:
          description: Frequency scaling. The driver is null, with a note, where the kernel has none.
          type: dict
          contains:
            driver:
              description: Driver of all policies; null where they differ.
              type: str
              sample: intel_pstate
            mode:
              description: Mode of intel_pstate or amd_pstate, such as C(active).
              type: str
            governors:
              description: Governors that every policy offers.
              type: list
              elements: str
            governor:
              description: Governor in use; null where policies differ.
              type: str
            policies:
              description: Groups of CPUs that scale together. Frequencies are the hardware's, in kHz.
              type: list
              elements: dict
              sample:
                - cpus: [0]
                  driver: intel_pstate
                  governor: powersave
                  governors: [performance, powersave]
                  min_khz: 800000
                  max_khz: 3900000
                  base_khz: 2100000
                  epp: balance_performance
                  epp_choices: [balance_performance, balance_power, default, performance, power]
            boost:
              description: Whether turbo or boost frequencies are allowed.
              type: bool
            boost_file:
              description: File that switches boost. In C(no_turbo) a 1 means off.
              type: str
              sample: /sys/devices/system/cpu/intel_pstate/no_turbo
        block_devices:
          description: Whole disks of real or virtual hardware.
          type: list
          elements: dict
          contains:
            name:
              description: Name below C(/dev).
              type: str
            kind:
              description: C(nvme), C(scsi), C(virtio) or C(other).
              type: str
            scheduler:
              description: I/O scheduler in use.
              type: str
            schedulers:
              description: I/O schedulers that can be chosen.
              type: list
              elements: str
            nr_requests:
              description: Depth of the request queue, in requests.
              type: int
            read_ahead_kib:
              description: Read-ahead in KiB.
              type: int
            rotational:
              description: Whether the disk says that it spins.
              type: bool
            numa_node:
              description: NUMA node that the disk is at. Null where it is unknown.
              type: int
            size_mib:
              description: Size in MiB, rounded down.
              type: int
            mounts:
              description: Mount points of the disk, its partitions and the volumes on them.
              type: list
              elements: str
            model:
              description: Model name.
              type: str
        filesystems:
          description: Room on mounted local file systems. Empty unless O(root) is V(/).
          type: list
          elements: dict
          contains:
            mount:
              description: Mount point.
              type: str
            type:
              description: Type of the file system.
              type: str
            device:
              description: What is mounted.
              type: str
            size_mib:
              description: Size in MiB, rounded down.
              type: int
            free_mib:
              description: What a process without privileges may still use, in MiB rounded down.
              type: int
        gpus:
          description: PCI functions of class 0x03 (display and 3D controllers).
          type: list
          elements: dict
          contains:
            address:
              description: PCI address.
              type: str
              sample: "0000:c1:00.0"
            vendor:
              description: PCI vendor, hexadecimal.
              type: str
              sample: "0x10de"
            device:
              description: PCI device, hexadecimal.
              type: str
            class:
              description: PCI class, hexadecimal.
              type: str
            numa_node:
              description: NUMA node that the device is at. Null where the firmware does not tell.
              type: int
            local_cpus:
              description: Online CPUs that are near to the device.
              type: list
              elements: int
            driver:
              description: Kernel driver that is bound to the device.
              type: str
            bridges:
              description: PCI addresses of the bridges above the device, the one at the root first.
              type: list
              elements: str
              sample: ["0000:c0:01.1"]
            nvidia:
              description:
                - What C(nvidia-smi) says of this GPU. Null where it says nothing, without a note where the GPU is
                  another vendor's.
                - Memory is in MiB, power in W, the highest graphics clock in MHz. C(display) is whether the GPU drives
                  a display, C(ecc_errors) the number of uncorrected errors since the driver was loaded, C(processes)
                  the number of compute processes.
              type: dict
              sample:
                index: 0
                address: "0000:c1:00.0"
                name: NVIDIA H100 80GB HBM3
                uuid: GPU-0a1b2c3d
                memory_mib: 81559
                driver_version: 550.54.15
                persistence: true
                mig: false
                memory_used_mib: 4
                memory_reserved_mib: 551
                display: false
                ecc: true
                ecc_errors: 0
                power_limit_w: 700
                power_default_w: 700
                power_min_w: 200
                power_max_w: 700
                clock_max_mhz: 1980
                processes: 0
        nvidia:
          description: The NVIDIA driver and its tools.
          type: dict
          contains:
            driver_version:
              description: Version of the loaded kernel module. Null where it is not loaded.
              type: str
            open_module:
              description: Whether the loaded kernel module is the open one.
              type: bool
            library_version:
              description: Version of the host's C(libnvidia-ml), by the names of its files.
              type: str
            modules:
              description: The driver's kernel modules that are loaded.
              type: list
              elements: str
              sample: [nvidia, nvidia_modeset, nvidia_uvm]
            params:
              description: Options of the kernel module that are in force, as texts, named as C(modprobe.d) names them.
              type: dict
              sample: {"NVreg_EnableGpuFirmware": "18", "NVreg_RegistryDwords": ""}
            nvswitches:
              description: PCI addresses of NVSwitches.
              type: list
              elements: str
            persistenced:
              description: File of the unit C(nvidia-persistenced.service). Null where there is none, or it is masked.
              type: str
            persistenced_command:
              description: The command line in that file.
              type: str
              sample: /usr/bin/nvidia-persistenced --user nvidia-persistenced --no-persistence-mode --verbose
            fabric_manager:
              description:
                - C(unit), the file of the unit C(nvidia-fabricmanager.service), and C(version), which is asked for only
                  where there are NVSwitches.
              type: dict
            xid:
              description:
                - Errors of cards that are in the kernel log, each with C(address), C(code) (the driver's number, Xid)
                  and C(count). Null where the log cannot be read.
              type: list
              elements: dict
              sample:
                - address: "0000:c1:00.0"
                  code: 31
                  count: 2
            problem:
              description:
                - One sentence about what a person must see to before the cards are of use (versions that do not agree,
                  a lost card, a missing fabric manager, a tool that hangs or fails). Null where nothing is known of
                  any.
              type: str
            smi:
              description:
                - What C(nvidia-smi) says. Null where it says nothing.
                - C(gpus) as in RV(ansible_facts.inference_topology.gpus[].nvidia), and the matrices C(topology) (links
                  between GPUs), C(p2p_read) and C(p2p_write) (peer access as the driver sees it), each from GPU name to
                  GPU name to word. The matrices are not asked for where there is one GPU.
              type: dict
            copies:
              description:
                - What module M(inference.host.gpu_copy) kept of copies between GPUs, one dictionary a direction with
                  C(from), C(to), C(ok) (null where none was compared), C(access), C(bytes) and C(reason). Empty where
                  there are none, and where they were made with another driver, other GPUs or another IOMMU mode.
              type: list
              elements: dict
        iommu:
          description:
            - Number of IOMMU groups, whether devices see translated addresses, and for bridges above GPUs the names
              of the ACS bits that are on.
          type: dict
          sample:
            groups: 92
            translating: true
            acs:
              - address: "0000:c0:01.1"
                enabled: [source_validation]
        device_groups:
          description: Names of the groups of character devices that the kernel has now, from C(/proc/devices).
          type: list
          elements: str
          sample: [mem, nvidia, nvidia-uvm, pts]
        files:
          description: Whether a file is at each of the paths that O(look_for) names.
          type: dict
          sample: {"/usr/bin/numactl": true}
        platform:
          description: The platform.
          type: dict
          contains:
            kind:
              description: C(bare_metal), C(vm) or C(container).
              type: str
            detail:
              description: Hypervisor or container manager, such as C(kvm) or C(podman). Null on metal.
              type: str
            kernel:
              description: Kernel release.
              type: str
            command_line:
              description: Kernel command line.
              type: str
            architecture:
              description: Machine name as C(uname -m) has it.
              type: str
            init:
              description: Name of PID 1.
              type: str
            systemd_version:
              description: Major version of the systemd that is installed.
              type: int
            cgroup:
              description: C(v1), C(v2) or C(hybrid).
              type: str
            distribution:
              description: C(id), C(version_id) and C(pretty_name) of C(os-release).
              type: dict
            libc:
              description: C library that Python runs with.
              type: str
              sample: glibc 2.36
        notes:
          description:
            - One sentence for each answer that could not be had (is null, empty or left out) or that may be less than
              the truth, such as a limit of which one file could not be read.
            - The key is the way to the answer below C(inference_topology), joined by dots. An element of a list of
              dictionaries is named by its C(id) (C(numa_nodes)), C(name) (C(block_devices)), C(address) (C(gpus),
              C(nvidia.smi.gpus) and C(iommu.acs)), C(mount) (C(filesystems)) or lowest CPU (C(cpufreq.policies)).
            - A key that leaves the element out holds for all elements, and a key holds for everything below it. An
              element that could not be read at all is not in its list and has a note under its own key.
          type: dict
          sample:
            cpufreq.policies.base_khz: This driver has no base_frequency.
            gpus.0000:c1:00.0.numa_node: The firmware does not tell the node of this device (numa_node is -1).
            numa_nodes.1.hugepages.2048: >-
              Not known: /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages: not a whole number.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.inference.host.plugins.module_utils.topology import TopologyError, read_topology


def main():
    """Carry the root in and the topology out."""
    arguments = {
        "root": {"type": "path", "default": "/"},
        "look_for": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    try:
        topology = read_topology(root=module.params["root"], look_for=module.params["look_for"])
    except TopologyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, ansible_facts={"inference_topology": topology})


if __name__ == "__main__":
    main()
