"""What is counted, under which names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, Histogram

from model.engine.engine import EngineStats, StepStats
from model.translation import FinishReason, Translation, TranslationHypothesis
from service.observability.metrics import (
    LATENCY_BUCKETS,
    STEP_BUCKETS,
    GatewayMetrics,
    ModelMetrics,
    TranslatorMetrics,
)
from service.observability.snapshot import Family, take_snapshot
from service.protocol import LoadedModel
from service.settings import Limits

_STEP = StepStats(
    steps=1, rows=8, running=4, newcomers=1, encoded_tokens=7,
    encode_seconds=0.003, decode_seconds=0.001,
)  # fmt: skip
_TRANSLATION = Translation(
    text="Hallo.",
    finish_reason=FinishReason.STOP,
    score=-0.5,
    hypotheses=(TranslationHypothesis(text="Hallo.", score=-0.5),),
    source_tokens=3,
    target_tokens=4,
    num_sentences=1,
    queue_seconds=0.02,
    encode_seconds=0.003,
    decode_seconds=0.2,
    time_to_first_token_seconds=0.03,
)
_BLANK = replace(
    _TRANSLATION, text=" ", source_tokens=0, target_tokens=0, num_sentences=0, score=None,
    queue_seconds=0.0, encode_seconds=0.0, decode_seconds=0.0, time_to_first_token_seconds=None,
)  # fmt: skip


def _sample(snapshot: dict[str, Family], name: str, **labels: str) -> float:
    [value] = [
        value
        for family in snapshot.values()
        for (sample, found), value in family.samples.items()
        if sample == name and labels.items() <= dict(found).items()
    ]
    return value


def test_requests_are_counted_by_route_status_and_pair() -> None:
    metrics = GatewayMetrics()
    for status, source, target in ((200, "en", "de"), (200, "en", "de"), (422, "", "")):
        metrics.observe_request("/v1/translate", status, 0.3, source=source, target=target)
    in_flight = {"/v1/translate": 0, "/health": 1}
    metrics.read_in_flight(lambda: in_flight)
    metrics.count_retry("lost")
    snapshot = take_snapshot(metrics.registry)
    name = "polyhead_http_requests_total"
    assert _sample(snapshot, name, route="/v1/translate", status="200", target="de") == 2
    assert _sample(snapshot, name, route="/v1/translate", status="422", target="") == 1
    name = "polyhead_http_request_duration_seconds"
    assert _sample(snapshot, f"{name}_count", route="/v1/translate") == 3
    assert _sample(snapshot, f"{name}_sum") == pytest.approx(0.9)
    assert _sample(snapshot, "polyhead_e2e_request_latency_seconds_count", source="en") == 2
    name = "polyhead_http_requests_in_flight"
    assert _sample(snapshot, name, route="/v1/translate") == 0
    assert _sample(snapshot, name, route="/health") == 1
    assert _sample(snapshot, "polyhead_request_retries_total", reason="lost") == 1


def test_pairs_beyond_the_limit_are_counted_together() -> None:
    metrics = GatewayMetrics(max_pairs=2)
    for target in ("a", "b", "c", "d", "a", ""):
        metrics.observe_request("/t", 200, 0.1, source=target and "en", target=target)
    snapshot = take_snapshot(metrics.registry)
    name = "polyhead_http_requests_total"
    counts = [_sample(snapshot, name, target=target) for target in ("a", "b", "other", "")]
    assert counts == [2, 1, 2, 1]
    name = "polyhead_e2e_request_latency_seconds_count"
    assert _sample(snapshot, name, source="other", target="other") == 2


def test_a_failed_translation_has_no_end_to_end_latency() -> None:
    metrics = GatewayMetrics()
    metrics.observe_request("/translate", 503, 60.0, source="en", target="de")
    assert not take_snapshot(metrics.registry)["polyhead_e2e_request_latency_seconds"].samples


def test_texts_are_counted_with_their_times() -> None:
    metrics = ModelMetrics("en-de")
    metrics.observe_translations(
        [_TRANSLATION, replace(_TRANSLATION, finish_reason=FinishReason.LENGTH)]
    )
    snapshot = take_snapshot(metrics.registry)
    assert _sample(snapshot, "polyhead_prompt_tokens_total", model_name="en-de") == 6
    assert _sample(snapshot, "polyhead_generation_tokens_total") == 8
    assert _sample(snapshot, "polyhead_sentences_total") == 2
    name = "polyhead_request_success_total"
    assert _sample(snapshot, name, finished_reason="stop") == 1
    assert _sample(snapshot, name, finished_reason="length") == 1
    for name, seconds in (
        ("request_queue_time", 0.02), ("request_prefill_time", 0.003),
        ("request_decode_time", 0.2), ("time_to_first_token", 0.03),
    ):  # fmt: skip
        assert _sample(snapshot, f"polyhead_{name}_seconds_sum") == pytest.approx(2 * seconds)


def test_a_blank_text_took_no_time() -> None:
    metrics = ModelMetrics("en-de")
    metrics.observe_translations([_BLANK])
    snapshot = take_snapshot(metrics.registry)
    assert _sample(snapshot, "polyhead_request_success_total", finished_reason="stop") == 1
    assert _sample(snapshot, "polyhead_time_to_first_token_seconds_count") == 0
    assert _sample(snapshot, "polyhead_request_queue_time_seconds_count") == 0


def test_steps_are_weighted_by_the_sentences_in_them() -> None:
    metrics = ModelMetrics("en-de")
    later = replace(_STEP, newcomers=0, encoded_tokens=0, encode_seconds=0.0, decode_seconds=0.002)
    metrics.observe_steps([_STEP, later])
    snapshot = take_snapshot(metrics.registry)
    # Three old sentences in the first step and four in the second: a first token has no gap before.
    assert _sample(snapshot, "polyhead_inter_token_latency_seconds_count") == 7
    assert _sample(snapshot, "polyhead_inter_token_latency_seconds_sum") == pytest.approx(0.020)
    assert _sample(snapshot, "polyhead_batch_rows_count") == 2
    assert _sample(snapshot, "polyhead_batch_rows_sum") == 16
    assert _sample(snapshot, "polyhead_iteration_tokens_total_sum") == 7 + 4 + 4


def test_steps_of_one_call_are_counted_one_by_one() -> None:
    metrics = ModelMetrics("en-de")
    metrics.observe_steps([replace(_STEP, steps=5, rows=40, decode_seconds=0.005)])
    snapshot = take_snapshot(metrics.registry)
    # Three old sentences wait for the encoder too; then all four have four gaps of 1 ms each.
    name = "polyhead_inter_token_latency_seconds"
    assert _sample(snapshot, f"{name}_count") == 3 + 16
    assert _sample(snapshot, f"{name}_sum") == pytest.approx(3 * 0.004 + 16 * 0.001)
    assert _sample(snapshot, "polyhead_batch_rows_count") == 5
    assert _sample(snapshot, "polyhead_batch_rows_sum") == 40
    assert _sample(snapshot, "polyhead_iteration_tokens_total_count") == 5
    assert _sample(snapshot, "polyhead_iteration_tokens_total_sum") == 7 + 5 * 4


def test_the_engines_state_is_the_last_one() -> None:
    metrics = ModelMetrics("en-de")
    before = EngineStats(
        running=9, waiting=9, slots_used=9, max_slots=128, waiting_source_tokens=90,
        running_source_tokens=90, submitted_source_tokens=180, admitted_source_tokens=90,
        waiting_since=1.0,
    )  # fmt: skip
    metrics.set_engine(before)
    metrics.set_engine(
        replace(
            before, running=4, waiting=2, slots_used=32,
            waiting_source_tokens=20, running_source_tokens=40,
        )
    )  # fmt: skip
    snapshot = take_snapshot(metrics.registry)
    assert _sample(snapshot, "polyhead_num_requests_running") == 4
    assert _sample(snapshot, "polyhead_num_requests_waiting") == 2
    assert _sample(snapshot, "polyhead_slots_in_use") == 32
    assert _sample(snapshot, "polyhead_kv_cache_usage_perc") == 0.25


def test_weighted_histogram_is_the_librarys_told_one_by_one() -> None:
    metrics = ModelMetrics("en-de")
    registry = CollectorRegistry()
    plain = Histogram(
        "polyhead_inter_token_latency_seconds", "Time between two target tokens of a sentence.",
        ("model_name",), buckets=STEP_BUCKETS, registry=registry,
    ).labels("en-de")  # fmt: skip
    for seconds, count in ((0.0, 1), (0.001, 2), (0.0011, 3), (0.07, 5), (60.0, 2), (61.5, 4)):
        step = replace(_STEP, running=count + 1, encode_seconds=0.0, decode_seconds=seconds)
        metrics.observe_steps([step])
        for _ in range(count):
            plain.observe(seconds)
    name = "polyhead_inter_token_latency_seconds"
    ours = _ordered(take_snapshot(metrics.registry)[name])
    theirs = _ordered(take_snapshot(registry)[name])
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs)


def _ordered(family: Family) -> dict[str, float]:
    return {
        f"{sample}{sorted(labels)}": value for (sample, labels), value in family.samples.items()
    }


def test_buckets_reach_from_a_millisecond_to_the_longest_request() -> None:
    assert LATENCY_BUCKETS[0] == 0.001
    assert LATENCY_BUCKETS[-1] == Limits().request_timeout_seconds
    for buckets in (LATENCY_BUCKETS, STEP_BUCKETS):
        assert sorted(set(buckets)) == list(buckets)


def test_what_has_not_changed_is_not_collected_anew() -> None:
    metrics = TranslatorMetrics()
    model, other = metrics.of("a"), metrics.of("b")
    before, idle = model.snapshot(), other.snapshot()
    assert model.snapshot() is before
    changes: list[Callable[[], None]] = [
        lambda: model.observe_translations([_TRANSLATION]),
        lambda: model.observe_steps([_STEP]),
        model.evictions.inc,
        lambda: metrics.observe_load("a", 0.1),
        lambda: metrics.set_loaded(
            [LoadedModel(key="a@1", id="a", bytes=7, pinned=False, calls=0)]
        ),
    ]
    for change in changes:
        change()
        assert model.snapshot() is not before
        before = model.snapshot()
    assert other.snapshot() is idle
    snapshot = metrics.snapshot()
    assert _sample(snapshot, "polyhead_model_memory_bytes", model_name="a") == 7
    assert _sample(snapshot, "polyhead_models_loaded", model_name="b") == 0
    assert _sample(snapshot, "polyhead_model_load_seconds_count") == 1


def test_a_gateway_forgets_what_it_counted_for_models_that_have_gone() -> None:
    metrics = GatewayMetrics(max_models=2)
    metrics.set_models({"a": True, "b": False})
    for name in ("a", "b", "c"):
        metrics.count_overload({name: 1.0})
    metrics.count_overload({})

    def counted() -> dict[tuple[str, str], float]:
        family = take_snapshot(metrics.registry)["polyhead_http_requests_overloaded"]
        return {
            (dict(labels)["model_name"], dict(labels)["placement"]): value
            for (_, labels), value in family.samples.items()
        }

    others = {("other", ""): 1.0, ("", ""): 1.0}
    assert counted() == {("a", "shared"): 1, ("b", "dedicated"): 1, **others}
    metrics.set_models({"a": True, "d": False})
    metrics.count_overload({"d": 1.0})
    assert counted() == {("a", "shared"): 1, ("d", "dedicated"): 1, **others}
