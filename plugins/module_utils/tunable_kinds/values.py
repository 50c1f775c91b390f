# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Values in files of the kernel: read as it means them, compared as it prints them, written and read back."""

from __future__ import annotations

import errno
import os
import re

from ansible_collections.inference.host.plugins.module_utils import atomic
from ansible_collections.inference.host.plugins.module_utils.cpulist import parse_cpu_list, parse_cpu_mask
from ansible_collections.inference.host.plugins.module_utils.tunables_host import TunablesError, remembered, row

_MASKS = ("smp_affinity", "default_smp_affinity", "rps_cpus", "xps_cpus", "xps_rxqs", "cpumask")
_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\Z")
_COMPACT = "/proc/sys/vm/compact_memory"
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 5.0


def shown(text):
    """Return the value that the kernel means: the choice in brackets if there is one, with single blanks.

    `[none] mq-deadline` is `none`, and `4096\t131072\t6291456` is the same as with blanks.
    """
    words = text.split()
    chosen = [word[1:-1] for word in words if word.startswith("[") and word.endswith("]")]
    return chosen[0] if len(chosen) == 1 else " ".join(words)


def same(value, wanted, path=""):
    """Tell whether two values of the file `path` are one to the kernel.

    CPU masks (`ff`, `00000000,000000ff`) and CPU lists (`0-2`, `0,1,2`) are compared by their CPUs, in files that hold
    such; whole numbers by their number, below /proc/sys as C writes them (proc_dointvec takes base 0: `010` is 8).
    """
    name = os.path.basename(path)
    if name in _MASKS:
        return _same_set(parse_cpu_mask, value, wanted)
    if name.endswith(("affinity_list", "cpulist")):
        return _same_set(parse_cpu_list, value, wanted)
    base = 0 if path.startswith("/proc/sys/") else 10
    words, wanted_words = value.split(), wanted.split()
    return len(words) == len(wanted_words) and all(
        _same_word(one, other, base) for one, other in zip(words, wanted_words)
    )


def _same_word(one, other, base):
    number = _number(one, base)
    return one == other or (number is not None and number == _number(other, base))


def _same_set(parse, value, wanted):
    try:
        return parse(value) == parse(wanted)
    except ValueError:
        return value.split() == wanted.split()


def _number(word, base):
    if not _NUMBER.match(word):
        return None
    try:
        if base == 0 and re.match(r"-?0[0-9]", word):
            return int(word, 8)
        return int(word, base)
    except ValueError:
        return None


def read_file(setting, path, pattern, host):
    """Return the row of one file, which foretells `changed` where a write is needed."""
    try:
        text = host.text(path)
    except OSError as error:
        # What cpufreq says of a policy whose CPUs are all offline (policy_is_inactive in the kernel's cpufreq.c).
        if error.errno == errno.EBUSY and path.startswith("/sys/devices/system/cpu/"):
            return row(setting, path, "not_applicable", detail=f"{path} is of CPUs that are offline", pattern=pattern)
        return row(setting, path, "refused", detail=f"reading: {atomic.words(error)}", pattern=pattern)
    if text is None:
        return row(setting, path, "not_applicable", detail=f"{path} does not exist here", pattern=pattern)
    before, wanted = shown(text), setting["value"]
    if same(before, wanted, path):
        return row(setting, path, "ok", before, before, pattern=pattern)
    return row(setting, path, "changed", before, " ".join(wanted.split()), pattern=pattern)


def write(found, host):
    """Write the wanted value of a row, read it back, and return the row as it is then."""
    path, wanted = found["path"], found["wanted"]
    try:
        host.put(path, wanted)
    except OSError as error:
        why_not = host.not_ours(error)
        if why_not:
            return dict(found, status="not_applicable", after=found["before"], detail=why_not)
        return dict(found, status="refused", after=found["before"], detail=atomic.words(error))
    return read_back(found, host)


def read_back(found, host, since=""):
    """Return the row with the value that the file has after the wanted one was written."""
    path, wanted = found["path"], found["wanted"]
    try:
        text = host.text(path)
    except OSError as error:
        return dict(found, status="refused", after=None, detail=f"reading back: {atomic.words(error)}")
    if text is None:
        return dict(found, status="refused", after=None, detail=f"reading back: {path} does not exist any more")
    after = shown(text)
    if same(after, wanted, path):
        return dict(found, status="ok" if found["status"] == "ok" else "changed", after=after, detail="")
    return dict(
        found, status="partial", after=after, detail=f"the kernel has {after} after {wanted} was written{since}"
    )


def lowers_pages(found):
    """Tell whether a row gives huge pages back, which is done first, so that others find memory."""
    return found["path"].endswith("hugepages") and _less(found["wanted"], found["before"])


def _less(one, other):
    one, other = _number(one, 10), _number(other or "", 10)
    return one is not None and other is not None and one < other


def retry(rows, seconds, host):
    """Write rows that the kernel took in part again, until it takes them or their time is over; return all rows.

    rows: {place: row}; seconds: {place: how long}. The times run at once. Huge pages need memory in one piece, so the
    kernel is asked to compact it before each attempt. Pauses grow from a tenth of a second to five seconds.
    """
    rows, start, pause = dict(rows), host.now(), _FIRST_PAUSE
    while True:
        passed = host.now() - start
        short = [at for at, found in rows.items() if found["status"] == "partial" and passed < seconds.get(at, 0)]
        if not short:
            return rows
        host.sleep(min(pause, max(seconds[at] for at in short) - passed))
        pause = min(2 * pause, _LAST_PAUSE)
        if any(rows[at]["path"].endswith("hugepages") for at in short):
            _compact(host)
        for at in short:
            again = write(rows[at], host)
            if again["status"] == "partial":
                again["detail"] += f", and again for {seconds[at]} seconds"
            rows[at] = again


def _compact(host):
    try:
        host.put(_COMPACT, "1")
    except OSError:
        pass  # a kernel without CONFIG_COMPACTION has no such file


def entry(found):
    """Return what the baseline keeps of a row: {kind, name, path, before, written}."""
    return remembered(found, found["after"])


def undo(kept, host):
    """Return the row that puts a kept value back: not yet written, its status foretold."""
    setting = {"name": kept["name"], "kind": kept["kind"], "value": kept["before"], "reason": "as first seen"}
    found = read_file(setting, kept["path"], kept["path"], host)
    now = found["before"]
    if found["status"] == "changed" and not same(now, kept["written"] or "", kept["path"]):
        found["detail"] = f"was {now}, which is neither the first-seen value nor {kept['written']} as written here"
    return found


def restore(_kept, found, host):
    """Write the row that `undo` returned."""
    return write(found, host)


def check_text(setting, value=True):
    """Raise TunablesError where the name, path or value of a setting is empty or could leave its line or folder."""
    for what in ("name", "path", "value") if value else ("name", "path"):
        text = setting.get(what)
        text = "/" if text is None and what == "path" else text
        if not text.strip() or ".." in text or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text):
            says = f"settings: {setting['name']!r}: {what} is {text!r}"
            raise TunablesError(f"{says}; it must not be empty or hold a control character or '..'")
