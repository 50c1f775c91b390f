# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the NVIDIA module was told about P2P when it was loaded: registry keys in `/proc/driver/nvidia/params`.

Names and bits: nvrm_registry.h of NVIDIA's open kernel modules.
"""

from __future__ import annotations

import re

TEXTS = ("RegistryDwords", "RegistryDwordsPerDevice")
PREFIX = "NVreg_"
FORCE = "forcep2p"
"""Overrides what the driver knows of the chipset; bits 1:0 are reading, 5:4 writing; 1 allows, 0 forbids, 2 leaves."""
BESIDE = ("peermappingoverride", "rmforcep2ptype", "rmpciep2ptype", "rmforcestaticbar1")
"""Keys that choose how peers are mapped. None of them makes the driver offer what it would not."""
_KEY = re.compile(r"\s*([A-Za-z0-9_]{1,64})\s*=\s*(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})\s*\Z")


def registry_keys(params):
    """Return [(name as written, number)] of the options in force. params: {name: text}, or None."""
    found = []
    for name in TEXTS:
        text = (params or {}).get(name) or (params or {}).get(PREFIX + name) or ""
        for part in re.split(r"[;,]", text.strip().strip('"')):
            match = _KEY.match(part)
            if match:
                digits = match.group(2)
                found.append((match.group(1), int(digits, 16 if digits[:2] in ("0x", "0X") else 10)))
    return found


def forced_p2p(params):
    """Return the option that forces P2P that the driver may not offer by itself, such as `ForceP2P=0x11`, or ''."""
    for name, value in registry_keys(params):
        if name.lower() == FORCE and 1 in (value & 3, value >> 4 & 3):
            return "%s=0x%x" % (name, value)
    return ""


def options_beside(params):
    """Return the other options about peers, with commas, or ''."""
    return ", ".join(peer_options(params, BESIDE))


def peer_options(params, names=(FORCE, *BESIDE)):
    """Return the options about peers, such as ["ForceP2P=17"]."""
    return ["%s=%d" % key for key in registry_keys(params) if key[0].lower() in names]
