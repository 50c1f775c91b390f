"""Fills a home folder for ansible-test, whose environment is cleaned: pip's settings, and a pip that needs no download.

ansible-test starts pip with HOME but without PIP_*, and makes its own virtual environments with a bootstrap script
that it downloads, unless the script is already in its cache. Call: pip_home.py HOME PYTHON_WITH_ANSIBLE_TEST
"""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

BOOTSTRAP = """\
import subprocess
import sys

subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"], stdout=subprocess.DEVNULL)
subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet"]
                      + [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")])
"""


def pip_settings(lines):
    """Return {section: {key: value}} from the lines of `pip config list`, in which environment variables win."""
    settings = {"global": {}}
    for name, value in (line.split("=", 1) for line in lines):
        section, key = (":env:", name[6:]) if name.startswith(":env:.") else name.split(".", 1)
        settings.setdefault(section, {})[key] = ast.literal_eval(value)
    settings["global"].update(settings.pop(":env:", {}))
    return settings


def main(home, python):
    listed = subprocess.check_output([python, "-m", "pip", "config", "list"], text=True).splitlines()
    config = configparser.RawConfigParser()
    config.read_dict(pip_settings(listed))
    config["global"]["quiet"] = "2"
    target = Path(home, ".config/pip/pip.conf")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as file:
        config.write(file)

    code = "import ansible_test._internal.python_requirements as module; print(module.__file__)"
    source = Path(subprocess.check_output([python, "-c", code], text=True).strip()).read_text()
    version = re.search(r"pip='([0-9.]+)'", source).group(1)
    script = Path(home, ".ansible/test/cache/get_pip_%s.py" % version.replace(".", "_"))
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(BOOTSTRAP)


main(*sys.argv[1:])
