"""A contender that does not keep the planned lengths is found and ended before it is measured."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtests.bench import benchmark as plan_check
from loadtests.bench.benchmark import exclude_unplanned, keeps_plan
from loadtests.bench.contender import (
    ContenderSpec,
    Search,
    SlowAnswerError,
    Task,
    TokenIds,
    Translated,
)
from loadtests.bench.models import BenchModel
from loadtests.bench.worker import Field, Worker
from loadtests.bench.workload import Workload
from tests.tiny_model import build_tiny_model
from tests.unit.loadtests.bench.fake_field import FakeField, FakeWorker

_LIMIT = 90
_BOTH = tuple(Search)


def _workload(*, planned: bool = True) -> Workload:
    lengths = range(2, 32)
    return Workload(
        sources=tuple((9,) * (length - 1) + (2,) for length in lengths),
        references=None,
        planned=tuple(lengths) if planned else None,
        max_new_tokens=_LIMIT,
        left_out=0,
    )


@dataclass
class _Unplanned(FakeWorker):
    """Runs to the limit in one of its searches."""

    search: Search = Search.BEAM4

    def translate(self, task: Task, sources: Sequence[TokenIds], **options: Any) -> Translated:
        turn = super().translate(task, sources)
        if task.search is not self.search:
            return turn
        return Translated(seconds=turn.seconds, targets=[[9] * _LIMIT for _ in sources])


@dataclass
class _Silent(FakeWorker):
    """Never answers."""

    def translate(self, *arguments: Any, within: float | None = None) -> Translated:
        raise SlowAnswerError(f"{self.label} has not answered for {within:.0f} s")


@pytest.mark.parametrize("search", list(Search))
def test_a_contender_that_runs_to_the_limit_is_excluded(search: Search) -> None:
    field: Any = FakeField(
        FakeWorker("polyhead-int8", 0.1), _Unplanned("ctranslate2-int8", 0.1, search=search)
    )
    # 8 sources with 2 to 9 planned tokens, against a limit and an end token for each.
    assert exclude_unplanned(field, _workload(), _BOTH) == {
        "ctranslate2-int8": f"{search}: {8 * (_LIMIT + 1)} target tokens where 44 were planned"
    }
    assert [worker.label for worker in field.workers] == ["polyhead-int8"]
    assert field.log[-1] == ("ctranslate2-int8", "close")


def test_a_contender_that_does_not_answer_is_excluded() -> None:
    field: Any = FakeField(_Silent("ctranslate2-int8", 0.1), FakeWorker("polyhead-int8", 0.1))
    assert exclude_unplanned(field, _workload(), _BOTH) == {
        "ctranslate2-int8": "greedy: ctranslate2-int8 has not answered for 120 s"
    }
    assert [worker.label for worker in field.workers] == ["polyhead-int8"]


def test_who_keeps_the_plan_stays() -> None:
    field: Any = FakeField(FakeWorker("polyhead-int8", 0.1), FakeWorker("ctranslate2-int8", 0.1))
    assert exclude_unplanned(field, _workload(), _BOTH) == {}
    assert len(field.workers) == 2


def test_trained_weights_have_no_plan_to_keep() -> None:
    field: Any = FakeField(_Unplanned("ctranslate2-int8", 0.1))
    assert exclude_unplanned(field, _workload(planned=False), _BOTH) == {}
    assert field.log == []


@pytest.mark.parametrize(
    ("num_tokens", "kept"), [(100, True), (110, True), (111, False), (90, True), (89, False)]
)
def test_a_tenth_may_be_missing_or_too_much(num_tokens: int, kept: bool) -> None:
    assert keeps_plan(num_tokens, 100) is kept


def test_a_process_that_hangs_is_ended_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_check, "_PROBE_SECONDS", 0.01)
    spec = ContenderSpec(
        name="ctranslate2",
        dtype="float32",
        device="cpu",
        cores=tuple(sorted(os.sched_getaffinity(0)))[:1],
        model=BenchModel.named(str(build_tiny_model(tmp_path / "tiny")), seed=0),
        max_new_tokens=_LIMIT,
        converted=tmp_path,
    )
    with Field([Worker(spec)]) as field:
        [worker] = field.workers
        os.kill(worker.pid, signal.SIGSTOP)
        excluded = exclude_unplanned(field, _workload(), _BOTH)
        assert "has not answered for 0 s" in excluded["ctranslate2-float32"]
        assert field.workers == []
        with pytest.raises(ProcessLookupError):
            os.kill(worker.pid, 0)
