"""Engines from elsewhere than the source: each has to prove itself on the host, and what fails leaves nothing.

vLLM is a stand-in, a package of its name with nothing in it: the real one takes gigabytes. What is shown is how an
environment comes into its place, not that vLLM works.
"""

import base64
import hashlib
import http.server
import re
import tarfile
import threading
import zipfile

import pytest

PLAYBOOK = "molecule/default/engines.yml"
DIES = "#!/bin/sh\ncase $1 in --version) echo 'version: 9999 (abc)' ;; --help) ;; *) kill -ILL $$ ;; esac\n"
VLLM_DIR = "/opt/inference/vllm"
WHEELS = "/srv/stand-in-wheels"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def archive(path, program):
    """An official archive: a folder with the program and its licence."""
    with tarfile.open(path, "w:gz") as made:
        made.add(program, "llama-b11312/llama-server")
    return path


@pytest.fixture(scope="module")
def engine(host, tmp_path_factory):
    """The host's own llama-server, brought here."""
    (path,) = host.check_output("ls /opt/inference/llama.cpp/*/bin/llama-server").split()
    local = tmp_path_factory.mktemp("engine") / "llama-server"
    local.write_bytes(base64.b64decode(host.check_output(f"base64 -w0 {path}")))
    local.chmod(0o755)
    return local


@pytest.fixture
def install(play, tmp_path):
    """Run role runtime alone, with a cache of its own; return the finished process."""

    def run(*arguments, wanted="llama_cpp", **variables):
        return play(PLAYBOOK, *arguments, wanted=[{"runtime": wanted, **variables.pop("instance", {})}],
                    runtime_cache_dir=str(tmp_path / "cache"), runtime_llama_cpp_dir="/opt/inference/other",
                    **variables)

    (tmp_path / "cache").mkdir()
    return run


@pytest.fixture(autouse=True)
def tidy(host):
    yield
    host.check_output(f"rm -rf /opt/inference/other {VLLM_DIR} {WHEELS} /usr/local/bin/dies")


def said(result):
    return " ".join(result.stdout.split())


def test_an_official_archive_by_file_is_tried_and_kept(install, host, engine, tmp_path):
    path = archive(tmp_path / "llama.tar.gz", engine)
    wish = {"runtime_llama_cpp_from": "archive", "runtime_llama_cpp_archive": str(path),
            "runtime_llama_cpp_archive_sha256": sha256(path)}
    refused = install(**wish)
    assert refused.returncode != 0
    assert "does not tell its build number, and at least 8146 is asked for" in said(refused)
    done = install(**wish, runtime_llama_cpp_build=11312)
    place = f"/opt/inference/other/{sha256(path)[:12]}"
    assert done.returncode == 0 and f"build 11312 at {place}/bin/llama-server" in said(done), done.stdout
    assert host.check_output("ls -A /opt/inference/other").split() == [".lock", sha256(path)[:12]]
    again = install(**wish, runtime_llama_cpp_build=11312)
    assert re.search(r"changed=0 .*failed=0", again.stdout), again.stdout


def test_an_official_archive_by_url(install, host, engine, tmp_path):
    path = archive(tmp_path / "llama.tar.gz", engine)
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_arguments: None})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *arguments: handler(*arguments, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wish = {"runtime_llama_cpp_from": "archive", "runtime_llama_cpp_build": 11312,
            "runtime_llama_cpp_archive": f"http://127.0.0.1:{server.server_port}/llama.tar.gz"}
    wrong = install(**wish, runtime_llama_cpp_archive_sha256="0" * 64)
    assert wrong.returncode != 0 and "runtime_llama_cpp_archive_sha256 states the SHA-256" in said(wrong), wrong.stdout
    assert list((tmp_path / "cache").iterdir()) == []
    done = install(**wish, runtime_llama_cpp_archive_sha256=sha256(path))
    server.shutdown()
    assert done.returncode == 0 and "llama.cpp 0.5.0-dev build 11312" in said(done), done.stdout


def test_an_engine_for_another_processor_dies_at_the_trial_and_leaves_nothing(install, host, tmp_path):
    (tmp_path / "dies").write_text(DIES)
    (tmp_path / "dies").chmod(0o755)
    path = archive(tmp_path / "llama.tar.gz", tmp_path / "dies")
    result = install(runtime_llama_cpp_from="archive", runtime_llama_cpp_archive=str(path),
                     runtime_llama_cpp_archive_sha256=sha256(path))
    assert result.returncode != 0
    assert "died of an illegal instruction (SIGILL) when it loaded a model: it was built for another" in said(result)
    assert host.check_output("ls -A /opt/inference/other") == ".lock"
    assert host.run("ls -d /tmp/inference-engine-*").rc != 0


def test_a_program_that_is_there_is_tried_once(install, host, engine):
    (path,) = host.check_output("ls /opt/inference/llama.cpp/*/bin/llama-server").split()
    wish = {"runtime_llama_cpp_from": "binary", "runtime_llama_cpp_build": 11312}
    done = install(**wish, runtime_llama_cpp_server=path)
    assert done.returncode == 0 and f"build 11312 at {path}" in said(done), done.stdout
    assert re.search(r"changed=0 .*failed=0", install(**wish, runtime_llama_cpp_server=path).stdout)
    data = base64.b64encode(DIES.encode()).decode()
    host.check_output(f"echo {data} | base64 -d >/usr/local/bin/dies; chmod 755 /usr/local/bin/dies")
    refused = install(**wish, runtime_llama_cpp_server="/usr/local/bin/dies")
    assert refused.returncode != 0 and "it was built for another processor" in said(refused), refused.stdout


def test_a_command_that_is_not_there_is_named(install):
    result = install(wanted="command", instance={"command": ["/opt/nothing/serve", "--port", "1"]})
    assert result.returncode != 0 and re.search(r"changed=0 .*failed=1", result.stdout)
    assert "/opt/nothing/serve of a service's command is not on the host" in said(result)


def test_a_container_needs_an_engine_or_leave_to_install_one(install):
    result = install(wanted="container", instance={"image": "registry.example.org/a@sha256:" + "0" * 64})
    assert result.returncode != 0 and re.search(r"changed=0 .*failed=1", result.stdout)
    assert "has neither Podman nor Docker" in said(result) and "runtime_container_install" in said(result)


def wheel(path, body):
    """A stand-in for vLLM: a module, and a script of the same name."""
    info = "vllm-0.33.0.dist-info"
    files = {
        "vllm.py": body + "\ndef main():\n    print('0.33.0')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: 0.33.0\nSummary: stand-in for tests\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nvllm = vllm:main\n",
    }
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
        made.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return path


def send(host, path):
    data = base64.b64encode(path.read_bytes()).decode()
    host.check_output(f"mkdir -p {WHEELS}; echo {data} | base64 -d >{WHEELS}/{path.name}")


def test_vllm_gets_an_environment_of_its_own(install, host, tmp_path):
    name = "vllm-0.33.0-py3-none-any.whl"
    send(host, wheel(tmp_path / name, "raise ImportError('no libtorch')"))
    wish = {"wanted": "vllm", "runtime_vllm_find_links": [WHEELS]}
    refused = install(**wish)
    assert refused.returncode != 0 and "cannot import vllm" in said(refused) and "no libtorch" in said(refused)
    assert host.check_output(f"ls -A {VLLM_DIR}") == ".lock"
    path = wheel(tmp_path / name, "")
    send(host, path)
    (tmp_path / "requirements.txt").write_text(f"vllm==0.33.0 --hash=sha256:{sha256(path)}\n")
    wish["runtime_vllm_requirements"] = str(tmp_path / "requirements.txt")
    done = install(**wish)
    assert done.returncode == 0, done.stdout
    (place,) = host.check_output(f"ls {VLLM_DIR}").split()
    assert re.search(f"vLLM 0.33.0 .*at {VLLM_DIR}/{place}/bin/vllm", said(done)), done.stdout
    assert host.check_output(f"{VLLM_DIR}/{place}/bin/vllm") == "0.33.0"
    assert re.search(r"changed=0 .*failed=0", install(**wish).stdout)
    # Another content than the requirements file states.
    send(host, wheel(tmp_path / name, "changed = True"))
    (tmp_path / "requirements.txt").write_text(f"# again\nvllm==0.33.0 --hash=sha256:{sha256(path)}0\n")
    wrong = install(**wish)
    assert wrong.returncode != 0 and host.check_output(f"ls {VLLM_DIR}") == place, wrong.stdout
