# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The forms in which `nvidia-smi` answers, driver series 535 to 580. What is new or damaged is None, never a guess."""

from __future__ import annotations

import csv
import re

_NUMBER = re.compile(r"([0-9]{1,12})(\.[0-9]{1,6})?(?: (?:MiB|W|MHz))?\Z")
_ADDRESS = r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7])"
_BUS_ID = re.compile(_ADDRESS + r"\Z")
_INDEX = re.compile(r"[0-9]{1,4}\Z")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_GPU_NAME = re.compile(r"GPU[0-9]{1,4}\Z")
_WORD = re.compile(r"[A-Z]{1,4}[0-9]{0,3}\Z")
_REFUSED = re.compile(r'Field "([^"\n]{1,80})" is not a valid field to query')
_NO_HANDLE = re.compile(r"Unable to determine the device handle for [Gg][Pp][Uu] ?" + _ADDRESS)
_LOST = "[GPU is lost]"
# Words for what the tool does not know; it also has them in square brackets, with whatever reason.
_UNKNOWN = frozenset(["", "N/A", "ERR!", "Not Supported", "Unknown Error", "GPU is lost", "Insufficient Permissions"])
_SWITCH = {"Enabled": True, "Disabled": False, "Yes": True, "No": False, "On": True, "Off": False}


def pci_address(bus_id):
    """`00000000:C1:00.0`, as the tool writes it, is `0000:c1:00.0` in sysfs."""
    found = _BUS_ID.match(bus_id)
    return _sysfs(found) if found else None


def _sysfs(found):
    return "%04x:%s" % (int(found.group(1), 16), found.group(2).lower())


def _text(word):
    return word


def _number(word):
    """`70.00` and `70.00 W` are 70, `72.50` is 72.5."""
    found = _NUMBER.match(word)
    if not found:
        return None
    value = float(found.group(1) + (found.group(2) or ""))
    return int(value) if value == int(value) else value


def _whole(word):
    number = _number(word)
    return None if number is None else int(number)


def _index(word):
    return int(word) if _INDEX.match(word) else None


COLUMNS = (
    ("index", "index", _index),
    ("address", "pci.bus_id", pci_address),
    ("name", "name", _text),
    ("uuid", "uuid", _text),
    ("memory_mib", "memory.total", _whole),
    ("driver_version", "driver_version", _text),
    ("persistence", "persistence_mode", _SWITCH.get),
    ("mig", "mig.mode.current", _SWITCH.get),
    ("memory_used_mib", "memory.used", _whole),
    ("memory_reserved_mib", "memory.reserved", _whole),
    ("display", "display_active", _SWITCH.get),
    ("ecc", "ecc.mode.current", _SWITCH.get),
    ("ecc_errors", "ecc.errors.uncorrected.volatile.total", _whole),
    ("power_limit_w", "power.limit", _number),
    ("power_default_w", "power.default_limit", _number),
    ("power_min_w", "power.min_limit", _number),
    ("power_max_w", "power.max_limit", _number),
    ("clock_max_mhz", "clocks.max.graphics", _whole),
)
"""(key of the answer, the tool's field, how its word is read), in the order in which the tool is asked."""

BASIC = 8
"""So many of the first columns every driver series knows; a single unknown one makes the tool refuse them all."""

PROCESSES = ["--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader,nounits"]
"""What the tool is asked for so that parse_processes can read the answer."""


def fields_of(line):
    """Return the fields of one CSV line; none for a line that is no CSV, such as one with a field without end."""
    try:
        return [word.strip() for row in csv.reader([line]) for word in row]
    except csv.Error:
        return []


def _rows(text):
    """Yield the words of the lines that describe a GPU; other lines (warnings) are passed over."""
    for line in text.splitlines():
        words = fields_of(line)
        if len(words) in (BASIC, len(COLUMNS)) and _INDEX.match(words[0]):
            yield words


def parse_query(text):
    """Return the GPUs of the CSV answer, by index, each with all keys of COLUMNS.

    Memory is MiB, power W, clocks MHz; switches are booleans; what the tool does not tell or was not asked is None.
    """
    cards = []
    for words in _rows(text):
        card = {key: None for key, _field, _read in COLUMNS}
        for (key, _field, read), word in zip(COLUMNS, words):
            card[key] = None if _unknown(word) else read(word)
        cards.append(card)
    return sorted(cards, key=lambda card: card["index"])


def _unknown(word):
    return word in _UNKNOWN or (word.startswith("[") and word.endswith("]"))


def refused_field(text):
    """Return the field that this driver series does not know, or None."""
    found = _REFUSED.search(text)
    return found.group(1) if found else None


def lost_cards(text):
    """Return the addresses of the GPUs that the tool names as lost, or finds no handle for."""
    found = {_sysfs(match) for match in _NO_HANDLE.finditer(text)}
    found.update(pci_address(words[1]) for words in _rows(text) if _LOST in words)
    return sorted(found - {None})


def parse_processes(text, uuids):
    """Return {uuid: number of compute processes} of `gpu_uuid, pid` lines, or None.

    None where a line is in another form ("[Insufficient Permissions]") or of a GPU that is none of `uuids` (a slice
    of one, with MIG): then no count is known to be whole.
    """
    counts = {uuid: set() for uuid in uuids if uuid}
    for line in text.splitlines():
        words = fields_of(line)
        if not line.strip() or line.startswith("No running"):
            continue
        if len(words) != 2 or words[0] not in counts or not re.match(r"[0-9]{1,10}\Z", words[1]):
            return None
        counts[words[0]].add(int(words[1]))
    return {uuid: len(processes) for uuid, processes in counts.items()}


def parse_matrix(text):
    """Return {"GPU0": {"GPU1": word}} of a matrix that `nvidia-smi topo` prints, or None.

    Words: NV# links, PIX, PXB, PHB, NODE, SYS for the path (topo -m); OK, CNS, GNS, TNS, NS, DR, U for peer access.
    Columns that are no GPU (network cards, CPU affinity) are left out, and so is a pair without a word.
    """
    header, matrix = None, {}
    for line in _COLOURS.sub("", text).splitlines():
        words = line.split()
        if header is None:
            if words and _GPU_NAME.match(words[0]):
                header = [word for word in words if _GPU_NAME.match(word)]
        elif words and words[0] in header and len(words) > len(header):
            cells = zip(header, words[1:])
            matrix[words[0]] = {name: word for name, word in cells if name != words[0] and _WORD.match(word)}
    return matrix or None
