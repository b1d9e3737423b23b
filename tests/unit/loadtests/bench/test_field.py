"""All contenders of a benchmark: who is started is ended, and who should rest is watched."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from loadtests.bench import worker as field_module
from loadtests.bench.contender import BenchError
from loadtests.bench.machine import Memory
from loadtests.bench.worker import Field
from tests.unit.loadtests.bench.fake_field import FakeSpec


@dataclass
class _Watched:
    """A worker whose CPU time a test can set."""

    label: str
    digest: str = "same"
    cpu: float = 0.0
    closed: list[bool] = field(default_factory=list)
    error: BenchError | None = None

    @property
    def spec(self) -> FakeSpec:
        return FakeSpec(self.label)

    def wait_until_ready(self) -> str:
        if self.error:
            raise self.error
        return self.digest

    def cpu_seconds(self) -> float:
        return self.cpu

    def memory(self) -> Memory:
        return {"rss": 1, "pss": 1, "peak_rss": 2}

    def close(self, *, at_once: bool = False) -> None:
        self.closed.append(at_once)


def _field(*workers: Any) -> Field:
    return Field(workers)


def test_who_is_busy_while_others_have_their_turn_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = _Watched("polyhead-int8"), _Watched("ctranslate2-int8")
    clock = iter([0.0, 2.0, 2.0, 4.0])
    monkeypatch.setattr(field_module.time, "monotonic", lambda: next(clock))
    with _field(ours, theirs) as both:
        with both.turn(ours):  # type: ignore[arg-type]
            ours.cpu += 2.0
            theirs.cpu += 0.5
        with both.turn(theirs):  # type: ignore[arg-type]
            theirs.cpu += 2.0
        assert both.idle_cpu() == {"ctranslate2-int8": 0.25, "polyhead-int8": 0.0}


def test_all_are_ended_at_once_after_an_error_and_else_in_peace() -> None:
    ours, theirs = _Watched("a"), _Watched("b")
    with _field(ours, theirs) as both:
        assert set(both.memory()) == {"a", "b"}
    assert ours.closed == theirs.closed == [False]
    with pytest.raises(KeyError), _field(ours, theirs):
        raise KeyError
    assert ours.closed == theirs.closed == [False, True]


def test_who_cannot_start_ends_all() -> None:
    ours, theirs = _Watched("a"), _Watched("b", error=BenchError("no"))
    with pytest.raises(BenchError, match="no"):
        _field(ours, theirs)
    assert ours.closed == theirs.closed == [True]


def test_all_have_the_same_weights_or_are_ended() -> None:
    assert _field(_Watched("a"), _Watched("b")).weights_digest == "same"
    ours, theirs = _Watched("a"), _Watched("b", digest="other")
    with pytest.raises(BenchError, match="must have the same weights"):
        _field(ours, theirs)
    assert ours.closed == theirs.closed == [True]
