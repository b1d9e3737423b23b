"""The command: what it measures, how it judges, and how it ends."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from loadtests.misbehaviour.__main__ import limits_stated, main, shortcomings
from loadtests.misbehaviour.attack import Plan
from loadtests.misbehaviour.profiles import PROFILES, Limits
from tests.unit.loadtests.misbehaviour.server import Server, served

_QUICK = ["--alone", "1", "--seconds", "0.2", "--rate", "40", "--noise-ms", "60000"]


def _findings(p95_beside: float | None = 190.0, failed: int = 0, **outcomes: int) -> dict[str, Any]:
    well = {"failed": 0, "p95_ms": 100.0}
    return {
        "misbehaving": {name: {"connections": number} for name, number in outcomes.items()},
        "alone": well,
        "beside": {"failed": failed, "p95_ms": p95_beside},
        "after": well,
    }


def _judged(name: str = "idle", **findings: Any) -> list[str]:
    return shortcomings(_findings(**findings), PROFILES[name], Plan(noise_ms=50.0))


def test_a_deployment_that_bears_it_has_no_shortcomings() -> None:
    assert _judged(closed=5_000) == []
    assert _judged("malformed", **{"400": 9, "431": 1, "501": 1, "closed": 2}) == []


def test_a_request_that_fails_is_a_shortcoming() -> None:
    assert _judged(failed=2) == ["no request may fail, but 2 did beside"]


def test_a_p95_more_than_doubled_is_a_shortcoming() -> None:
    assert _judged(p95_beside=201.0) == ["p95 beside must be at most 200 ms, but is 201"]
    assert _judged(p95_beside=None) == ["p95 beside must be at most 200 ms, but is -"]


def test_noise_is_none() -> None:
    found = _findings(60.0) | {
        "alone": {"failed": 0, "p95_ms": 12.0},
        "after": {"failed": 0, "p95_ms": 12.0},
    }
    assert shortcomings(found, PROFILES["idle"], Plan(noise_ms=50.0)) == []


def test_nobody_is_judged_who_was_not_well_before() -> None:
    found = _findings() | {"alone": {"failed": 1, "p95_ms": 12.0}}
    assert shortcomings(found, PROFILES["idle"], Plan()) == [
        "all requests must be answered before anyone misbehaves"
    ]


@pytest.mark.parametrize("outcome", ["open", "101", "500", "502", "unbounded"])
def test_an_end_that_no_connection_may_have(outcome: str) -> None:
    assert _judged(**{outcome: 3}) == [f"no connection may end as {outcome}, but 3 did"]


def test_nothing_is_shown_by_those_who_find_no_connection() -> None:
    assert _judged(**{"no connection": 9}) == [
        "some of those that misbehave must find a connection, but none did"
    ]
    assert _judged(**{"no connection": 9, "closed": 1}) == []


@pytest.mark.parametrize("outcome", ["200", "503"])
def test_what_is_no_request_gets_nothing_but_a_refusal(outcome: str) -> None:
    assert _judged("methods", **{outcome: 1}) == [f"no connection may end as {outcome}, but 1 did"]
    assert _judged("largest", **{outcome: 1}) == []


def test_a_server_that_bears_it(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Server(patience=3.0)) as server:
        assert main(["methods", "churn", "--url", server.url + "/", *_QUICK]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    assert [row.split()[1] for row in table[2:]] == ["methods", "churn"]
    figures = json.loads(line)
    assert figures["bench"] == "misbehaviour"
    for one in figures["profiles"]:
        assert one["shortcomings"] == []
        assert one["alone"]["right"] > 0 < one["beside"]["right"]
        assert one["ratio"] == pytest.approx(
            one["beside"]["p95_ms"] / one["alone"]["p95_ms"], rel=0.01
        )


def test_a_server_whose_places_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Server(patience=None, places=100)) as server:
        run = ["keep-alive", "--json", "--hold", "2", "--url", server.url, *_QUICK]
        assert main(run) == 1
    output = capsys.readouterr()
    [one] = json.loads(output.out)["profiles"]
    assert one["beside"]["failed"] > 0
    assert one["misbehaving"]["open"]["connections"] > 50
    assert "keep-alive: no request may fail" in output.err


def test_a_profile_that_cannot_be_run_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 1_024))
    with served(Server(patience=3.0)) as server:
        assert main(["idle", "methods", "--json", "--url", server.url, *_QUICK]) == 1
    output = capsys.readouterr()
    assert "idle: 5200 open files must be allowed, but the hard limit is 1024" in output.err
    assert [one["profile"] for one in json.loads(output.out)["profiles"]] == ["methods"]


def test_no_service_there(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Server()) as server:
        pass
    assert main(["--url", server.url]) == 1
    assert "no service answers at" in capsys.readouterr().err


def test_limits_that_the_deployment_states() -> None:
    fields = {
        "beam_size": {"anyOf": [{"type": "integer", "maximum": 4.0}, {"type": "null"}]},
        "max_new_tokens": {"type": "integer", "maximum": 256},
        "length_penalty": {"type": "number", "maximum": 10.0},
        "num_hypotheses": {"anyOf": [{"type": "integer"}]},
    }
    with served(Server(limits=fields)) as server:
        found = limits_stated(server.url, Limits(text_chars=9))
    assert found == Limits(text_chars=9, beam_size=4, max_new_tokens=256)
    with served(Server()) as server:
        assert limits_stated(server.url, Limits(beam_size=3)) == Limits(beam_size=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "a profile must be one of idle, .* but is none"),
        (["--url", "https://127.0.0.1"], "--url must be http://HOST"),
        (["--url", "127.0.0.1:8000"], "--url must be http://HOST"),
        (["--rate", "0"], "--rate must be a number > 0, but is 0.0"),
        (["--hold", "inf"], "--hold must be a number > 0, but is inf"),
        (["--text-chars", "-1"], "--text-chars must be a number > 0, but is -1"),
    ],
)
def test_options_that_are_no_good(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert re.search(message, capsys.readouterr().err)
