"""When there are traces, and of what."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.observability import tracing


@dataclass(frozen=True)
class Text:
    queue_seconds: float = 0.5
    encode_seconds: float = 0.25
    decode_seconds: float = 1.0
    source_tokens: int = 7
    target_tokens: int = 9


def test_without_an_endpoint_there_are_none() -> None:
    assert tracing.serve_variables({"OTEL_SERVICE_NAME": "x"}) == {}
    assert tracing.serve_variables({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) == {}


def test_an_endpoint_switches_them_on() -> None:
    found = tracing.serve_variables(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
    )
    path = found["RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH"]
    name = path.removeprefix("service.observability.tracing:")
    assert getattr(tracing, name) is tracing.span_processors
    assert found["RAY_SERVE_TRACING_SAMPLING_RATIO"] == "0.1"


def test_phases_follow_each_other_below_the_span_of_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    monkeypatch.setattr(tracing, "_TRACER", tracer)
    tracing.trace_phases([Text()])
    assert exporter.get_finished_spans() == ()  # nobody traces this call
    with tracer.start_as_current_span("call"):
        tracing.trace_phases([Text(), Text(queue_seconds=0.0)])
    queue, encode, decode, text, *_, call = exporter.get_finished_spans()
    assert text.parent.span_id == call.context.span_id
    assert text.attributes == {"polyhead.source_tokens": 7, "polyhead.target_tokens": 9}
    at = text.start_time
    for phase, seconds in ((queue, 0.5), (encode, 0.25), (decode, 1.0)):
        assert phase.parent.span_id == text.context.span_id
        assert phase.start_time == at
        at = phase.end_time
        assert phase.end_time - phase.start_time == int(seconds * 1e9)
    assert at == text.end_time
    assert len(exporter.get_finished_spans()) == 9
