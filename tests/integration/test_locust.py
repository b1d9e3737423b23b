"""The load test itself, as people start it: against the real service, and against a broken one."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service_process import ServiceProcess
from tests.integration.stand_in import Answer, nothing, right, short, stand_in

ROOT = Path(__file__).parents[2]
KINDS = {
    "/v1/translate (sentence)",
    "/v1/translate (document)",
    "/v1/translate (list)",
    "/translate (text)",
    "/translate (list)",
}

# Of locust's last table and error report: kind and number of requests; the fault.
_REQUESTS = re.compile(r"^POST +(\S+ \(\w+\)) +(\d+) +\d+\(", re.MULTILINE)
_FAULT = re.compile(r"^\d+ +POST \S+ \(\w+\): (.*?) *$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run of locust left behind."""

    exit_status: int
    stderr: str
    requests: dict[str, int]
    """By kind of request."""
    faults: set[str]


def _locust(url: str, *options: str, users: int, seconds: int) -> Run:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless"),
            *("--users", str(users), "--spawn-rate", str(max(users, 1))),
            *("--run-time", f"{seconds}s", "--stop-timeout", "30", "--host", url),
            *options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 90,
        check=False,
    )
    return Run(
        exit_status=ran.returncode,
        stderr=ran.stderr,
        requests={kind: int(count) for kind, count in _REQUESTS.findall(ran.stderr)},
        faults=set(_FAULT.findall(ran.stderr)),
    )


def test_twenty_seconds_without_a_failure(whole_service: ServiceProcess) -> None:
    run = _locust(whole_service.url, users=4, seconds=20)
    assert (run.exit_status, run.faults) == (0, set()), run.stderr
    assert set(run.requests) == KINDS


def test_right_answers_pass() -> None:
    with stand_in(right) as url:
        run = _locust(url, "--think-seconds", "0.02", users=4, seconds=6)
    assert (run.exit_status, run.faults) == (0, set()), run.stderr
    assert set(run.requests) == KINDS


@pytest.mark.parametrize(
    ("answer", "server", "fault"),
    [
        (short, {}, "`translations` must be a list with one entry for each text"),
        (nothing, {}, "the answer must be a JSON object"),
        (right, {"echo_id": False}, "`X-Request-Id` must be echoed"),
        (right, {"status": 500}, "the status must be 200, but is 500"),
        (
            right,
            {"status": 503, "retry_after": "1"},
            "the status must be 200, but is 503, with Retry-After",
        ),
    ],
)
def test_a_wrong_answer_is_a_failure(answer: Answer, server: dict[str, Any], fault: str) -> None:
    with stand_in(answer, **server) as url:
        run = _locust(url, "--think-seconds", "0.1", users=2, seconds=1)
    assert (run.exit_status, run.faults) == (1, {fault}), run.stderr


def test_nobody_there_is_a_failure() -> None:
    with stand_in(right) as url:
        pass
    run = _locust(url, "--think-seconds", "0.1", users=1, seconds=1)
    assert (run.exit_status, run.faults) == (1, {"no answer: ConnectionRefusedError"}), run.stderr


def test_no_request_at_all_is_a_failure() -> None:
    with stand_in(right) as url:
        run = _locust(url, users=0, seconds=1)
    assert (run.exit_status, run.requests) == (1, {}), run.stderr
