"""OpenTelemetry traces, from a gateway's request to the phases of the engine.

Ray Serve makes the spans of requests and of calls between deployments; this module adds the spans
inside a replica and exports all of them by OTLP over HTTP, as the standard variables configure:
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and so on. No span holds
a user's text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry import trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from model.translation import Translation

__all__ = ["is_traced", "serve_variables", "span_processors", "trace_phases"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TRACER = trace.get_tracer("polyhead")


def serve_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment variables of Ray's processes; none unless an endpoint is configured."""
    if not any(environment.get(name) for name in _ENDPOINTS):
        return {}
    return {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": "service.observability.tracing:span_processors",
        "RAY_SERVE_TRACING_SAMPLING_RATIO": environment.get("OTEL_TRACES_SAMPLER_ARG", "1"),
    }


def span_processors() -> list[SpanProcessor]:
    """The span processors of this process; Serve calls this in every process of its own.

    Raises:
        ImportError: the extra "otel" is not installed.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return [BatchSpanProcessor(OTLPSpanExporter())]


def is_traced() -> bool:
    """Whether what happens here is part of a trace."""
    return trace.get_current_span().is_recording()


def trace_phases(texts: Sequence[Translation]) -> None:
    """Makes spans for the texts of a call that has just ended, below the call's own span.

    Sentences are decoded in parallel: the phases of a text are those of its slowest sentence, end
    to end until now.
    """
    if not is_traced():
        return
    end = time.time_ns()
    for text in texts:
        durations = {
            "queue": text.queue_seconds,
            "encode": text.encode_seconds,
            "decode": text.decode_seconds,
        }
        at = end - sum(_nanoseconds(seconds) for seconds in durations.values())
        with _TRACER.start_as_current_span(
            "polyhead.text",
            start_time=at,
            end_on_exit=False,
            attributes={
                "polyhead.source_tokens": text.source_tokens,
                "polyhead.target_tokens": text.target_tokens,
            },
        ) as span:
            for name, seconds in durations.items():
                phase = _TRACER.start_span(f"polyhead.{name}", start_time=at)
                at += _nanoseconds(seconds)
                phase.end(end_time=at)
            span.end(end_time=end)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
