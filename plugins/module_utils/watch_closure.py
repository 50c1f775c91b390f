# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files of the collection a module_utils file needs, so that it runs on a host without Ansible."""

from __future__ import annotations

import ast
import os

PACKAGE = ("ansible_collections", "inference", "host")


def import_closure(root, entry):
    """Return the paths below the collection's folder `root` that `entry` imports, itself with them, sorted.

    entry: such as plugins/module_utils/watch_main.py. Imports anywhere in a file count. The `__init__.py` of a package
    is in it where there is one. Raises ValueError for an import that is neither of the collection nor of Python, and
    OSError for a file that cannot be read.
    """
    found, waiting = set(), [entry]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        with open(os.path.join(root, path), encoding="utf-8") as stream:
            names = sorted(_imported(ast.parse(stream.read(), path), path))
        for name in names:
            waiting += _files(root, name, path)
        waiting += [init for init in _inits(path) if os.path.isfile(os.path.join(root, init))]
    return sorted(found)


def _imported(tree, path):
    """Return the dotted names, as tuples, that a file imports; of `from x import y` also x.y, which may be a file."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("%s has a relative import; write it in full." % path)
            base = tuple(node.module.split("."))
            names.add(base)
            names.update(base + (alias.name,) for alias in node.names)
    return names


def _files(root, name, importer):
    if name[:3] != PACKAGE:
        if name[0] in ("ansible", "ansible_collections"):
            raise ValueError("%s imports %s, which a host without Ansible has not." % (importer, ".".join(name)))
        return []
    stem = "/".join(name[3:])
    return [path for path in (stem + ".py", stem + "/__init__.py") if os.path.isfile(os.path.join(root, path))]


def _inits(path):
    """Return the paths of the packages that a file is in."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) + "/__init__.py" for count in range(1, len(parts) + 1)]


def program_files(root, entry, below):
    """Return the closure as files for module files, {"path", "content"}, laid out as Python finds the collection."""
    files = []
    for path in import_closure(root, entry):
        with open(os.path.join(root, path), encoding="utf-8") as stream:
            files.append({"path": "/".join((below, *PACKAGE, path)), "content": stream.read()})
    return files
