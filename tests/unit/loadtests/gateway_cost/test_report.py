"""Ratios point the right way, and the figures say where the time went."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loadtests.gateway_cost.__main__ import Turn, as_tables, figures_of
from loadtests.gateway_cost.contender import Front
from loadtests.mix import Kind
from loadtests.open_loop.exchanges import Exchange, Exchanges
from loadtests.open_loop.generator import Load


def _turns(**kinds: float) -> list[Turn]:
    """Three, of 100 requests each, whose processes use so many core-ms for a request in the first,
    and double that in each that follows."""
    exchanges = Exchanges([Exchange(Kind.LIST, 0.0, 0.0, 0.01, 200)] * 100)
    load = Load(exchanges=exchanges, seconds=0.5, cpu_seconds=0.02, reconnections=1)
    return [
        (load, {kind: factor * 0.1 * cost for kind, cost in kinds.items()}) for factor in (1, 2, 4)
    ]


@pytest.fixture
def figures() -> dict[str, Any]:
    turns = {
        (Front.HAPROXY, 32): _turns(gateway=1.5, HAProxy=0.5),
        (Front.PYTHON_PROXY, 32): _turns(gateway=6.0, proxy=4.0),
        (Front.BARE, 32): _turns(uvicorn=0.1),
    }
    return figures_of(turns) | {
        "idle_cpu": {Front.HAPROXY: 0.05, Front.BARE: 0.0},
        "hardware": {"cpu": "x", "cores": 2, "cores_of_machine": 2},
    }


def test_the_dearer_over_the_cheaper(figures: dict[str, Any]) -> None:
    # Fronts that were not measured are not compared.
    assert figures["ratios"] == {"python-proxy-over-haproxy@32": 5.0}


def test_the_line_has_every_round_and_every_kind(figures: dict[str, Any]) -> None:
    line = json.loads(json.dumps(figures))
    first = line["measurements"][0]
    assert (first["front"], first["clients"], first["requests"]) == ("haproxy", 32, 300)
    assert first["figures"]["core_ms"]["rounds"] == pytest.approx([2.0, 4.0, 8.0])
    assert first["figures"]["generator_core_ms"]["median"] == pytest.approx(0.2)
    assert first["figures"]["requests_per_second"]["median"] == 200
    assert first["figures"]["p95_ms"]["median"] == 10
    medians = {kind: cost["median"] for kind, cost in first["core_ms_by_kind"].items()}
    assert medians == pytest.approx({"gateway": 3.0, "HAProxy": 1.0})
    assert first["reconnections"] == 3


def test_tables_name_the_dearest_kind_first(figures: dict[str, Any]) -> None:
    tables = as_tables(figures)
    kinds = [line.split("  ")[0] for line in tables.splitlines()]
    named = [kinds.index(f"core ms of {kind}") for kind in ("gateway", "proxy", "HAProxy")]
    assert named == sorted(named)
    assert "4 (2 to 8)" in tables


def test_what_the_others_did_meanwhile_is_told(figures: dict[str, Any]) -> None:
    tables = as_tables(figures)
    assert "Note: haproxy used 5.0% of a CPU while others had their turn." in tables
