"""Traces of one request, from the proxy to the engine, as a collector gets them."""

from __future__ import annotations

from itertools import pairwise

import httpx

from tests.integration.collector import Collector
from tests.integration.service_process import ServiceProcess, wait_for

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TEXTS = ["The old train is late.", "My sister waits."]


def test_a_trace_leads_from_the_request_to_the_engine(
    whole_service: ServiceProcess, collector: Collector
) -> None:
    answer = httpx.post(
        f"{whole_service.url}/v1/translate",
        json={"texts": TEXTS, "source": "en", "target": "de"},
        headers={"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"},
        timeout=60,
        trust_env=False,
        verify=False,
    )
    assert answer.status_code == 200

    def ours() -> list:
        return [span for span in collector.spans() if span.trace_id.hex() == TRACE_ID]

    def texts() -> list:
        return [span for span in ours() if span.name == "polyhead.text"]

    # Replicas and gateways send theirs one after the other. The outermost has the client's parent.
    wait_for(lambda: any(span.parent_span_id.hex() == "b7ad6b7169203331" for span in ours()))
    wait_for(lambda: len(texts()) == len(TEXTS))
    wait_for(
        lambda: all(text.parent_span_id in {span.span_id for span in ours()} for text in texts())
    )
    spans = ours()
    for text in texts():
        phases = [span for span in spans if span.parent_span_id == text.span_id]
        assert [span.name for span in phases] == [
            "polyhead.queue",
            "polyhead.encode",
            "polyhead.decode",
        ]
        assert text.start_time_unix_nano == phases[0].start_time_unix_nano
        for phase, following in pairwise(phases):
            assert phase.end_time_unix_nano == following.start_time_unix_nano
    assert not any(text.encode() in span.SerializeToString() for span in spans for text in TEXTS)
