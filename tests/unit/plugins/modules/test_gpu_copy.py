"""Module gpu_copy as Ansible runs it, on this machine."""

import os

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery import copies

FILE = "/" + copies.FILE
needs_no_driver = pytest.mark.skipif(os.path.exists("/proc/driver/nvidia/version"), reason="there is an NVIDIA driver")


@needs_no_driver
@pytest.mark.parametrize("check", [False, True])
def test_without_a_driver_it_says_so_and_changes_nothing(run_module, check):
    before = os.path.exists(FILE)
    answer = run_module("gpu_copy", {}, check=check)
    assert (answer["changed"], answer["copies"], answer["skipped_reason"]) == (
        False, [], "the NVIDIA driver is not loaded")
    assert os.path.exists(FILE) == before


@pytest.mark.parametrize(("wish", "message"), [
    ({"seconds": 0}, "seconds is 0; it must be at least 1."),
    ({"size_mib": 0}, "size_mib is 0; it must be a whole number from 1 to 256."),
    ({"size_mib": 257}, "size_mib is 257; it must be a whole number from 1 to 256."),
])
def test_wishes_out_of_range_are_refused(run_module, wish, message):
    assert run_module("gpu_copy", wish)["msg"] == message
