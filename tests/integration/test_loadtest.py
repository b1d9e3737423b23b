"""`polyhead loadtest` as people start it: against the service, and against stand-ins for it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.integration.service_process import ServiceProcess, processes, start_polyhead, wait_for
from tests.integration.stand_in import Answer, nothing, right, short, stand_in

KINDS = {
    "/v1/translate (sentence)",
    "/v1/translate (document)",
    "/v1/translate (list)",
    "/translate (text)",
    "/translate (list)",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a load test left behind."""

    exit_status: int
    stdout: str
    stderr: str

    @property
    def values(self) -> Any:
        """The line of JSON."""
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def last_line(self) -> str:
        """The last line on stderr."""
        return self.stderr.splitlines()[-1]


def _loadtest(folder: Path, *arguments: str) -> Run:
    process = _start(folder, *arguments)
    stdout, stderr = _all_it_says(process, seconds=120)
    return Run(exit_status=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return start_polyhead("loadtest", *arguments, output=pipe, errors=pipe, folder=folder)


def _all_it_says(process: subprocess.Popen[bytes], *, seconds: float) -> tuple[bytes, bytes]:
    """The lines of stdout and stderr until the process ends, or is killed for lateness."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate(timeout=30)


def test_a_service_that_bears_its_load_passes(
    whole_service: ServiceProcess, tmp_path: Path
) -> None:
    run = _loadtest(
        tmp_path, "constant", "--url", whole_service.url, "--rate", "25", "--seconds", "4",
        "--max-failures", "0", "--report", "new/page.html", "--results", "results.jsonl",
        "--pid", str(whole_service.process.pid),
    )  # fmt: skip
    assert run.exit_status == 0, run.stderr
    values = run.values
    assert (values["ending"], values["model"]) == ("complete", "tiny-en-de")
    assert values["right"] == values["requests"] > 50
    assert set(values["kinds"]) == KINDS
    assert "<svg" in (tmp_path / "new/page.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "results.jsonl").read_text(encoding="utf-8")) == values
    assert "\n/v1/translate (document) " in run.stdout, "the table comes before"
    assert {"polyhead serve", "gateway", "model replica"} <= set(values["memory"]["by_process"])


def test_load_does_not_wait_for_answers(tmp_path: Path) -> None:
    arrived: list[str] = []
    enough = threading.Event()

    def late(path: str, body: dict[str, Any]) -> object:
        arrived.append(path)
        # The first is the question whether anybody is there at all.
        if len(arrived) > 12:
            enough.set()
        assert len(arrived) == 1 or enough.wait(60)
        return right(path, body)

    with stand_in(late, echo_id=False) as url:
        run = _loadtest(
            tmp_path, "constant", "--url", url, "--rate", "30", "--seconds", "2", "--json",
            "--mix", "sentences", "--foreign",
        )  # fmt: skip
    assert run.exit_status == 0, run.stderr
    assert run.values["right"] == run.values["requests"] > 12


def test_what_could_not_be_sent_fails_the_test(tmp_path: Path) -> None:
    with stand_in(right) as url:
        run = _loadtest(
            tmp_path, "constant", "--url", url, "--rate", "300", "--seconds", "1", "--json",
            "--in-flight", "1", "--max-wait", "0", "--max-failures", "0",
        )  # fmt: skip
    assert run.exit_status == 1
    values = run.values
    assert values["not_sent"] > 0
    assert values["right"] + values["not_sent"] == values["requests"]
    assert run.last_line.startswith(
        "polyhead: not passed: `failure_share` must be at most 0, but is 0."
    )


def test_an_overload_finds_the_peak_and_tells_refusals_from_failures(tmp_path: Path) -> None:
    asked = count()

    def refuses() -> bool:
        number = next(asked)
        return number >= len(KINDS) and number % 2 == 0

    with stand_in(right, refuses=refuses, retry_after="1") as url:
        run = _loadtest(
            tmp_path, "overload", "--url", url, "--rate", "32", "--seconds", "1", "--json",
            "--deadline", "30", "--max-late", "0", "--max-failures", "0",
            "--max-without-retry-after", "0", "--max-recovery-seconds", "5",
            "--report", "page.html",
        )  # fmt: skip
    assert run.last_line == (
        "polyhead: not passed: `overload.recovery_seconds` must be at most 5, but was not seen"
    )
    assert run.exit_status == 1
    values = run.values["overload"]
    assert list(values["refusals_by_status"]) == ["503"]
    assert run.values["right"] + values["refused"] == run.values["requests"]
    names = [phase["name"] for phase in values["phases"] if phase["name"] != "search"]
    assert names == ["before", "overload", "peak", "overload", "after"]
    rates = {phase["name"]: phase["rate"] for phase in values["phases"]}
    trials = [phase for phase in values["phases"] if phase["name"] == "search"]
    best = [phase["goodput"] for phase in trials if phase["rate"] == rates["peak"]]
    assert any(rates["overload"] == pytest.approx(max(3 * one, 32), rel=0.01) for one in best)
    assert values["goodput"] / values["peak_goodput"] == pytest.approx(
        values["goodput_share"], rel=0.01
    )
    assert "refusals by status" in (tmp_path / "page.html").read_text()


def test_ctrl_c_ends_an_overload_with_a_report(tmp_path: Path) -> None:
    seen = count()
    enough = threading.Event()

    def counted(path: str, body: dict[str, Any]) -> object:
        if next(seen) > 100:
            enough.set()
        return right(path, body)

    with stand_in(counted) as url:
        process = _start(tmp_path, "overload", "--url", url, "--rate", "40", "--json")
        try:
            assert enough.wait(60)
            process.send_signal(signal.SIGINT)
        finally:
            stdout, stderr = _all_it_says(process, seconds=30)
    run = Run(exit_status=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())
    assert run.exit_status == 130, run.stderr
    assert run.values["ending"] == "interrupted"
    assert run.values["right"] > 0
    assert run.values["overload"]["goodput"] is None


def test_ctrl_c_ends_it_with_a_report(tmp_path: Path) -> None:
    seen: list[str] = []

    def counted(path: str, body: dict[str, Any]) -> object:
        seen.append(path)
        return right(path, body)

    with stand_in(counted) as url:
        process = _start(tmp_path, "soak", "--url", url, "--rate", "40", "--report", "page.html")
        try:
            wait_for(lambda: len(seen) > 100 or process.poll() is not None)
            process.send_signal(signal.SIGINT)
        finally:
            stdout, stderr = _all_it_says(process, seconds=30)
    run = Run(exit_status=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())
    assert run.exit_status == 130, run.stderr
    assert run.values["ending"] == "interrupted"
    assert run.values["right"] > 0
    assert (tmp_path / "page.html").stat().st_size > 1000
    wait_for(lambda: not processes(url))


@pytest.mark.parametrize(
    ("answer", "server", "message"),
    [
        (short, {}, "does not answer /v1/translate (sentence) rightly: `translations` must be"),
        (nothing, {}, "does not answer /v1/translate (sentence) rightly: the answer must be"),
        (right, {"status": 503}, "/v1/translate must answer with status 200, but did with 503"),
    ],
)
def test_what_is_no_such_service_is_one_line(
    tmp_path: Path, answer: Answer, server: dict[str, Any], message: str
) -> None:
    with stand_in(answer, **server) as url:
        run = _loadtest(tmp_path, "constant", "--url", url)
    assert (run.exit_status, run.stdout) == (1, "")
    assert len(run.stderr.splitlines()) == 1
    assert message in run.stderr


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    with stand_in(right) as url:
        pass
    run = _loadtest(tmp_path, "ramp", "--url", url)
    assert (run.exit_status, run.stdout) == (1, "")
    assert run.stderr == f"polyhead: no service answers at {url}: [Errno 111] Connection refused\n"


def test_a_report_that_cannot_be_written_is_known_before_the_load(tmp_path: Path) -> None:
    run = _loadtest(tmp_path, "ramp", "--report", str(tmp_path))
    assert (run.exit_status, run.stdout) == (1, "")
    assert run.stderr == f"polyhead: cannot write {tmp_path}: Is a directory\n"
