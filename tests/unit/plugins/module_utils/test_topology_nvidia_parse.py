"""The forms in which nvidia-smi answers, from recorded outputs of several driver series, and damaged ones."""

import pytest
from ansible_collections.inference.host.plugins.module_utils.discovery.nvidia_parse import (
    BASIC,
    COLUMNS,
    lost_cards,
    parse_matrix,
    parse_processes,
    parse_query,
    pci_address,
    refused_field,
)
from hypothesis import given
from hypothesis import strategies as st
from nvidia_host import OUTPUTS, recorded_text

KEYS = [key for key, _field, _read in COLUMNS]
UUIDS = ["GPU-00000000-0000-0000-0000-%012d" % number for number in (1, 2)]


def test_a_card_of_each_column():
    card = parse_query(recorded_text("580-rtx5090-pair", "query-gpu"))[0]
    assert card == {
        "index": 0,
        "address": "0000:01:00.0",
        "name": "NVIDIA GeForce RTX 5090",
        "uuid": UUIDS[0],
        "memory_mib": 32607,
        "driver_version": "580.82.09",
        "persistence": False,
        "mig": None,
        "memory_used_mib": 1204,
        "memory_reserved_mib": 477,
        "display": True,
        "ecc": None,
        "ecc_errors": None,
        "power_limit_w": 575,
        "power_default_w": 575,
        "power_min_w": 400,
        "power_max_w": 600,
        "clock_max_mhz": 3090,
    }


def test_units_and_errors_in_numbers():
    card = parse_query(recorded_text("570-rtx3070", "query-gpu"))[0]
    assert [card[key] for key in KEYS[4:]] == [
        8192,
        "570.86.10",
        False,
        None,
        412,
        284,
        True,
        None,
        None,
        220,
        220,
        None,
        None,
        2100,
    ]


def test_slices_that_one_may_not_look_into():
    whole, sliced = parse_query(recorded_text("535-a100-mig", "query-gpu"))
    assert (whole["mig"], whole["memory_used_mib"], whole["ecc_errors"]) == (False, 20541, 0)
    assert (sliced["mig"], sliced["memory_mib"], sliced["memory_used_mib"], sliced["ecc_errors"]) == (
        True,
        81920,
        None,
        None,
    )


def test_the_basic_columns_alone_leave_the_rest_open():
    line = "1, 00000000:C1:00.0, T4, GPU-b, 15360, 550.54.15, Disabled, [N/A]\n"
    line += "0, 0000:10:00.0, T4, GPU-a, 1, 5, Enabled, Enabled"
    first, second = parse_query("a warning, with a comma\n" + line)
    assert (first["index"], first["persistence"], first["mig"]) == (0, True, True)
    assert (second["address"], second["memory_mib"], second["mig"]) == ("0000:c1:00.0", 15360, None)
    assert [first[key] for key in KEYS[BASIC:]] == [None] * (len(COLUMNS) - BASIC)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("150", 150),
        ("150.00", 150),
        ("150.00 W", 150),
        ("72.5", 72.5),
        ("-1", None),
        ("1e3", None),
        ("150 kg", None),
        ("[N/A]", None),
        ("ERR!", None),
        ("[Requested functionality has been deprecated]", None),
        ("", None),
        ("N/A", None),
        ("nan", None),
        ("9" * 13, None),
        ("1.", None),
    ],
)
def test_numbers(word, value):
    words = ["0", "0000:10:00.0", "n", "u", "1", "5", "No", "Yes"] + [word] * (len(COLUMNS) - BASIC)
    card = parse_query(", ".join(words))[0]
    assert (card["power_limit_w"], card["persistence"], card["mig"]) == (value, False, True)
    assert card["memory_used_mib"] == (None if value is None else int(value))


@pytest.mark.parametrize(
    ("bus_id", "address"),
    [
        ("00000000:C1:00.0", "0000:c1:00.0"),
        ("0000:3b:00.1", "0000:3b:00.1"),
        ("00010000:00:00.0", "10000:00:00.0"),
        ("C1:00.0", None),
        ("00000000:C1:00.8", None),
        ("00000000:C1:00.0 ", None),
        ("", None),
    ],
)
def test_addresses(bus_id, address):
    assert pci_address(bus_id) == address


def test_a_line_that_is_no_csv_is_passed_over():
    assert parse_query("0, " + "x" * 200000 + "\n") == []


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        (recorded_text("535-lost-card", "query-gpu"), ["0000:65:00.0"]),
        (recorded_text("550-lost-row", "query-gpu"), ["0000:65:00.0"]),
        (recorded_text("565-lost-all", "all"), ["0000:65:00.0"]),
        ("Unable to determine the device handle for gpu 0000:0B:00.0: Unknown Error", ["0000:0b:00.0"]),
        ("Unable to determine the device handle for GPU 000:BA:80.0: Unknown Error", []),
        (recorded_text("580-rtx5090-pair", "query-gpu"), []),
        (recorded_text("535-a100-mig", "query-gpu"), []),
    ],
)
def test_lost_cards(text, addresses):
    assert lost_cards(text) == addresses


def test_the_field_that_was_refused():
    assert refused_field('Field "memory.reserved" is not a valid field to query.\n\n') == "memory.reserved"
    assert refused_field(recorded_text("535-mismatch", "all")) is None


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {UUIDS[0]: 0, UUIDS[1]: 0}),
        ("No running compute processes found\n", {UUIDS[0]: 0, UUIDS[1]: 0}),
        (recorded_text("570-rtx3070", "query-compute-apps"), {UUIDS[0]: 2, UUIDS[1]: 0}),
        # One process with two contexts is one.
        (f"{UUIDS[0]}, 7\n{UUIDS[0]}, 7\n\n{UUIDS[1]}, 8", {UUIDS[0]: 1, UUIDS[1]: 1}),
        (recorded_text("535-a100-mig", "query-compute-apps"), None),
        ("MIG-00000000-0000-0000-0000-000000000009, 12\n", None),
        (f"{UUIDS[0]}, [N/A]\n", None),
        (f"{UUIDS[0]}\n", None),
    ],
)
def test_processes(text, counts):
    assert parse_processes(text, UUIDS) == counts


def test_links_beside_network_cards():
    matrix = parse_matrix(recorded_text("550-h100-nvswitch", "topo-m"))
    assert matrix["GPU2"] == {"GPU0": "NV18", "GPU1": "NV18", "GPU3": "NV18"}
    assert sorted(matrix) == ["GPU0", "GPU1", "GPU2", "GPU3"]


def test_every_word_for_peers_and_paths():
    assert parse_matrix(recorded_text("470-v100-old-fields", "topo-p2p-r"))["GPU3"] == {
        "GPU0": "TNS",
        "GPU1": "NS",
        "GPU2": "U",
    }
    assert parse_matrix(recorded_text("470-v100-old-fields", "topo-m"))["GPU0"] == {
        "GPU1": "PIX",
        "GPU2": "NODE",
        "GPU3": "SYS",
    }
    assert parse_matrix(recorded_text("580-rtx5090-pair", "topo-p2p-w")) == {
        "GPU0": {"GPU1": "GNS"},
        "GPU1": {"GPU0": "GNS"},
    }


def test_a_pair_without_a_word_is_left_out():
    assert parse_matrix("\tGPU0\tGPU1\nGPU0\tX\t???\nGPU1\tOK\tX\n") == {"GPU0": {}, "GPU1": {"GPU0": "OK"}}
    assert parse_matrix("\tGPU0\tGPU1\nGPU0\tX\n") is None


SCRAPS = [
    "GPU0",
    "GPU1",
    "X",
    "NV4",
    "\t",
    "\n",
    ",",
    " ",
    "\x1b[4m",
    '"',
    "0, ",
    "[GPU is lost]",
    "GPU-a",
    "0000:10:00.0",
    'Field "',
    '" is not a valid field to query',
    "Unable to determine the device handle for GPU",
]


@given(st.text(max_size=300) | st.lists(st.sampled_from(SCRAPS), max_size=60).map("".join))
def test_any_output_is_an_answer_or_none(text):
    assert all(set(card) == set(KEYS) for card in parse_query(text))
    matrix = parse_matrix(text)
    assert matrix is None or all(isinstance(row, dict) for row in matrix.values())
    assert all(pci_address(address) == address for address in lost_cards(text))
    counts = parse_processes(text, ["GPU-a"])
    assert counts is None or list(counts) == ["GPU-a"]
    assert refused_field(text) is None or refused_field(text) in text


@given(st.data())
def test_any_damage_to_a_recorded_answer_is_survived(data):
    path = data.draw(st.sampled_from(sorted(path for path in OUTPUTS.glob("*/*") if path.suffix == "")))
    text = path.read_text(encoding="utf-8")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 80)))
    text = text[:start] + data.draw(st.text(max_size=10)) + text[end:]
    for card in parse_query(text):
        assert set(card) == set(KEYS)
        assert all(card[key] is None or card[key] in (True, False) for key in ("persistence", "mig", "display", "ecc"))
    parse_matrix(text)
    parse_processes(text, UUIDS)
    lost_cards(text)
