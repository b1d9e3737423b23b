"""What is read of a scrape, and drawn."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from loadtests.simulation.trace import moment_of, plot_trace, record

_SCRAPE = """\
# TYPE polyhead_process_up gauge
polyhead_process_up{component="gateway",replica="g"} 1.0
polyhead_process_up{component="translator",replica="a"} 1.0
polyhead_process_up{component="translator",replica="b"} 1.0
# TYPE polyhead_autoscaling_target_replicas gauge
polyhead_autoscaling_target_replicas{deployment="Translator-en-de",replica="x"} 3.0
polyhead_autoscaling_target_replicas{deployment="Translator-en-fr",replica="y"} 1.0
# TYPE polyhead_autoscaling_needed_replicas gauge
polyhead_autoscaling_needed_replicas{deployment="Translator-en-de",replica="x"} 2.0
# TYPE polyhead_autoscaling_queue_time_seconds gauge
polyhead_autoscaling_queue_time_seconds{deployment="Translator-en-de",replica="x"} 1.5
polyhead_autoscaling_queue_time_seconds{deployment="Translator-en-fr",replica="y"} 0.5
# TYPE polyhead_autoscaling_arriving_source_tokens_per_second gauge
polyhead_autoscaling_arriving_source_tokens_per_second{deployment="Translator-en-de"} 70.0
"""
_MOMENT: dict[str, float] = {
    "seconds": 4, "replicas": 2, "target": 4, "needed": 2, "queue_seconds": 1.5, "arriving": 70,
}  # fmt: skip


def test_a_moment_is_the_sum_of_all_models_and_the_longest_queue() -> None:
    assert moment_of(_SCRAPE, 4) == _MOMENT


def test_a_service_without_autoscaling_has_replicas_only() -> None:
    moment = moment_of('polyhead_process_up{component="translator"} 1.0\n', 0)
    assert (moment["replicas"], moment["target"], moment["queue_seconds"]) == (1, 0, 0)


def test_a_scrape_that_fails_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([httpx.Response(200, text=_SCRAPE), httpx.Response(503), None])
    clock = iter([0.0, 0.0, 1.0, 1.0, 2.0, 99.0])

    def get(client: httpx.Client, path: str) -> httpx.Response:
        answer = next(answers)
        assert answer is not None
        answer.request = httpx.Request("GET", client.base_url.join(path))
        assert str(answer.request.url) == "http://service/metrics"
        return answer

    monkeypatch.setattr(httpx.Client, "get", get)
    monkeypatch.setattr("loadtests.simulation.trace.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("loadtests.simulation.trace.time.sleep", lambda seconds: None)
    assert record("http://service", 10.0) == [_MOMENT | {"seconds": 0.0}]
    assert capsys.readouterr().err.startswith("1 s: Server error '503")


def test_a_trace_is_drawn(tmp_path: Path) -> None:
    plot_trace(tmp_path / "trace.png", [_MOMENT, _MOMENT | {"seconds": 5, "replicas": 4}])
    assert (tmp_path / "trace.png").stat().st_size > 1000
