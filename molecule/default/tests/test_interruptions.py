"""A run that is killed at any point can be repeated and ends right."""

import os
import signal

import pytest

TASKS = [
    "inference.host.service : Write the units",
    "inference.host.service : Run the instances and read back where they run",
    "inference.host.nginx : Put nginx in front",
]


@pytest.fixture(scope="module", autouse=True)
def as_before(play):
    yield
    assert play("site.yml").returncode == 0


@pytest.mark.parametrize("task", TASKS)
def test_a_killed_run_is_repeated(play, start, host, units, task):
    # Values of this case alone, so that there is something to change.
    case = TASKS.index(task)
    wishes = {"topology_first_port": 19000 + 10 * case, "nginx_read_timeout_seconds": 601 + case}
    with start("site.yml", **wishes) as process:
        seen = any(task in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    assert seen, f"the run did not come to {task}"
    repeated = play("site.yml", **wishes)
    assert repeated.returncode == 0, repeated.stdout
    ports = [unit.argument("--port") for unit in units]
    assert ports == [str(19000 + 10 * case), str(19001 + 10 * case)]
    assert f"proxy_read_timeout {601 + case}s;" in host.check_output("nginx -T 2>/dev/null")
    unchanged = play("site.yml", **wishes)
    assert "changed=0 " in unchanged.stdout, unchanged.stdout
