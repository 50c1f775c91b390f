"""What the documentation shows is what the product makes.

After a wished change: INFERENCE_HOST_RENEW_GOLDENS=1 pytest tests/unit/test_docs.py
"""

import json
import os
from pathlib import Path

from ansible_collections.inference.host.plugins.module_utils.plan_svg import plan_svg
from fleet_plans import fleet_plan

ROOT = Path(__file__).resolve().parents[2]
HOST = "alfavoice-2s"


def test_the_readmes_picture_is_drawn_by_the_plan():
    recorded = json.loads((ROOT / "inventories/alfavoice/topologies" / (HOST + ".json")).read_text(encoding="utf-8"))
    drawn, picture = plan_svg(recorded, fleet_plan(HOST), HOST), ROOT / "docs/plan.svg"
    if os.environ.get("INFERENCE_HOST_RENEW_GOLDENS"):
        picture.write_text(drawn, encoding="utf-8")
    assert picture.read_text(encoding="utf-8") == drawn
    assert "](docs/plan.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")
