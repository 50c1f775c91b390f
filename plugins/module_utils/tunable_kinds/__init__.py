# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds of settings. Each is a module with the same functions, which tunables.py calls.

check(setting)                      raises TunablesError for what is not allowed
target(setting)                     what it sets; no two settings may have the same
read(setting, host)                 its rows as they stand
key(row), entry(row)                name and content of the baseline's entry; None: only files are kept
write(row, host)                    the row after its wanted value was written to the running system, and read back
wanted_files(pairs, stem, host, state)   the persistent files for [(setting, row)]; state: the baseline's
commands(setting, host)             what is run after a change of its file
survives(setting, row, stem, boot)  (value at the next boot or None, the file that sets it); boot: overrides.Boot
undo(entry, host)                   the row that would put the first-seen value back
restore(entry, row, host)           that row after it was done
take_back(entry, path, text, first) the text of a file of several owners without our words; first: as first seen
"""
