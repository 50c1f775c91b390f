"""Makes `ansible_collections.inference.host` importable from the checkout, also beside PyPI's `ansible`."""

import sys
from pathlib import Path

COLLECTIONS = Path(__file__).resolve().parents[2] / ".collections"

sys.path.insert(0, str(COLLECTIONS))

import ansible_collections  # noqa: E402
import hypothesis  # noqa: E402

# For a second run of the same tests with another Ansible: --hypothesis-profile=fewer
hypothesis.settings.register_profile("fewer", max_examples=10)

if str(COLLECTIONS / "ansible_collections") not in list(ansible_collections.__path__):
    # PyPI's `ansible` makes it an ordinary package, which hides namespace portions such as ours.
    ansible_collections.__path__.insert(0, str(COLLECTIONS / "ansible_collections"))
