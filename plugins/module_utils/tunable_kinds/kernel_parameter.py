# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings of kind kernel_parameter: words of the kernel command line, which only a boot brings into force.

With GRUB (as Debian and Ubuntu have it) a file of our own in /etc/default/grub.d adds to GRUB_CMDLINE_LINUX_DEFAULT,
which rescue entries do not use, so that a bad parameter can be escaped from. With systemd-boot the words are in
/etc/kernel/cmdline, which has one line and no room for a mark: the baseline knows which of its words are ours.
"""

from __future__ import annotations

import re

from ansible_collections.inference.host.plugins.module_utils import baseline, kernel_cmdline
from ansible_collections.inference.host.plugins.module_utils.tunable_kinds import values
from ansible_collections.inference.host.plugins.module_utils.tunables_host import (
    TAKEN,
    TunablesError,
    WantedFile,
    comment,
    of_lines,
    remembered,
    row,
)

CMDLINE = "/etc/kernel/cmdline"
ABSENT = "absent"

_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_VALUE = re.compile(r"[A-Za-z0-9_.,:;/@%+=~!*&^#()\[\]{}<>| -]*\Z")
_ENTRIES = ("/boot/loader/entries", "/efi/loader/entries", "/boot/efi/loader/entries")
_CONFIGURATION = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg") + tuple(folder + "/*.conf" for folder in _ENTRIES)
_ONLY_OF_A_BOOT = ("BOOT_IMAGE", "initrd")
_READ_BY_GRUB = re.compile(r"[;&|<>{}#]")


def check(setting):
    """Raise TunablesError for a name or value that a shell or the kernel would read otherwise."""
    name, value = setting["name"], setting["value"]
    if not _NAME.match(name):
        raise TunablesError(f"settings: {name!r} is not the name of a kernel parameter, such as iommu")
    if not _VALUE.match(value) or value != value.strip():
        says = f"settings: {name}: value is {value!r}"
        raise TunablesError(f"{says}; it must not hold quotes, $, ` or \\, or outer blanks")
    if setting.get("path"):
        raise TunablesError(f"settings: {name}: path is {setting['path']!r}; a kernel parameter has none, leave it out")


def target(setting):
    """Return what tells this setting from others."""
    return "kernel parameter " + kernel_cmdline.name_of(setting["name"])


def key(found):
    """Return the name of the baseline's entry."""
    return "kernel_parameter:" + found["name"]


def loader(host):
    """Return `grub`, `systemd-boot` or None."""
    if host.find("update-grub") and host.text("/etc/default/grub") is not None:
        return "grub"
    if host.find("kernel-install") and any(host.glob(folder) for folder in _ENTRIES):
        return "systemd-boot"
    return None


def read(setting, host):
    """Return the row in a list. `after` is what the running kernel has: nothing changes that."""
    name, value = setting["name"], setting["value"]
    line = host.text("/proc/cmdline")
    if line is None:
        return [row(setting, "/proc/cmdline", "not_applicable", detail="/proc/cmdline does not exist here")]
    before = kernel_cmdline.value_of(line, name)
    before = ABSENT if before is None else before
    if kernel_cmdline.holds(line, name, value):
        return [row(setting, "/proc/cmdline", "ok", value, value)]
    if loader(host) is None:
        says = "neither GRUB with update-grub nor systemd-boot with kernel-install is here"
        says = f"{says}: put {' '.join(kernel_cmdline.spelled(name, value))} on the kernel command line yourself"
        return [row(setting, "/proc/cmdline", "not_applicable", before, before, says)]
    return [row(setting, "/proc/cmdline", "changed", before, before, "takes effect with the next boot")]


def write(found, _host):
    """Return the row as it is."""
    return found


def entry(found):
    """Return what the baseline keeps of a row; `names` are those of all words that we ever wrote for it."""
    return dict(remembered(found, found["wanted"]), names=kernel_cmdline.names_of(found["name"], found["wanted"]))


def commands(_setting, host):
    """Return the commands that write the boot loader's configuration."""
    which = loader(host)
    if which == "grub":
        return [["update-grub"]]
    return [["kernel-install", "add", *kernel] for kernel in _kernels(host)] if which else []


def _kernels(host):
    """Return [(version, image)] of the installed kernels."""
    found = []
    for folder in host.glob("/lib/modules/*"):
        version = folder.rsplit("/", 1)[1]
        images = [path for path in (f"{folder}/vmlinuz", f"/boot/vmlinuz-{version}") if host.glob(path)]
        found += [(version, host.place(images[0]))] if images else []
    return found


def _grub_file(stem):
    return f"/etc/default/grub.d/{stem}.cfg"


def _for_grub(word):
    """Return a word so that GRUB's own script language, in which update-grub writes it as it is, reads nothing into it,
    such as the end of a command into the semicolon of pci=disable_acs_redir=ONE;OTHER."""
    return f"'{word}'" if _READ_BY_GRUB.search(word) else word


def wanted_files(pairs, stem, host, state):
    """Return the boot loader's file, also where only an earlier run's words are to be taken out."""
    taken = [(setting, found) for setting, found in pairs if found["status"] in TAKEN]
    ours = [kept["names"] for kept in state["values"].values() if kept["kind"] == "kernel_parameter"]
    names = sorted(name for some in ours for name in some)
    if loader(host) == "systemd-boot" and (taken or names):
        return [WantedFile(CMDLINE, lambda text: _line(text, taken, names, state, host), commands(None, host))]
    lines = []
    for setting, _found in taken if loader(host) == "grub" else []:
        said = " ".join(map(_for_grub, kernel_cmdline.spelled(setting["name"], setting["value"])))
        lines += [comment(setting), f'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT {said}"\n']
    return [WantedFile(_grub_file(stem), of_lines(lines), [["update-grub"]])]


def _line(text, taken, names, state, host):
    """Return the text of /etc/kernel/cmdline; where it is missing, kernel-install takes the running kernel's words."""
    if text is None:
        text = " ".join(kernel_cmdline.taken_out(host.text("/proc/cmdline") or "", _ONLY_OF_A_BOOT)) + "\n"
    parameters = [(setting["name"], setting["value"]) for setting, _found in taken]
    line = kernel_cmdline.with_parameters(text, parameters, names, _first_words(state, text))
    return text if kernel_cmdline.words(line) == kernel_cmdline.words(text) else line + "\n"


def _first_words(state, text):
    kept = state["files"].get(CMDLINE)
    first = text if kept is None else baseline.content(kept["before"]).decode("utf-8", "replace")
    return kernel_cmdline.words(first)


def take_back(kept, path, text, first):
    """Return the command line without our words; `first` is the text as first seen, or None."""
    if path != CMDLINE:
        return text
    return " ".join(kernel_cmdline.taken_out(text, kept["names"], kernel_cmdline.words(first or ""))) + "\n"


def in_force(state, host):
    """Tell whether the running kernel has words of ours.

    Without /etc/kernel/cmdline kernel-install takes the running kernel's words for the next boot, so a file that we
    made must not go while ours are among them.
    """
    line = host.text("/proc/cmdline") or ""
    ours = [kept["names"] for kept in state["values"].values() if kept["kind"] == "kernel_parameter"]
    names = [name for some in ours for name in some]
    return kernel_cmdline.taken_out(line, names, _first_words(state, "")) != kernel_cmdline.words(line)


def survives(setting, found, stem, boot):
    """Return (value at the next boot, file), as the boot loader's own configuration has it."""
    if boot.foretells(_grub_file(stem)) or boot.foretells(CMDLINE):
        return found["wanted"], CMDLINE
    for path, line in boot.lines(_CONFIGURATION):
        words = line.split(None, 1)
        if words and words[0] in ("linux", "linuxefi", "options"):
            # GRUB's quotes: no value has one.
            if kernel_cmdline.holds(line.replace("'", ""), setting["name"], setting["value"]):
                return found["wanted"], path
    return None, None


def undo(kept, host):
    """Return the row that tells what the running kernel has; the file that is put back does the rest."""
    setting = {"name": kept["name"], "kind": kept["kind"], "value": kept["before"], "reason": "as first seen"}
    now = kernel_cmdline.value_of(host.text("/proc/cmdline") or "", kept["name"])
    now = ABSENT if now is None else now
    if values.same(now, kept["before"]):
        return row(setting, kept["path"], "ok", now, now)
    return row(setting, kept["path"], "changed", now, now, "goes with the next boot")


def restore(_kept, found, _host):
    """Return the row as it is."""
    return found
