# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""llama.cpp's options by the names that the engine found on the host has; several were renamed in 2026.

`options` is the list of names in its `--help`, as module engine_info returns it; an empty one means that they are not
known, and then the names of the version that role runtime installs by default are taken.
"""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.errors import PlanError

LOAD_MODES = ("auto", "mmap", "mlock", "mmap+mlock", "none", "dio")

# Before `--load-mode` (llama.cpp #20834) these stood for the same. Mapping was the default, so that `mlock` alone,
# which locks a copy in memory, has to say that nothing is mapped.
OLD_LOAD_MODES = {
    "auto": (),
    "mmap": (),
    "mlock": ("--no-mmap", "--mlock"),
    "mmap+mlock": ("--mlock",),
    "none": ("--no-mmap",),
    "dio": ("--direct-io",),
}


def knows(options, name):
    """Return whether the engine has the option."""
    return not options or name in options


def load_mode_words(load_mode, options):
    """Return the words that make the engine read the model's file in this way: one of LOAD_MODES, or None.

    None leaves it to the engine. Raises PlanError for a mode that is none, or that this engine does not have.
    """
    if load_mode is None:
        return []
    if load_mode not in LOAD_MODES:
        raise PlanError("load_mode is %r; it must be one of %s." % (load_mode, ", ".join(LOAD_MODES)))
    if knows(options, "--load-mode"):
        return ["--load-mode", load_mode]
    words = list(OLD_LOAD_MODES[load_mode])
    missing = [word for word in words if word not in options]
    if missing:
        raise PlanError("load_mode is %s; the engine on the host knows neither --load-mode nor %s: leave load_mode "
                        "out, or install another build." % (load_mode, " and ".join(missing)))
    return words


def cors_words(origins, options):
    """Return the words that name the pages which browsers may call the engine from; by itself it admits every page.

    origins: a text such as "localhost" or "https://chat.example.org". Builds without the option answer to all.
    """
    return ["--cors-origins", origins] if knows(options, "--cors-origins") else []


def no_ui_words(options):
    """Return the words that switch off the engine's own page, which was called web UI at first."""
    if knows(options, "--no-ui"):
        return ["--no-ui"]
    return ["--no-webui"] if knows(options, "--no-webui") else []


def unknown_arguments(arguments, options):
    """Return those of the user's arguments that name an option which this engine does not have.

    It would not start with them. Negative numbers are values, not options.
    """
    if not options:
        return []
    named = [word.split("=")[0] for word in arguments if word.startswith("-") and not word[1:2].isdigit()]
    return [name for name in named if name not in options and name != "-"]
