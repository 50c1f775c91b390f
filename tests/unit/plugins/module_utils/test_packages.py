"""What dpkg says of packages, and how one is installed after an installation that was cut off."""

import pytest
from ansible_collections.inference.host.plugins.module_utils import packages


def test_half_installed_packages_are_found():
    lines = ["nginx-common ii ", "nginx-light iF ", "libnginx-mod rc ", "nginx-full un ", "nginx-core iHR", "nginx iU ",
             "nginx-doc it ", ""]
    text = "\n".join(lines)
    assert packages.broken(text) == ["nginx-light", "nginx-core", "nginx", "nginx-doc"]


def commands(monkeypatch, left, fails=None):
    """The programs that an installation runs."""
    seen = []

    def run(argv, environ_update=None):
        seen.append(argv)
        assert environ_update["DEBIAN_FRONTEND"] == "noninteractive"
        return (100, "", "E: Unable to locate package x\n") if fails and fails in argv else (0, "", "")

    packages.install(run, "nginx-light", left)
    return [(argv[0], argv[-1]) for argv in seen]


def test_a_whole_host_gets_the_package(monkeypatch):
    assert commands(monkeypatch, []) == [("apt-get", "update"), ("apt-get", "nginx-light")]


def test_what_was_cut_off_is_finished_first(monkeypatch):
    assert commands(monkeypatch, ["nginx-light"]) == [
        ("dpkg", "--force-confold"), ("apt-get", "install"), ("apt-get", "update"), ("apt-get", "nginx-light")]


def test_apts_own_words_are_said(monkeypatch):
    with pytest.raises(packages.PackageError, match="apt-get -y ended with status 100 and said: E: Unable to locate"):
        commands(monkeypatch, [], fails="nginx-light")


def test_a_host_without_dpkg_has_nothing_broken(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert packages.find_broken(None, "*nginx*") == []


def test_packages_that_are_missing_or_half_there(monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda name: "/usr/bin/" + name)
    said = (1, "nginx-light ii \nprometheus iF \nlogrotate rc \n", "no packages found matching x")
    assert packages.missing(lambda argv: said, ["nginx-light", "prometheus", "logrotate", "x"]) == [
        "prometheus", "logrotate", "x"]
    assert packages.missing(None, []) == []


def test_several_packages_are_installed_at_once():
    seen = []
    packages.install(lambda argv, environ_update: seen.append(argv) or (0, "", ""), ["a", "b"])
    assert [argv[-2:] for argv in seen] == [["-q", "update"], ["a", "b"]]
