"""How a signal ends a service without an error."""

from __future__ import annotations

import signal

import pytest

from service.launcher.forced_stop import STOP_SIGNALS
from service.launcher.local_ray import LaunchError
from service.launcher.stop_signals import StopRequested, stop_by_signal, stopped_quietly


def test_one_signal_stops_and_the_next_ones_change_nothing() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_by_signal():
        with pytest.raises(StopRequested):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_signal_in_the_midst_of_rays_own_code_ends_quietly() -> None:
    with stopped_quietly():
        try:
            raise StopRequested
        except StopRequested as stopped:
            raise SystemError("returned a result with an exception set") from stopped
    with pytest.raises(SystemError), stopped_quietly():
        raise SystemError("something else")


def test_a_signal_is_found_behind_any_chain_of_exceptions() -> None:
    with stopped_quietly():
        try:
            raise StopRequested
        except StopRequested:
            raise LaunchError("a replica did not start") from KeyError("explicit")
    first, second = KeyError(), ValueError()
    first.__cause__, second.__context__ = second, first
    with pytest.raises(KeyError), stopped_quietly():
        raise first
