"""Ratios point the right way, and the line of JSON says where the time went."""

from __future__ import annotations

import json

import pytest

from loadtests.bench.figures import Spread
from loadtests.gateway_cost.benchmark import Measurement, Result
from loadtests.gateway_cost.options import Front, Options
from loadtests.gateway_cost.report import as_json_line, as_tables, notes, ratios

_NAMES = (
    "requests_per_second", "p50_ms", "p95_ms", "p99_ms", "core_ms", "generator_core_ms",
)  # fmt: skip


def _measured(front: Front, cost: float, **kinds: float) -> Measurement:
    figures = {name: Spread.of([cost, 2 * cost, 4 * cost]) for name in _NAMES}
    return Measurement(
        front=front,
        clients=32,
        figures=figures,
        core_ms_by_kind={kind: Spread.of([cost] * 3) for kind, cost in kinds.items()},
        requests=300,
        reconnections=0,
    )


@pytest.fixture
def result() -> Result:
    fronts = (Front.HAPROXY, Front.PYTHON_PROXY, Front.BARE)
    return Result(
        options=Options(fronts=fronts, clients=(32,)),
        measurements=(
            _measured(Front.HAPROXY, 2.0, gateway=1.5, HAProxy=0.5),
            _measured(Front.PYTHON_PROXY, 10.0, gateway=6.0, proxy=4.0),
            _measured(Front.BARE, 0.1, uvicorn=0.1),
        ),
        idle_cpu={Front.HAPROXY: 0.05, Front.BARE: 0.0},
        conditions={"hardware": {"cpu": "x", "cores": 2, "cores_of_machine": 2}, "commit": None},
        seconds=12.3,
    )


def test_the_dearer_over_the_cheaper(result: Result) -> None:
    # Fronts that were not measured are not compared.
    assert {key: spread.median for key, spread in ratios(result).items()} == {
        "python-proxy-over-haproxy@32": 5.0
    }


def test_the_line_has_every_round_and_every_kind(result: Result) -> None:
    line = json.loads(as_json_line(result))
    assert line["ratios"] == {"python-proxy-over-haproxy@32": 5.0}
    first = line["measurements"][0]
    assert (first["front"], first["clients"], first["requests"]) == ("haproxy", 32, 300)
    assert first["figures"]["core_ms"]["rounds"] == [2.0, 4.0, 8.0]
    assert {kind: cost["median"] for kind, cost in first["core_ms_by_kind"].items()} == {
        "gateway": 1.5,
        "HAProxy": 0.5,
    }


def test_tables_name_the_dearest_kind_first(result: Result) -> None:
    tables = as_tables(result)
    kinds = [line.split("  ")[0] for line in tables.splitlines()]
    assert kinds.index("gateway") < kinds.index("proxy") < kinds.index("HAProxy")
    assert "4.00 (2.00 to 8.00)" in tables


def test_notes_tell_what_the_others_did_meanwhile(result: Result) -> None:
    assert notes(result) == [
        "haproxy used 5.0% of a CPU while others had their turn",
        "bare used 0.0% of a CPU while others had their turn",
    ]
