"""Nobody else comes by a port between its choice and its use."""

import socket
from pathlib import Path

import pytest

from service.launcher import ports
from service.launcher.ports import free_port


def test_the_kernel_does_not_hand_it_out() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    chosen = [free_port() for _ in range(20)]
    assert all(20_000 <= port < lowest for port in chosen)
    for port in chosen:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


def test_what_is_taken_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        draws = iter([taken.getsockname()[1], free := free_port()])
        monkeypatch.setattr("random.randrange", lambda low, high: next(draws))
        assert free_port() == free


def test_where_the_kernel_hands_out_all_it_is_one_of_those(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    everything = tmp_path / "range"
    everything.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "_RANGE", everything)
    assert free_port() > 1024
