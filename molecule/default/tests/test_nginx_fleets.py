"""Each reference fleet's nginx configuration, as its inventory has it, is one that nginx accepts."""

import pytest
from conftest import REPO
from nginx_box import ROOT, Box, render

FLEETS = sorted(path.parent.name for path in (REPO / "inventories").glob("*/topologies"))
RUNS = [(fleet, None) for fleet in FLEETS] + [
    (path.parent.name, path) for fleet in FLEETS for path in sorted((REPO / "inventories" / fleet).glob("their_*.yml"))]


@pytest.fixture(scope="module")
def box(host):
    made = Box(host)
    yield made
    host.check_output(f"rm -rf {ROOT}")


def test_there_are_five_fleets():
    assert len(FLEETS) == 5


@pytest.mark.parametrize(("fleet", "file"), RUNS, ids=lambda value: getattr(value, "stem", value))
def test_nginx_accepts_the_configuration(box, tmp_path, fleet, file):
    folder = REPO / "inventories" / fleet
    rendered = render(tmp_path, ["-i", str(folder / "hosts.yml")], ["-e", f"@{file}"] if file else [], planned=True)
    assert rendered
    for files in rendered.values():
        box.put(files)
        box.certificate(f"{ROOT}/etc/nginx/tls", "fullchain.pem", "privkey.pem")
        accepted, said = box.test()
        assert accepted, said
        assert "[warn]" not in said
