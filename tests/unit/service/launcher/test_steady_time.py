"""A clock that nobody sets, for modules that measure with the wall clock."""

from __future__ import annotations

import sys
import time
from types import ModuleType

import pytest

from service.launcher.steady_time import give_steady_time


def _module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType(name)
    vars(module)["time"] = time
    monkeypatch.setitem(sys.modules, name, module)
    return module


def test_modules_of_a_package_do_not_see_that_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, below = (_module(name, monkeypatch) for name in ("clocked", "clocked.a.b"))
    other = _module("clockedness", monkeypatch)
    named, function = _module("clocked.named", monkeypatch), time.time
    vars(named)["time"] = function  # `from time import time`
    before = time.time()
    give_steady_time("clocked")
    monkeypatch.setattr(time, "time", lambda: before - 3600)
    for module in (ours, below):
        assert before <= vars(module)["time"].time() < before + 60
        assert vars(module)["time"].monotonic is time.monotonic
    assert vars(other)["time"] is time
    assert vars(named)["time"] is function
