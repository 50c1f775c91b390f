"""Role watch: it is told the same as the modules of roles service and nginx, and its units are for the watch alone."""

from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
# What a call that changes nothing does not need.
NOT_READ = {"package", "baseline", "baseline_name", "secrets", "register", "check_mode", "diff", "changed_when"}


def tasks(role, file):
    return yaml.safe_load((ROLES / role / "tasks" / file).read_text(encoding="utf-8"))


def test_nginx_is_compared_with_what_module_nginx_is_given():
    (task,) = tasks("nginx", "nginx.yml")
    given = {name: value for name, value in task["inference.host.nginx"].items() if name not in NOT_READ}
    (said,) = tasks("nginx", "wanted.yml")
    told = said["ansible.builtin.set_fact"]["nginx_wanted"]
    assert told.pop("files") == "{{ __nginx_files | inference.host.watch_sealed }}"
    assert given.pop("files") == "{{ __nginx_files }}"
    assert told == given


def test_units_are_compared_with_what_module_files_is_given():
    given = tasks("service", "main.yml")[1]["inference.host.files"]
    told = tasks("service", "wanted.yml")[-1]["ansible.builtin.set_fact"]["service_wanted"]
    assert told == {"directories": given["directories"], "absent": given["absent"],
                    "files": given["files"].replace(" }}", " | inference.host.watch_sealed }}")}


def test_the_watch_writes_only_its_metrics():
    unit = (ROLES / "watch/templates/watch.service.j2").read_text(encoding="utf-8")
    assert [line for line in unit.splitlines() if line.startswith(("ReadWritePaths=", "StateDirectory="))] == [
        "ReadWritePaths={{ watch_textfile_dir }}"]
    assert "ProtectSystem=strict" in unit and "Nice=19" in unit and "IOSchedulingClass=idle" in unit
