"""A place for the trees that the topology tests build."""

from pathlib import Path

import pytest
from builders import scratch


@pytest.fixture
def tree_folder():
    """`tmp_path` for a tree of many small files, which a disk would be slow to write and to clear away."""
    with scratch() as folder:
        yield Path(folder)
