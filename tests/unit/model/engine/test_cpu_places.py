"""No more compute at a time than there are places, and everybody who waits has a turn."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from model.config import EngineConfig, GenerationConfig
from model.engine import engine as engine_module
from model.engine.cpu_places import CpuPlaces
from model.engine.engine import Engine
from tests.tiny_model import tiny_transformer
from tests.unit.model.engine.fake_runner import EOS, FakeRunner, until


def test_a_place_is_waited_for_and_those_are_interrupted_who_have_one() -> None:
    places, lock, computing, most = CpuPlaces(2), threading.Lock(), [0], [0]

    def work() -> None:
        for _ in range(5):
            interrupted = threading.Event()
            with places.place(interrupted.set):
                with lock:
                    computing[0] += 1
                    most[0] = max(most[0], computing[0])
                while places._waiting:
                    if interrupted.wait(0.001):
                        break
                with lock:
                    computing[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    with places.place(lambda: None), places.place(lambda: None):
        for thread in threads:
            thread.start()
        until(lambda: len(places._waiting) == 5)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert most == [2]
    assert (places._num_free, places._taken) == (2, {})


def test_turns_come_in_the_order_in_which_they_are_asked_for() -> None:
    places, order = CpuPlaces(1), []

    def work(name: int) -> None:
        with places.place(lambda: None):
            order.append(name)

    with places.place(lambda: None):
        threads = []
        for name in range(5):
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            until(lambda: len(places._waiting) == name + 1)  # noqa: B023
    for thread in threads:
        thread.join(60)
    assert order == list(range(5))


def test_a_place_is_free_again_when_work_fails() -> None:
    places = CpuPlaces(1)
    for _ in range(2):
        with pytest.raises(RuntimeError), places.place(lambda: None):
            raise RuntimeError


def test_however_many_wait_who_computes_has_its_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    places = CpuPlaces(2)
    interrupted: list[str] = []
    with places.place(lambda: interrupted.append("a")):
        now[0] = 0.004
        with places.place(lambda: interrupted.append("b")):
            for now[0] in (0.005, 0.011, 0.012, 0.013, 0.015, 0.016, 0.022, 0.023):
                places._interrupt_the_first()
    assert interrupted == ["a", "b", "a"]


def test_who_cannot_interrupt_another_leaves_no_place_taken() -> None:
    places = CpuPlaces(1)

    def fail() -> None:
        raise RuntimeError("this runner is broken")

    broken = pytest.raises(RuntimeError, match="broken")
    with places.place(fail), broken, places.place(lambda: None):
        pass
    assert (places._num_free, places._taken, len(places._waiting)) == (1, {}, 0)


def test_a_forked_process_has_places_of_its_own() -> None:
    program = """
import os, signal
from model.engine.cpu_places import places_of_process
places = places_of_process()
with places._lock:
    places._num_free = 0  # taken by threads that the child has not got
    child = os.fork()
    if not child:
        signal.alarm(20)
        with places_of_process().place(lambda: None):
            os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_engines_take_turns_on_the_cpus_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    places = CpuPlaces(1)
    monkeypatch.setattr(engine_module, "places_of_process", lambda: places)
    runners = [FakeRunner(4, gated=True) for _ in range(2)]
    for runner in runners:
        runner.device = "cpu"
    engines = [Engine(tiny_transformer(), EngineConfig(), runners=[runner]) for runner in runners]
    search = GenerationConfig(beam_size=1, max_new_tokens=3)
    futures = [engine.submit([[5, EOS]], search)[0] for engine in engines]
    until(lambda: len(places._taken) == len(places._waiting) == 1)
    waits: Callable[[], bool] = lambda: any(runner.num_interrupts for runner in runners)  # noqa: E731
    until(waits)
    for runner in runners:
        runner.may_step.release(100)
    assert all(future.result(60) for future in futures)
    for engine in engines:
        engine.close()


def test_an_idle_engine_gives_its_memory_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_IDLE_SECONDS", 0.001)
    runner = FakeRunner(4, gated=False)
    engine = Engine(tiny_transformer(), EngineConfig(), runners=[runner])
    search = GenerationConfig(beam_size=1, max_new_tokens=3)
    for times in (1, 2):
        engine.submit([[5, EOS]], search)[0].result(60)
        until(lambda: runner.num_releases == times)  # noqa: B023
    engine.close()
    assert runner.num_releases == 2
