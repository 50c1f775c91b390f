"""The part of the collection that runs on hosts without Ansible: which files, and that they run there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.inference.host.plugins.module_utils.watch_closure import import_closure, program_files
from test_prometheus_text import parsed
from watch_hosts import planned_host, wanted_of

ROOT = Path(__file__).resolve().parents[4]
MAIN = "plugins/module_utils/watch_main.py"
START = """import sys
sys.path.insert(0, sys.argv.pop(1))
from ansible_collections.inference.host.plugins.module_utils.watch_main import main
sys.exit(main())
"""


def oldest_python():
    """Return the Python that hosts have to have, from the path or from pyenv; None where it is not installed."""
    below = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in [shutil.which("python3.8"), *sorted(below.glob("3.8.*/bin/python3.8"))]:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


def write(folder, files):
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(folder)


def test_it_has_what_is_imported_anywhere_and_the_packages_around_it(tmp_path):
    base = "ansible_collections.inference.host.plugins.module_utils"
    root = write(tmp_path, {
        MAIN: f"import json\nfrom {base} import one\ndef late():\n    import {base}.sub.two\n",
        "plugins/module_utils/one.py": f"from {base}.watch_main import late\n",
        "plugins/module_utils/sub/__init__.py": f"import {base}.three\n",
        "plugins/module_utils/sub/two.py": "", "plugins/module_utils/three.py": "",
        "plugins/module_utils/other.py": "import ansible\n"})
    names = ["one", "sub/__init__", "sub/two", "three", "watch_main"]
    assert import_closure(root, MAIN) == [f"plugins/module_utils/{name}.py" for name in names]


@pytest.mark.parametrize(("text", "said"), [
    ("from ansible.module_utils.basic import AnsibleModule\n", "imports ansible.module_utils.basic, which a host"),
    ("import ansible_collections.other.one\n", "imports ansible_collections.other.one, which a host"),
    ("from . import one\n", "has a relative import"),
])
def test_what_needs_more_than_python_is_refused(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        import_closure(write(tmp_path, {MAIN: text}), MAIN)


def test_the_program_of_the_watch_is_the_core_alone():
    files = import_closure(str(ROOT), MAIN)
    names = {Path(path).stem for path in files}
    assert all(path.startswith("plugins/module_utils/") for path in files)
    assert {"tunables", "verify_rows", "unit_work", "nginx_work", "watch_read"} <= names
    assert not {"plan", "plan_layout", "gguf_facts", "watch_wanted", "watch_closure"} & names


@pytest.mark.skipif(oldest_python() is None, reason="there is no Python 3.8 here")
def test_it_runs_with_the_oldest_python_and_nothing_else(tmp_path, tree_folder):
    for file in program_files(str(ROOT), MAIN, str(tmp_path / "lib")):
        write(tmp_path, {Path(file["path"]).relative_to(tmp_path): file["content"]})
    (tmp_path / "start.py").write_text(START)
    (tmp_path / "wanted.json").write_text(json.dumps(wanted_of(planned_host(tree_folder), tmp_path)))

    def run(*words):
        return subprocess.run(
            [oldest_python(), "-I", "-S", "-B", str(tmp_path / "start.py"), str(tmp_path / "lib"), "--wanted",
             str(tmp_path / "wanted.json"), *words], cwd="/", capture_output=True, text=True, check=False)

    # It reads this machine, which is not as planned, and may have no systemd.
    done = run()
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    found, _kinds = parsed((tmp_path / "inference.prom").read_text())
    assert set(found["inference_drift_rows"]) == {(("status", word),) for word in ("drift", "partial", "refused")}
    shown = run("--print")
    assert shown.returncode in (1, 2) and "AREA" in shown.stdout, shown.stderr
    (tmp_path / "wanted.json").write_text("{")
    assert run().returncode == 2 and "is not as role watch has written it" in run().stderr
    (tmp_path / "wanted.json").unlink()
    assert run().stderr == f"{tmp_path / 'wanted.json'} cannot be used: no such file or directory.\n"
