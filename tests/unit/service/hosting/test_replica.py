"""The translator replica without Ray: the real model side, called as Serve calls it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.config import EngineConfig, GenerationConfig, Priority
from model.errors import (
    BackendUnavailableError,
    DeadlineExceededError,
    EngineDeadError,
    QueueFullError,
    TooLongForDeadlineError,
    UnsupportedLanguageError,
)
from model.translator import Translator
from service.autoscaling.decision import ReplicaLoad
from service.hosting.replica import TranslatorReplica
from service.observability.logs import flush_log
from service.protocol import HostedModel, TranslateCall, TranslateReply
from service.settings import LogLevel
from tests.fakes import until
from tests.tiny_model import build_tiny_model

_ENGINE = EngineConfig(backend="eager", max_slots=16, num_threads=1)


Call = Callable[..., TranslateCall]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def replica(tiny_model: Path) -> Iterator[TranslatorReplica]:
    started = TranslatorReplica((_hosted(tiny_model),), _ENGINE)
    yield started
    started.close()


def _hosted(directory: Path, name: str = "tiny", **more: Any) -> HostedModel:
    return HostedModel(key=f"{name}@1", id=name, directory=str(directory), **more)


def _translator(replica: TranslatorReplica) -> Translator:
    [entry] = replica._pool._entries.values()
    assert entry.translator is not None
    return entry.translator


@pytest.fixture
def call(tiny_model: Path) -> Call:
    def call(*texts: str, source: str = "en", **more: Any) -> TranslateCall:
        return TranslateCall(
            request_id="r", model=_hosted(tiny_model), texts=texts, source=source, target="de",
            **more,
        )  # fmt: skip

    return call


@pytest.mark.parametrize(("granted", "threads"), [(1, 1), (8, 3)])
def test_no_more_threads_than_cpus_are_granted(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, granted: int, threads: int
) -> None:
    monkeypatch.setattr("service.hosting.replica.granted_cpus", lambda: granted)
    replica = TranslatorReplica((_hosted(tiny_model),), replace(_ENGINE, num_threads=3))
    assert _translator(replica).engine.config.num_threads == threads
    replica.close()


async def test_answers_in_the_order_of_the_texts(replica: TranslatorReplica, call: Call) -> None:
    reply = await replica.translate(call("The red house.", " ", "Old bread. A cold street."))
    assert reply.model == "tiny"
    first, blank, third = reply.translations
    alone = await replica.translate(call("The red house."))
    assert first.text == alone.translations[0].text
    assert (blank.text, blank.score, blank.source_tokens) == (" ", None, 0)
    assert (first.num_sentences, third.num_sentences) == (1, 2)
    assert first.hypotheses[0].text == first.text
    assert first.source_tokens > 1
    assert first.decode_seconds > 0
    assert first.encode_seconds > 0
    assert first.queue_seconds >= 0


async def test_searches_as_the_call_says(replica: TranslatorReplica, call: Call) -> None:
    generation = GenerationConfig(beam_size=3, num_hypotheses=3, max_new_tokens=4)
    reply = await replica.translate(call("The red house.", generation=generation))
    [translated] = reply.translations
    assert len(translated.hypotheses) == 3
    assert translated.target_tokens <= 4
    assert translated.finish_reason == "length"


async def test_tells_of_its_model(tiny_model: Path, replica: TranslatorReplica) -> None:
    info = await replica.info(_hosted(tiny_model))
    assert (info.name, info.languages.pairs) == ("tiny", (("en", "de"),))
    assert (info.device, info.dtype, info.max_source_tokens) == ("cpu", "float32", 64)
    assert info.num_parameters > 1000
    assert info.generation.beam_size == 2


async def test_refuses_a_pair_that_it_does_not_have(replica: TranslatorReplica, call: Call) -> None:
    with pytest.raises(UnsupportedLanguageError, match="translates en to de, but not fr to de"):
        await replica.translate(call("Le pain.", source="fr"))


async def test_a_deadline_is_the_time_left_when_the_call_was_sent(
    replica: TranslatorReplica, call: Call
) -> None:
    with pytest.raises(DeadlineExceededError):
        await replica.translate(call(*["The red house. " * 50] * 20, timeout_seconds=0.0))


async def test_what_takes_longer_than_its_deadline_is_refused_from_the_first_request_on(
    replica: TranslatorReplica, call: Call
) -> None:
    engine = _translator(replica).engine
    engine._service_time._decoding.seconds_each *= 1e9  # known, and so slow that no test is
    with pytest.raises(TooLongForDeadlineError, match="but the deadline is in"):
        await replica.translate(call("The red house.", timeout_seconds=30))
    assert engine.stats().submitted_source_tokens == 0
    assert engine.drain_steps() == []


async def test_a_cancelled_call_frees_its_slots(replica: TranslatorReplica, call: Call) -> None:
    engine = _translator(replica).engine
    working = asyncio.create_task(replica.translate(call(*["The red house. " * 50] * 20)))
    await until(lambda: engine.stats().running > 0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await until(lambda: engine.stats().slots_used == 0)
    assert engine.stats().waiting == 0


async def test_calls_together_have_the_outcomes_that_each_has_alone(
    replica: TranslatorReplica, call: Call
) -> None:
    calls = (call("a b", "c"), call("d"), call("e", source="fr"))
    outcomes = {
        outcome.number: outcome
        async for ended in replica.translate_together("b", calls)
        for outcome in ended
    }
    for number, each in enumerate(calls[:2]):
        reply, alone = outcomes.pop(number).reply, await replica.translate(each)
        assert reply is not None
        assert [one.text for one in reply.translations] == [one.text for one in alone.translations]
    assert isinstance(outcomes.pop(2).error, UnsupportedLanguageError)
    assert outcomes == {}


async def test_one_of_the_calls_together_can_be_given_up(
    replica: TranslatorReplica, call: Call
) -> None:
    long = call(*["The red house. " * 50] * 20)
    outcomes = replica.translate_together("b", (long, call("b")))
    [first] = await anext(outcomes)
    assert first.number == 1
    await replica.give_up("b", 0)
    await replica.give_up("another", 0)
    assert [ended async for ended in outcomes] == []
    await until(lambda: _translator(replica).engine.stats().slots_used == 0)


async def test_tells_the_autoscaler_of_its_load(replica: TranslatorReplica, call: Call) -> None:
    before = await replica.record_autoscaling_stats()
    assert set(before) == {field.name for field in fields(ReplicaLoad)}
    assert (before["waiting_tokens"], before["running_tokens"]) == (0, 0)
    working = asyncio.create_task(replica.translate(call(*["The red house. " * 50] * 20)))
    engine = _translator(replica).engine
    await until(lambda: engine.stats().waiting > 0 and engine.stats().running > 0)
    during = await replica.record_autoscaling_stats()
    assert during["waiting_tokens"] > 0
    assert during["running_tokens"] > 0
    # What /metrics says, when it asks for it.
    gauges = replica.snapshot()
    for name in ("waiting_source_tokens", "capacity_source_tokens_per_second"):
        assert f"polyhead_{name}" in gauges
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_is_unhealthy_once_its_engine_has_stopped(
    tiny_model: Path, replica: TranslatorReplica, call: Call
) -> None:
    await replica.check_health()
    _translator(replica).engine.close()
    with pytest.raises(EngineDeadError, match="engine of tiny has stopped"):
        await replica.check_health()
    with pytest.raises(EngineDeadError):
        await replica.info(_hosted(tiny_model))  # what GET /ready asks for
    with pytest.raises(EngineDeadError):
        await replica.translate(call("The red house."))


def test_says_once_what_an_operator_should_know_of_its_engine(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def build_native_runners(*_: object, **__: object) -> None:
        raise BackendUnavailableError("there is no compiler")

    module = SimpleNamespace(build_native_runners=build_native_runners)
    monkeypatch.setitem(sys.modules, "model.engine.native.runner", module)
    config = EngineConfig(device="cpu", max_slots=16, num_threads=1)
    TranslatorReplica((_hosted(tiny_model),), config, log_level=LogLevel.INFO).close()
    flush_log()
    [line] = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert line["level"] == "warning"
    assert "plain PyTorch, which is slower: there is no compiler" in line["message"]


def test_a_failed_start_leaves_nothing_to_close(tmp_path: Path) -> None:
    replica = TranslatorReplica.__new__(TranslatorReplica)
    with pytest.raises(Exception, match="must be a directory"):
        replica.__init__((_hosted(tmp_path / "missing"),), EngineConfig())  # type: ignore[misc]
    replica.__del__()


async def test_a_hot_model_leaves_places_and_turns_to_those_it_shares_with(
    tiny_model: Path, call: Call
) -> None:
    engine = replace(_ENGINE, backend="native", max_slots=4)
    replica = TranslatorReplica((), engine, memory_budget=2**30, max_model_calls=4)
    cold = replace(call("A cold street."), model=_hosted(tiny_model, "cold"))
    hot = replace(
        call(*["The red house is old and the bread is cold."] * 200),
        model=_hosted(tiny_model, "hot"),
    )
    try:
        for each in (hot, cold):
            await replica.translate(replace(each, texts=each.texts[:1]))
        working = [asyncio.create_task(replica.translate(hot)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="at most 4 calls for hot may be in work here"):
            await replica.translate(hot)
        for _ in range(5):
            assert (await replica.translate(cold)).model == "cold"
        # It waited for none of the 800 texts that came before.
        assert not all(each.done() for each in working)
        for reply in await asyncio.gather(*working):
            assert len(reply.translations) == 200
        assert replica._num_model_calls == {}
    finally:
        replica.close()


async def test_what_has_left_the_catalog_leaves_no_metrics(tiny_model: Path, call: Call) -> None:
    replica = TranslatorReplica((), _ENGINE, memory_budget=2**30)
    try:
        for name in ("stays", "goes"):
            await replica.translate(replace(call("Bread."), model=_hosted(tiny_model, name)))
        labels = {"stays", "goes"}
        assert _model_names(replica) == labels
        await replica.retain(frozenset({"stays@1"}))
        await until(lambda: not replica._pool._tasks)
        assert [each.id for each in await replica.loaded()] == ["stays"]
        assert _model_names(replica) == {"stays"}
        assert _model_names(replica) == {"stays"}
    finally:
        replica.close()


def _model_names(replica: TranslatorReplica) -> set[str]:
    return {
        dict(labels)["model_name"]
        for family in replica.snapshot().values()
        for _, labels in family.samples
        if "model_name" in dict(labels)
    }


async def test_batch_calls_leave_places_to_others(tiny_model: Path, call: Call) -> None:
    replica = TranslatorReplica((_hosted(tiny_model),), _ENGINE, max_batch_calls=1)
    try:
        batch = replace(call("The red house."), priority=Priority.BATCH)
        first = asyncio.create_task(replica.translate(batch))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="at most 1 batch calls may be in work"):
            await replica.translate(batch)
        assert (await replica.translate(call("The red house."))).translations
        assert (await first).translations
        assert (await replica.translate(batch)).translations
    finally:
        replica.close()


async def test_a_stream_tells_parts_and_then_the_plain_reply(
    replica: TranslatorReplica, call: Call
) -> None:
    asked = call("The red house. Two old trains.", "A river.")
    plain = await replica.translate(asked)
    events = [event async for event in replica.stream(asked)]
    reply = events.pop()
    assert isinstance(reply, TranslateReply)
    assert [each.text for each in reply.translations] == [each.text for each in plain.translations]
    deltas = [delta for event in events if isinstance(event, tuple) for delta in event]
    for index, translation in enumerate(plain.translations):
        parts = [delta.text for delta in deltas if delta.number == index]
        assert "".join(parts) == translation.text


async def test_who_leaves_a_stream_frees_the_slots(replica: TranslatorReplica, call: Call) -> None:
    stream = replica.stream(call("The red house. " * 50))
    await anext(stream)
    await stream.aclose()
    engine = _translator(replica).engine
    assert (engine.stats().waiting, engine.stats().running) == (0, 0)
    assert not replica._num_model_calls


async def test_what_is_kept_of_segments_is_counted(tiny_model: Path, call: Call) -> None:
    replica = TranslatorReplica((_hosted(tiny_model),), _ENGINE, cache_bytes=1 << 20)
    try:
        first = await replica.translate(call("The red house."))
        second = await replica.translate(call("The red house."))
        third = await replica.translate(replace(call("The red house."), use_cache=False))
        assert len({each.translations[0].text for each in (first, second, third)}) == 1
        snapshot = replica.snapshot()
    finally:
        replica.close()
    counted = {
        name: sum(snapshot[name].samples.values())
        for name in ("polyhead_segment_cache_hits", "polyhead_segment_cache_misses")
    }
    assert counted == {"polyhead_segment_cache_hits": 1, "polyhead_segment_cache_misses": 1}
