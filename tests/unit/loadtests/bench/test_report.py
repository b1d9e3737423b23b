"""Ratios point the right way, the line of JSON says everything, and notes warn."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from loadtests.bench.contender import Peer, Regime, Search
from loadtests.bench.options import BenchOptions, Pair
from loadtests.bench.regimes import Measurement
from loadtests.bench.report import as_object, as_tables
from loadtests.bench.workload import Workload
from loadtests.report import spread

_OURS, _THEIRS = "polyhead-int8", "ctranslate2-int8"
_FIGURE = {
    Regime.LATENCY: "mean_ms",
    Regime.THROUGHPUT: "tokens_per_second",
    Regime.ONLINE: "p95_ms",
}


def _measured(
    regime: Regime, label: str, value: float, load: str | None = None, **more: Any
) -> Measurement:
    return {
        "contender": label,
        "regime": regime,
        "search": Search.GREEDY,
        **({"load": load} if load else {}),
        "setup": {"threads": 2},
        "figures": {_FIGURE[regime]: spread([value, 2 * value, 3 * value])},
        "sentences": 8,
        **more,
    }


_WORKLOAD = Workload(
    sources=((9, 2), (9, 9, 2)), references=None, planned=None, max_new_tokens=9, left_out=0
)
_HARDWARE = {
    "cpu": "A CPU",
    "cpu_flags": ("avx2",),
    "cores": 2,
    "cores_of_machine": 4,
    "memory_bytes": 2**34,
    "gpus": (),
}


def _object(
    *measurements: Measurement,
    options: BenchOptions | None = None,
    workload: Workload = _WORKLOAD,
    **changes: Any,
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "pairs": (Pair(ours="int8", peer=Peer.CTRANSLATE2, theirs="int8"),),
        "memory": {_OURS: {"rss": 2**20, "pss": 2**19, "peak_rss": 2**21}},
        "idle_cpu": {_OURS: 0.0, _THEIRS: 0.001},
        "hardware": _HARDWARE,
    }
    options = options or _options(*measurements)
    made = as_object(options, workload, measurements, **(values | changes))
    again: dict[str, Any] = json.loads(json.dumps(made))
    return again


def _options(*measurements: Measurement, **changes: Any) -> BenchOptions:
    regimes = tuple(dict.fromkeys(m["regime"] for m in measurements))
    peers = (Peer.CTRANSLATE2,)
    return BenchOptions(regimes=regimes, searches=(Search.GREEDY,), peers=peers, **changes)


def _throughput(**more: Any) -> tuple[Measurement, Measurement]:
    return (
        _measured(Regime.THROUGHPUT, _OURS, 300.0, **more),
        _measured(Regime.THROUGHPUT, _THEIRS, 200.0, **more),
    )


def test_more_tokens_a_second_are_better() -> None:
    found = _object(*_throughput())
    assert found["ratios"] == {"ctranslate2-int8/greedy": 1.5}
    assert found["ratio_rounds"] == {"ctranslate2-int8/greedy": [1.5, 1.5, 1.5]}


@pytest.mark.parametrize("regime", [Regime.LATENCY, Regime.ONLINE])
def test_fewer_milliseconds_are_better(regime: Regime) -> None:
    shares = ("25%", "50%", "80%") if regime is Regime.ONLINE else (None,)
    measurements = [
        _measured(regime, label, value, share and f"{share} of {_THEIRS}")
        for share in shares
        for label, value in ((_OURS, 10.0), (_THEIRS, 40.0))
    ]
    found = _object(*measurements)["ratios"]
    suffixes = [f"@{share}" if share else "" for share in shares]
    assert list(found) == [f"ctranslate2-int8/greedy{suffix}" for suffix in suffixes]
    assert set(found.values()) == {4.0}


def test_several_regimes_are_told_apart() -> None:
    latency = [_measured(Regime.LATENCY, label, 5.0) for label in (_OURS, _THEIRS)]
    assert list(_object(*latency, *_throughput())["ratios"]) == [
        "latency/ctranslate2-int8/greedy",
        "throughput/ctranslate2-int8/greedy",
    ]


def test_the_line_of_json_says_everything() -> None:
    values = _object(*_throughput(output_tokens=40, bleu=20.0))
    assert values["measurements"][0] == {
        "contender": "polyhead-int8",
        "regime": "throughput",
        "search": "greedy",
        "setup": {"threads": 2},
        "figures": {
            "tokens_per_second": {
                "rounds": [300.0, 600.0, 900.0],
                "min": 300.0,
                "median": 600.0,
                "max": 900.0,
            }
        },
        "sentences": 8,
        "output_tokens": 40,
        "bleu": 20.0,
    }
    assert set(values) == {
        "schema", "ratios", "ratio_rounds", "model", "from", "regimes", "limit_repeats", "seed",
        "rounds", "dtype",
        "sentences", "source_tokens", "planned_tokens", "text", "references", "measurements",
        "memory", "idle_cpu", "notes", "hardware",
    }  # fmt: skip
    assert values["notes"] == []
    assert values["hardware"]["cpu_flags"] == ["avx2"]
    assert values["memory"][_OURS] == {"rss": 2**20, "pss": 2**19, "peak_rss": 2**21}


def test_tables_hold_what_was_measured() -> None:
    text = as_tables(_object(*_throughput(output_tokens=40)))
    rows = [row.split() for row in text.splitlines()]
    assert ["polyhead-int8", "600", "(300", "to", "900)", "8", "40", "threads", "2"] in rows
    assert ["ctranslate2-int8/greedy", "1.50", "1.50", "to", "1.50"] in rows
    assert "BLEU" not in text, "a column that nobody has anything in"


def test_nothing_to_note() -> None:
    assert _object(*_throughput(bleu=20.0, planned_lengths=1.0))["notes"] == []


def test_a_worse_translation_is_noted() -> None:
    ours, theirs = _throughput(bleu=20.0)
    [note] = _object(ours | {"bleu": 19.5}, theirs)["notes"]
    assert note == "polyhead-int8, throughput, greedy: 0.5 BLEU below the best"
    # Scores of other sentences are not compared.
    assert _object(ours | {"bleu": 19.5}, theirs | {"sentences": 2})["notes"] == []


def test_other_lengths_than_planned_are_noted() -> None:
    ours, theirs = _throughput(planned_lengths=1.0)
    [note] = _object(ours, theirs | {"planned_lengths": 0.9})["notes"]
    assert "ctranslate2-int8" in note
    assert "10.0% of targets have other lengths" in note
    for lost in (
        (ours, theirs | {"planned_lengths": 0.9}),
        (ours | {"planned_lengths": 0.9}, theirs),
    ):
        assert _object(*lost)["ratios"] == {}


def test_the_share_of_the_peak() -> None:
    ours, theirs = _throughput(operations=4000, output_tokens=40)  # 100 for each token
    peaks = {"one_thread": {"int8": 6e4, "read": 1e9}, "all_threads": {"int8": 1.2e5, "read": 1e9}}
    values = _object(ours, theirs | {"contender": "ctranslate2-float16"}, peaks=peaks)
    found = [m.get("share_of_peak") for m in values["measurements"]]
    assert found == [0.5, None], "600 tokens of 100 operations a second; there is no other peak"
    text = as_tables(values)
    assert "of peak" in text
    assert "50%" in text
    latency = _measured(Regime.LATENCY, _OURS, 10.0, operations=4000, output_tokens=40)
    latency["figures"]["per_token_ms"] = spread([2.0])
    [one] = _object(latency, peaks=peaks)["measurements"]
    assert one["share_of_peak"] == pytest.approx(500 * 100 / 1.2e5)


def test_a_forced_instruction_set_is_told() -> None:
    both = _throughput()
    forced = {"POLYHEAD_INSTRUCTION_SET": "avx2", "CT2_FORCE_CPU_ISA": "AVX2"}
    text = as_tables(_object(*both, instruction_set="avx2", forced=forced))
    assert (
        "Instruction set: avx2, forced, by POLYHEAD_INSTRUCTION_SET=avx2 CT2_FORCE_CPU_ISA=AVX2."
        in text
    )
    assert "Instruction set: avx2.\n" in as_tables(
        _object(*both, instruction_set="avx2", forced={})
    )


def test_whatever_else_must_be_known_is_noted() -> None:
    both = _throughput()
    busy = _object(*both, idle_cpu={_THEIRS: 0.5})
    assert busy["notes"] == [f"{_THEIRS} used 50% of a CPU while others had their turn"]
    long = _object(*both, workload=replace(_WORKLOAD, left_out=3))
    assert long["notes"] == ["3 lines were left out: too long for the model"]
    for m in both:
        m["figures"] = {"tokens_per_second": spread([1.0, 2.0])}
    quick = _object(*both)
    assert quick["rounds"] == 2
    assert quick["notes"] == ["fewer than 3 rounds: do not compare with these ratios"]
