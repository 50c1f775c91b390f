# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's part of module model_release: sends files that are here, and follows downloads."""

from __future__ import annotations

import os
import time

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.inference.host.plugins.module_utils.errors import ReleaseError
from ansible_collections.inference.host.plugins.module_utils.gguf_facts import facts_of_file
from ansible_collections.inference.host.plugins.module_utils.model_formats import check_content, opened_file
from ansible_collections.inference.host.plugins.module_utils.model_sources import last_part, local_path, scheme

display = Display()

INTERNAL = ("sizes", "uploader", "uploaded", "looked")
FRUITLESS_CALLS = 3
"""So many calls in a row that bring no new byte end a download."""
MB = 1000000


class Sent:
    """A model whose files are on the controller."""

    def __init__(self, wish, found):
        """wish: the model as the task names it. found: path on the controller that its source names, or None."""
        self.name, self.source, self.found = wish["name"], wish["source"], found
        files = wish.get("files")
        self.below = isinstance(files, dict)
        self.sums = files if self.below else {wish.get("filename") or last_part(self.source): wish.get("sha256")}
        self.filename = wish.get("filename")

    def place(self, path):
        """Return where a file lies on the controller, or None."""
        place = self.found and local_path(self.found, path if self.below else None)
        return place if place and os.path.isfile(place) else None

    def sizes(self):
        return {path: os.path.getsize(self.place(path)) for path in self.sums if self.place(path)}

    def check(self, path):
        """Raise AnsibleActionFail unless the file is there and is the right one."""
        place = self.place(path)
        if place is None:
            raise AnsibleActionFail(sentence(self.name, (
                "source %s does not exist on the controller; it must be a file there, a URL that the host can fetch, or"
                " file:///PATH for a file on the host" % local_path(self.source, path if self.below else None))))
        try:
            check_content(place, path, str(self.sums[path]).lower(), place)
        except (ReleaseError, OSError) as error:
            raise AnsibleActionFail(sentence(self.name, str(error))) from None

    def facts(self):
        """Return what the header says of the model that is still here."""
        path = opened_file(self.sums, self.filename) if self.below else next(iter(self.sums))
        return facts_of_file(self.place(path)) if path else {}


class ActionModule(ActionBase):
    """Calls the module once when nothing is to be done, and as often as a transfer or download needs it."""

    _supports_check_mode = True
    _supports_diff = False
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        """Return the result of the last call of the module; raise AnsibleActionFail with one sentence."""
        super().run(tmp, task_vars)
        self._task_vars = task_vars
        for name in INTERNAL:
            if name in self._task.args:
                raise AnsibleActionFail("model_release: %s is set by the action plugin alone." % name)
        self._sent = {wish["name"]: Sent(wish, self._local_path(wish["source"]))
                      for wish in self._task.args.get("models") or [] if _is_here(wish)}
        self._sizes = {name: sent.sizes() for name, sent in self._sent.items()}
        result = self._call()
        if result.get("failed"):
            return result
        missing = [(self._sent[model["name"]], path) for model in result["results"] if model["name"] in self._sent
                   for path in model["missing"]]
        for sent, path in missing:
            sent.check(path)
        if result["waiting"]:
            return self._complete(result)
        for model in result["results"]:
            if model["missing"] and model["name"] in self._sent:
                model.update(self._sent[model["name"]].facts())
        return result

    def _local_path(self, source):
        """Return what `source` names on the controller, or None. It is missed only if the host needs it."""
        try:
            return self._find_needle("files", os.path.expanduser(source))
        except AnsibleError:
            return None

    def _complete(self, result):
        """Call the module until it waits for nothing; return the last result, with what all calls have done."""
        whole = {model["name"]: model["size_bytes"] for model in result["results"]}
        done, fruitless, most = _installed(result), 0, {}
        uploader = (self._get_remote_user() or "?") if self._connection.become else ""
        while not result.get("failed") and result["waiting"]:
            if "progress" in result["waiting"]:
                progress = result["waiting"]["progress"]
                name, received = progress["name"], progress["received_bytes"]
                # More than ever before: what comes and is lost again is no progress.
                fruitless = 0 if received > most.get(name, 0) else fruitless + 1
                most[name] = max(received, most.get(name, 0))
                self._follow(progress, whole[name], fruitless)
                result = self._call(uploader=uploader, looked=True)
            elif result["waiting"]["upload"]:
                result = self._send(uploader, **result["waiting"]["upload"])
            else:
                result = self._call(uploader=uploader, looked=True)
            done |= _installed(result)
        for model in result.get("results", []):
            if model["name"] in done:
                model.update(changed=True, status="installed")
                result["changed"] = True
        return result

    def _follow(self, progress, size, fruitless):
        """Show how far a download is; raise AnsibleActionFail when it does not get on."""
        received = progress["received_bytes"]
        self._say(progress["name"], "%d of %s MB" % (received // MB, "?" if size is None else size // MB))
        if fruitless == FRUITLESS_CALLS:
            raise AnsibleActionFail(sentence(progress["name"], (
                "%s; %d bytes are there, and %d attempts brought no more" % (progress["reason"], received, fruitless))))
        time.sleep(fruitless)

    def _send(self, uploader, name, path, folder):
        """Transfer a file to a folder beside its place, where the host could give one, else to the usual one."""
        local = self._sent[name].place(path)
        self._say(name, "transferring %d MB" % (os.path.getsize(local) // MB))
        shell = self._connection._shell
        try:
            target = shell.join_path(folder or self._make_tmp_path(), "model")
            self._transfer_file(local, target)
            if not folder:
                self._fixup_perms2((shell.tmpdir, target))
        except AnsibleError:
            if not folder:
                raise
            self._low_level_execute_command(shell.remove(folder, recurse=True))
            result = self._call(uploader=uploader, looked=True)
            if not result.get("failed") and (result["waiting"] or {}).get("upload", {}).get("path") != path:
                return result  # another run was faster, and removed all uploads of this file
            raise
        return self._call(uploader=uploader, looked=True, uploaded={"name": name, "path": path, "file": target})

    def _call(self, **internal):
        arguments = dict(self._task.args, sizes=self._sizes, **internal)
        return self._execute_module("inference.host.model_release", module_args=arguments, task_vars=self._task_vars)

    def _say(self, name, text):
        display.display("%s: %s: %s" % (self._task_vars["inventory_hostname"], name, text))


def _is_here(wish):
    """Return whether a wish is complete, and its source is on the controller; the module says what a wish lacks."""
    return (isinstance(wish, dict) and isinstance(wish.get("source"), str) and "name" in wish
            and not scheme(wish["source"]))


def _installed(result):
    """Return the names of the models that a call has installed."""
    return {model["name"] for model in result.get("results", []) if model["status"] == "installed"}


def sentence(name, text):
    return "model '%s': %s." % (name, text)
