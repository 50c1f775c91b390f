"""The rules and the dashboard as role prometheus makes them with its defaults, and promtool."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jinja2
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
ROLE = ROOT / "roles/prometheus"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
RULE_FILES = sorted((ROLE / "files/rules").glob("*.yml"))
FETCHED = ROOT / "build/promtool/usr/bin/promtool"
WORD = re.compile(r"(?<![\w.])[A-Za-z_:][A-Za-z0-9_:]*")
KEYWORDS = {"or", "and", "unless", "sum", "avg", "count"}


def rule_text(path, **variables):
    """Return a file of rules as the role renders it."""
    environment = jinja2.Environment(variable_start_string="<<", variable_end_string=">>", autoescape=False,
                                     undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(path.read_text()).render(dict(DEFAULTS, **variables))


def rules():
    """Return all rules."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(rule_text(path))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def dashboard():
    return json.loads((ROLE / "files/grafana/inference.json").read_text())


def expressions(board):
    """Return the expressions of a dashboard's panels as a Prometheus gets them."""
    return [target["expr"].replace('"$host"', '".*"').replace('"$service"', '".*"')
            for panel in board["panels"] for target in panel["targets"]]


def metrics_of(expression):
    """Return the names of metrics in an expression: the words that are no function, label, keyword or duration."""
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on) *\([^)]*\)|\boffset +\w+", " ", text)
    return {found.group(0) for found in WORD.finditer(text)
            if found.group(0) not in KEYWORDS and not text[found.end():].startswith("(")}


def known_metrics():
    """Return the names that something exports, those of our recording rules, and Prometheus' own."""
    lines = [line for path in sorted((HERE / "metrics").iterdir()) for line in path.read_text().splitlines()]
    return ({line for line in lines if not line.startswith("#")} | {"up", "ALERTS"}
            | {rule["record"] for rule in rules() if "record" in rule})


def promtool(*words):
    """Run promtool; return (exit status, what it said)."""
    program = FETCHED if FETCHED.exists() else shutil.which("promtool")
    assert program, "promtool is missing; `make promtool` fetches it into build/promtool."
    done = subprocess.run([str(program), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, done.stdout
