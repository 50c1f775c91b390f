# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the NVIDIA driver and `nvidia-smi` say. Never fails: the tool may be absent, hang or print something new."""

from __future__ import annotations

import csv
import os
import re
import select
import shutil
import signal
import subprocess
import time

NVIDIA_VENDOR = "0x10de"
VERSION_FILE = "proc/driver/nvidia/version"
TIMEOUT_SECONDS = 20

# What the answer calls what the tool calls so, in the order of the tool's columns.
_FIELD_OF = {
    "index": "index",
    "address": "pci.bus_id",
    "name": "name",
    "uuid": "uuid",
    "memory_mib": "memory.total",
    "driver_version": "driver_version",
    "persistence": "persistence_mode",
    "mig": "mig.mode.current",
}
_FIELDS = tuple(_FIELD_OF.values())
_QUERY = ["--query-gpu=" + ",".join(_FIELDS), "--format=csv,noheader,nounits"]
_MATRICES = (("topology", ["topo", "-m"]), ("p2p_read", ["topo", "-p2p", "r"]))
_UNKNOWN = frozenset(
    ["", "N/A", "[N/A]", "[Not Supported]", "[Unknown Error]", "[GPU is lost]", "[Insufficient Permissions]"]
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_GPU_NAME = re.compile(r"GPU[0-9]{1,4}\Z")
_BUS_ID = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\Z")
_MAX_OUTPUT = 1 << 20
_SEARCH_PATH = os.pathsep.join([os.defpath, "/usr/bin", "/usr/local/bin", "/usr/sbin", "/run/current-system/sw/bin"])


def read_nvidia(tree, gpus, command=None, timeout_seconds=TIMEOUT_SECONDS):
    """Return (the answer's "nvidia", the GPUs each with its "nvidia" or None).

    {"driver_version", "smi"}; "smi" is None with a note, or {"gpus": [...], "topology", "p2p_read"}: the last two are
    {"GPU0": {"GPU1": "NV4", ...}} or None. No program is started unless the tree is live and the driver loaded
    (`/proc/driver/nvidia/version`), or a command is given (which tests do). Each of three calls may take
    `timeout_seconds`; after one that hangs no further one is made.
    """
    answer = {"driver_version": _driver_version(tree.read(VERSION_FILE)), "smi": None}
    if answer["driver_version"] is None and not tree.absent(VERSION_FILE):
        tree.missing("nvidia.driver_version", VERSION_FILE)
    if tree.absent(VERSION_FILE):
        tree.note("nvidia", "The NVIDIA driver is not loaded.")
    elif not tree.live and not command:
        tree.note("nvidia.smi", "Not asked: this is a recorded tree, and nvidia-smi speaks for the live machine.")
    else:
        answer["smi"] = _ask(tree, command or shutil.which("nvidia-smi", path=_search_path()), timeout_seconds)
    said = {card["address"]: card for card in answer["smi"]["gpus"]} if answer["smi"] else {}
    for gpu in gpus:
        key = f"gpus.{gpu['address']}.nvidia"
        if gpu["address"] in said:
            _note_unknown(tree, key, said[gpu["address"]])
        elif said and gpu["vendor"] in (NVIDIA_VENDOR, None):
            tree.note(key, "nvidia-smi does not name this GPU.")
        elif gpu["vendor"] in (NVIDIA_VENDOR, None):
            tree.note(key, "nvidia-smi said nothing; see the notes of nvidia.")
    return answer, [dict(gpu, nvidia=said.get(gpu["address"])) for gpu in gpus]


def _note_unknown(tree, key, card):
    for item, field in _FIELD_OF.items():
        if card[item] is None:
            tree.note(f"{key}.{item}", f"nvidia-smi does not tell {field}, or in a form that is not known.")


def _search_path():
    # No empty entry: that would be the current directory.
    return os.pathsep.join(filter(None, [os.environ.get("PATH"), _SEARCH_PATH]))


def _driver_version(text):
    """Return the version in `... Kernel Module  550.54.15  ...` or `... Open Kernel Module for x86_64  570.86 ...`."""
    found = re.search(r"Kernel Module[^\n]*?\s([0-9]{2,4}\.[0-9.]{1,20})\s", (text or "") + " ")
    return found.group(1) if found else None


def _ask(tree, command, timeout_seconds):
    if not command:
        tree.note("nvidia.smi", "The NVIDIA driver is loaded, but nvidia-smi is not installed.")
        return None
    output, reason = run_bounded([command] + _QUERY, timeout_seconds)
    if output is None:
        tree.note("nvidia.smi", f"nvidia-smi gave no answer: {reason}.")
        return None
    cards = parse_query(output)
    if not cards:
        tree.note("nvidia.smi", "nvidia-smi printed no GPU in the form that is known.")
        return None
    for card in cards:
        _note_unknown(tree, f"nvidia.smi.gpus.{card['address'] or card['index']}", card)
    answer = {"gpus": cards}
    for key, arguments in _MATRICES:
        output, reason = run_bounded([command] + arguments, timeout_seconds)
        answer[key] = parse_matrix(output) if output is not None else None
        if answer[key] is None:
            tree.note(
                "nvidia.smi." + key, "nvidia-smi {}: {}.".format(" ".join(arguments), reason or "printed no matrix")
            )
    return answer


def run_bounded(arguments, timeout_seconds):
    """Run a program; return (its output, None), or (None, why not) when it fails, hangs or prints without end.

    A program that hangs is killed with its children; one that cannot even be killed (it waits for a driver) is left.
    """
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=dict(os.environ, LC_ALL="C"),
        )
    except (OSError, ValueError) as error:
        return None, f"it cannot be started ({error})"
    output, reason = _collect(process, time.monotonic() + timeout_seconds)
    if reason:
        _kill(process)
        return None, reason
    if process.returncode != 0:
        return None, f"it ended with status {process.returncode}"
    return output.decode("utf-8", "replace"), None


def _collect(process, deadline):
    """Return (what the program printed until its end, None), or (None, why it has to be stopped)."""
    pieces, size, handle = [], 0, process.stdout.fileno()
    while size <= _MAX_OUTPUT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            return None, "it did not end in time"
        piece = os.read(handle, _MAX_OUTPUT)
        if not piece:
            return _wait(process, deadline, b"".join(pieces))
        pieces.append(piece)
        size += len(piece)
    return None, f"it printed more than {_MAX_OUTPUT} bytes"


def _wait(process, deadline, output):
    try:
        process.wait(timeout=max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None, "it did not end in time"
    process.stdout.close()
    return output, None


def _kill(process):
    process.stdout.close()
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=1)
    except (OSError, subprocess.TimeoutExpired):
        pass


def _fields_of(line):
    """Return the fields of one CSV line; none for a line that is no CSV, such as one with a field without end."""
    try:
        return [word.strip() for row in csv.reader([line]) for word in row]
    except csv.Error:
        return []


def parse_query(text):
    """Return the GPUs of the CSV answer; lines of another shape (warnings) are passed over.

    Memory is MiB; persistence and mig are booleans; what the tool does not know is None.
    """
    cards = []
    for line in text.splitlines():
        words = _fields_of(line)
        if len(words) != len(_FIELDS) or not re.match(r"[0-9]{1,4}\Z", words[0]):
            continue
        said = {field: None if word in _UNKNOWN else word for field, word in zip(_FIELDS, words)}
        cards.append(
            {
                "index": int(words[0]),
                "address": _address(said["pci.bus_id"]),
                "name": said["name"],
                "uuid": said["uuid"],
                "memory_mib": int(said["memory.total"])
                if re.match(r"[0-9]{1,12}\Z", said["memory.total"] or "")
                else None,
                "driver_version": said["driver_version"],
                "persistence": _switch(said["persistence_mode"]),
                "mig": _switch(said["mig.mode.current"]),
            }
        )
    return sorted(cards, key=lambda card: card["index"])


def _address(bus_id):
    """`00000000:C1:00.0`, as the tool writes it, is `0000:c1:00.0` in sysfs."""
    found = _BUS_ID.match((bus_id or "").lower())
    return f"{int(found.group(1), 16):04x}:{found.group(2)}" if found else None


def _switch(word):
    return {"Enabled": True, "Disabled": False}.get(word)


def parse_matrix(text):
    """Return {"GPU0": {"GPU1": word}} of a matrix that `nvidia-smi topo` prints, or None.

    Words: NV# links, PIX, PXB, PHB, NODE, SYS for the path (topo -m); OK, CNS, GNS, TNS, NS, DR for peer access.
    Columns that are no GPU (network cards, CPU affinity) are left out.
    """
    header, matrix = None, {}
    for line in _COLOURS.sub("", text).splitlines():
        words = line.split()
        if header is None:
            if words and _GPU_NAME.match(words[0]):
                header = [word for word in words if _GPU_NAME.match(word)]
        elif words and words[0] in header and len(words) > len(header):
            matrix[words[0]] = {name: word for name, word in zip(header, words[1:]) if name != words[0]}
    return matrix or None
