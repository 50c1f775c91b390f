"""A host of its own for each test of what puts models there."""

import pytest
from model_host import Host


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)
