"""One /metrics for the whole service, whoever answers and whoever dies."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.service_process import Samples, ServiceProcess, replicas, total, wait_for

_CUMULATIVE = ("_total", "_count", "_sum", "_bucket")


def _cumulative(samples: Samples) -> Samples:
    return {
        key: value
        for key, value in samples.items()
        # The name of a counter, or of a part of a histogram; a gauge has a replica.
        if key[0].endswith(_CUMULATIVE) and "replica" not in dict(key[1])
    }


def _scraped(samples: Samples) -> set[str]:
    """The gateways that have ever been asked for their metrics: only they have this series."""
    return {
        dict(labels)["replica"]
        for name, labels in samples
        if name == "polyhead_http_requests_in_flight" and dict(labels)["route"] == "/metrics"
    }


def test_every_gateway_shows_all_replicas(whole_service: ServiceProcess) -> None:
    service = whole_service

    def both_have_answered() -> bool:
        samples = service.samples()
        assert len(replicas(samples, "translator")) == 2
        assert len(replicas(samples, "gateway")) == 2
        return _scraped(samples) == replicas(samples, "gateway")

    wait_for(both_have_answered)


def test_counts_what_happened(whole_service: ServiceProcess) -> None:
    service = whole_service
    before = service.samples()
    for _ in range(6):
        assert service.translate("The red house. A quiet street.", "Old bread!").status_code == 200

    def grown(name: str, **labels: str) -> float:
        return total(service.samples(), name, **labels) - total(before, name, **labels)

    # What a translator counted is in its next push.
    wait_for(lambda: grown("polyhead_sentences_total") == 18)
    ok = {"route": "/v1/translate", "status": "200", "source": "en", "target": "de"}
    assert grown("polyhead_http_requests_total", **ok) == 6
    assert grown("polyhead_e2e_request_latency_seconds_count", source="en", target="de") == 6
    for histogram in (
        "request_queue_time_seconds", "time_to_first_token_seconds", "request_prefill_time_seconds",
        "request_decode_time_seconds",
    ):  # fmt: skip
        assert grown(f"polyhead_{histogram}_count") == 12
    tokens = grown("polyhead_generation_tokens_total")
    assert tokens >= 18
    # Each sentence but for its first token.
    assert grown("polyhead_inter_token_latency_seconds_count") == tokens - 18
    # The tiny model's beam is two wide; in a first step both are alike, and one row is enough.
    assert grown("polyhead_batch_rows_sum") == 2 * tokens - 18
    assert grown("polyhead_prompt_tokens_total") > 18


@pytest.mark.parametrize("title", ["Translator", "MetricsHub", "Gateway"])
def test_sums_never_fall(whole_service: ServiceProcess, title: str) -> None:
    service = whole_service
    known: Samples = {}
    scrapes = 0

    def scrape() -> Samples | None:
        nonlocal scrapes
        try:
            samples = service.samples()
        except httpx.HTTPError:
            return None  # a gateway that dies takes its connections with it
        sums = _cumulative(samples)
        fallen = {
            key: (value, sums.get(key))
            for key, value in known.items()
            # Sums of seconds may differ in the last bit, for processes are added in any order.
            if sums.get(key, 0) < value * (1 - 1e-12)
        }
        assert not fallen
        known.update(sums)
        scrapes += 1
        return samples

    for _ in range(8):
        assert service.translate("The red house.").status_code == 200
    # Until what the translators counted has been pushed, so that there is something to lose.
    wait_for(lambda: scrape() and total(known, "polyhead_sentences_total") >= 8)
    before = set(service.pids(title))
    service.kill_one(title)

    def is_whole_again() -> bool:
        if title != "Gateway":
            # The work of a killed translator is repeated: no request fails.
            assert service.translate("The red house.").status_code == 200
        samples = scrape()
        if samples is None:
            return False
        everybody = [*replicas(samples, "gateway"), *replicas(samples, "translator")]
        now = set(service.pids(title))
        return len(everybody) == 4 and len(now) == len(before) and now != before

    wait_for(is_whole_again)
    # Every gateway, and more than once: each has a memory of its own.
    scrapes = 0
    wait_for(lambda: scrape() and scrapes >= 8)
