# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What waits for a reboot on this host, over all roles: kernel parameters and files that were changed or taken back.

Kept in reboot.json beside the baseline: {key: {kind, name, value, reason, gone, boot}}, `boot` being the boot in which
it was asked for. A parameter that is set waits until the running kernel has it, one that was taken back until it has
not; a file waits until the next boot.
"""

from __future__ import annotations

import contextlib
import json
import os

from ansible_collections.inference.host.plugins.module_utils import atomic, baseline, kernel_cmdline
from ansible_collections.inference.host.plugins.module_utils.tunables_host import row

_KIND = "kernel_parameter"


def waiting(host, kept):
    """Return the sentences that say why a reboot is required, or None where nothing ever waited for one."""
    entries = _load(kept)
    sentences = [_sentence(entry) for _key, entry in sorted(entries.items()) if _waits(entry, host)]
    return sentences if entries else None


def settle(asked, host, kept):
    """Forget what waits no longer; return the sentences, None where nothing waited before (`asked`) or waits now."""
    entries = _load(kept)
    _save(kept, {key: entry for key, entry in entries.items() if _waits(entry, host)})
    return (waiting(host, kept) or []) if asked or entries else None


def foresee(pairs, stem, host, kept):
    """Return what `apply` would, as far as it is known before: also the parameters that are not set yet."""
    entries = _load(kept)
    asked = [(setting, found) for setting, found in pairs if _asks(setting)]
    for setting, found in asked:
        if found["status"] == "changed":
            entries[_key(stem, found)] = _entry(setting, found, host)
    waits = [_sentence(entry) for _key, entry in sorted(entries.items()) if _waits(entry, host)]
    return waits if entries or asked else None


def _asks(setting):
    return setting["kind"] == _KIND or bool(setting.get("reboot"))


def note_files(files, stem, gone, host, kept):
    """Note, before they are written, that files wait; files: {path: why}; gone: whether they are put back."""
    entries = _load(kept)
    for path, why in files.items():
        setting = {"name": path, "kind": "file", "value": None, "reboot": why}
        found = row(setting, path, "changed")
        entries[_key(stem, found)] = dict(_entry(setting, found, host), gone=gone)
    _save(kept, entries)


def apply(pairs, stem, host, kept):
    """Note which parameters wait; return (rows, sentences or None) of all that waits.

    A parameter is refused when no reboot would help: it did not reach the boot loader, or the host was started since.
    """
    entries, rows = _load(kept), []
    asked = bool(entries) or any(_asks(setting) for setting, _found in pairs)
    for setting, found in pairs:
        if setting["kind"] == _KIND:
            known = entries.pop(_key(stem, found), None)
            if found["status"] == "changed":
                found = _judged(found, known, host)
            if found["status"] == "changed":
                entry = known if _is_known(known, found) else _entry(setting, found, host)
                entries[_key(stem, found)] = entry
        rows.append(found)
    _save(kept, {key: entry for key, entry in entries.items() if _waits(entry, host)})
    return rows, (waiting(host, kept) or []) if asked else None


def _is_known(known, found):
    return known is not None and known["value"] == found["wanted"] and not known["gone"]


def _judged(found, known, host):
    if not found["persisted"]:
        words = f"{found['detail']}; the boot loader's configuration does not have it".lstrip("; ")
        return dict(found, status="refused", detail=words)
    if _is_known(known, found) and known["boot"] != _boot(host):
        return dict(found, status="refused", detail="the host was started since, and the boot loader did not pass it")
    return found


def note_taken_back(entries, stem, host, kept):
    """Note that the kernel parameters among these values of the baseline are to be gone with the next boot."""
    known = _load(kept)
    for entry in entries:
        if entry["kind"] == _KIND:
            setting = {"name": entry["name"], "kind": _KIND, "value": entry["written"], "reason": "as first seen"}
            found = row(setting, entry["path"], "changed")
            known[_key(stem, found)] = dict(_entry(setting, found, host), gone=True)
    _save(kept, known)


def _key(stem, found):
    return "{} {}".format(stem, found["name"] if found["kind"] == _KIND else found["path"])


def _entry(setting, found, host):
    is_parameter = setting["kind"] == _KIND
    return {
        "kind": setting["kind"],
        "name": found["name"] if is_parameter else found["path"],
        "value": found["wanted"],
        "reason": found["reason"] if is_parameter else setting["reboot"],
        "gone": False,
        "boot": _boot(host),
    }


def _boot(host):
    return (host.text("/proc/sys/kernel/random/boot_id") or "").strip()


def _waits(entry, host):
    if entry["kind"] != _KIND:
        return entry["boot"] == _boot(host)
    live = kernel_cmdline.holds(host.text("/proc/cmdline") or "", entry["name"], entry["value"])
    if entry["gone"]:
        return live and entry["boot"] == _boot(host)
    return not live


def _sentence(entry):
    if entry["kind"] != _KIND:
        return f"{entry['name']} was {'put back' if entry['gone'] else 'changed'}: {entry['reason']}"
    said = " ".join(kernel_cmdline.spelled(entry["name"], entry["value"]))
    reason = f" ({entry['reason']})" if entry["reason"] else ""
    if entry["gone"]:
        return f"Kernel parameter {said} was taken back{reason}, and the running kernel still has it."
    return f"Kernel parameter {said} is set{reason}, and the running kernel does not have it yet."


def _file(kept):
    return baseline.file_of(kept, baseline.REBOOT)


def _load(kept):
    try:
        with open(_file(kept), encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        says = f"{_file(kept)} is not the JSON that reboots are noted in"
        raise baseline.BaselineError(f"{says}; move it away") from error


def _save(kept, entries):
    if entries and entries != _load(kept):
        atomic.write(_file(kept), json.dumps(entries, indent=1, sort_keys=True).encode() + b"\n", 0o600)
    elif not entries:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_file(kept))
