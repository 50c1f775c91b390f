# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the driver's error numbers (Xid) in the kernel log mean, in short; after NVIDIA's public list of Xid errors."""

from __future__ import annotations

# Code -> (meaning, whether the card or its link has to be seen to). The others are mostly a program's own fault, or are
# told for the record.
MEANINGS = {
    13: ("error in a program on the card", False),
    31: ("a program used memory that is not its own", False),
    43: ("a program on the card was stopped", False),
    45: ("a program was ended early, often after another error", False),
    48: ("double-bit ECC error", True),
    61: ("internal microcontroller halted", True),
    62: ("internal microcontroller halted", True),
    63: ("a memory page was retired, or a row is remapped with the next reset", False),
    64: ("retiring a memory page, or remapping a row, failed", True),
    74: ("NVLink error", True),
    79: ("fell off the bus", True),
    92: ("many single-bit ECC errors", False),
    94: ("contained memory error; the program was ended", False),
    95: ("uncontained memory error; reset the card", True),
    119: ("the card's own processor (GSP) did not answer in time", True),
    120: ("error of the card's own processor (GSP)", True),
}


def needs_person(code):
    """Tell whether an error of this number is the card's rather than a program's. Unknown ones are only told."""
    return MEANINGS.get(code, ("", False))[1]


def xid_words(error):
    """Return an entry of the topology's `xid` in words, such as `Xid 79 (fell off the bus), 2 times`."""
    meaning = MEANINGS.get(error["code"], ("see NVIDIA's list of Xid errors", False))[0]
    times = "once" if error["count"] == 1 else "%d times" % error["count"]
    return "Xid %d (%s), %s" % (error["code"], meaning, times)
