"""What misbehaving clients get of a server that ends their connections, or does not."""

from __future__ import annotations

import dataclasses
import resource
import signal
import subprocess
import sys

import psutil
import pytest

from loadtests.corpus import LoadTestError
from loadtests.misbehaviour.attack import Outcomes, Plan, allow_open_files, misbehave
from loadtests.misbehaviour.profiles import PROFILES, Limits
from loadtests.processes import wait_for
from tests.unit.loadtests.misbehaviour.server import Server, served

_LIMITS = Limits(total_chars=200, text_chars=100)
[_LARGEST] = PROFILES["largest"].crowds
_HELD = [
    "idle", "trickled-heads", "keep-alive", "stopped-bodies", "trickled-bodies", "unread",
    "trickled-reading",
]  # fmt: skip


async def _outcomes(name: str, url: str, *, hold: float = 60.0) -> Outcomes:
    """Outcomes of the profile with few connections, each opened once."""
    profile = PROFILES[name]
    crowds = tuple(dataclasses.replace(one, connections=3, pause=9.0) for one in profile.crowds)
    profile = dataclasses.replace(profile, crowds=crowds)
    return await misbehave(profile, url, _LIMITS, Plan(seconds=0.1, hold=hold))


@pytest.mark.parametrize("name", [*_HELD, "everything"])
async def test_a_server_with_limits_ends_what_does_not_move(name: str) -> None:
    with served(Server(answer_bytes=20_000_000)) as server:
        hold = 3.0 if name == "trickled-reading" else 60.0  # it would read for long what came
        found = await _outcomes(name, server.url, hold=hold)
    assert set(found) <= {"closed", "200", "400"}
    assert sum(one["connections"] for one in found.values()) == 3 * len(PROFILES[name].crowds)


async def test_an_end_behind_what_nobody_reads_is_an_end() -> None:
    with served(Server(answer_bytes=200_000, resets=False)) as server:
        assert set(await _outcomes("unread", server.url, hold=2.0)) == {"closed"}


@pytest.mark.parametrize("name", [*_HELD, "everything"])
async def test_what_a_server_without_limits_keeps_counts_as_open(name: str) -> None:
    with served(Server(patience=None, answer_bytes=200_000)) as server:
        found = await _outcomes(name, server.url, hold=0.3)
        assert set(found) == {"open"}
        assert await _has_ended(server)


async def _has_ended(server: Server) -> bool:
    """Whether the clients have left nothing open."""
    return wait_for(lambda: server.num_open == 0, 30)


async def test_an_upgrade_is_answered_or_hangs() -> None:
    profile = dataclasses.replace(PROFILES["upgrade"], limit_seconds=0.5)
    crowds = (dataclasses.replace(profile.crowds[0], connections=2),)
    profile = dataclasses.replace(profile, crowds=crowds)
    for patience, outcome in ((30.0, "400"), (None, "open")):
        with served(Server(patience=patience)) as server:
            found = await misbehave(profile, server.url, _LIMITS, Plan(seconds=0.1))
        assert set(found) == {outcome}


@pytest.mark.parametrize(
    ("answer_bytes", "outcome"), [(1_000, "200"), (2**21, "200"), (2**21 + 1, "unbounded")]
)
async def test_an_answer_is_bounded_or_not(answer_bytes: int, outcome: str) -> None:
    with served(Server(patience=30.0, answer_bytes=answer_bytes)) as server:
        assert set(await _outcomes("separators", server.url)) == {outcome}


async def test_what_is_no_request_is_refused_or_not() -> None:
    with served(Server()) as server:
        assert set(await _outcomes("malformed", server.url)) <= {"400", "closed"}
        assert set(await _outcomes("methods", server.url)) == {"400"}
    with served(Server(refuses=False)) as server:
        assert set(await _outcomes("methods", server.url)) == {"200"}


@pytest.mark.parametrize("name", ["largest", "four-largest", "interactive-flood", "batch-flood"])
async def test_what_is_permitted_is_answered(name: str) -> None:
    with served(Server(patience=30.0)) as server:
        assert set(await _outcomes(name, server.url)) == {"200"}


@pytest.mark.parametrize(("deadline", "outcome"), [(60.0, "200"), (0.1, "open")])
async def test_what_is_permitted_may_take_until_its_deadline(
    monkeypatch: pytest.MonkeyPatch, deadline: float, outcome: str
) -> None:
    monkeypatch.setattr("loadtests.misbehaviour.attack._ANSWER_SECONDS", 0.0)
    profile = dataclasses.replace(
        PROFILES["four-largest"], crowds=(dataclasses.replace(_LARGEST, connections=2),)
    )
    plan = Plan(seconds=0.1, hold=0.1, deadline=deadline)
    with served(Server(patience=30.0, seconds=1.5)) as server:
        assert set(await misbehave(profile, server.url, _LIMITS, plan)) == {outcome}


async def test_within_a_machine_they_have_an_address_of_their_own() -> None:
    with served(Server()) as server:
        await _outcomes("methods", server.url)
    assert server.addresses == {"127.0.0.2"}


@pytest.mark.parametrize("name", ["leaving", "churn"])
async def test_clients_that_leave_keep_nothing_open(name: str) -> None:
    with served(Server(patience=None)) as server:
        assert set(await _outcomes(name, server.url)) == {"left"}
        assert await _has_ended(server)


async def test_streams_of_http2_end_with_their_connection() -> None:
    with served(Server()) as server:
        assert set(await _outcomes("http2-resets", server.url)) <= {"400", "closed"}


async def test_nobody_listens() -> None:
    with served(Server()) as server:
        pass
    assert set(await _outcomes("idle", server.url)) == {"no connection"}


async def test_another_connection_takes_the_place_of_one_that_has_ended() -> None:
    with served(Server()) as server:
        found = await misbehave(PROFILES["churn"], server.url, _LIMITS, Plan(seconds=2.0))
    assert found["left"]["connections"] > 20


@pytest.mark.parametrize(("hard", "is_enough"), [(5_199, False), (5_200, True), (-1, True)])
def test_limits_of_open_files(monkeypatch: pytest.MonkeyPatch, hard: int, is_enough: bool) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    if is_enough:
        allow_open_files(PROFILES["idle"])
        assert raised == [(5_200, hard)]
    else:
        with pytest.raises(LoadTestError, match=r"5200 open files must be allowed, but .* is 5199"):
            allow_open_files(PROFILES["idle"])


_PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from loadtests.misbehaviour.attack import end_with_parent
if __name__ == "__main__":
    spawned = multiprocessing.get_context("spawn")
    others = ProcessPoolExecutor(1, spawned, initializer=end_with_parent)
    print(others.submit(os.getpid).result(), flush=True)
    others.submit(time.sleep, 300).result()
"""


def test_no_attack_goes_on_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        other = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE, 60)
