"""A process that torchrun starts belongs to a group, and to torchrun's idea of success."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from model.training import __main__ as command
from model.training.processes import Processes


@pytest.fixture
def by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the only process of a run; port 0 is any that is free."""
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "x"), ("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"),
        ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "0"), ("GLOO_SOCKET_IFNAME", "lo"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("by_torchrun")
def test_others_wait_for_the_first_as_long_as_its_work_takes() -> None:
    with Processes.joined() as processes:
        assert processes.patient is not None
        # On CPUs also for gradients: all may be stopped while something is measured.
        for group in (processes.patient, torch.distributed.group.WORLD):
            assert group is not None
            backend = group._get_backend(torch.device("cpu"))
            assert backend.options._timeout >= timedelta(days=1)
    assert not torch.distributed.is_initialized()


def put_aside(monkeypatch: pytest.MonkeyPatch) -> int:
    def train(*_: object, **options: object) -> Path | None:
        assert options["stop_after"] == 3.0
        return None

    monkeypatch.setattr(command, "train", train)
    monkeypatch.setattr(sys, "argv", ["training", "recipe.yaml", "--stop-after", "3"])
    return command.main()


def test_a_run_that_was_put_aside_wants_to_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert put_aside(monkeypatch) == 75


@pytest.mark.usefixtures("by_torchrun")
def test_torchrun_does_not_start_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert put_aside(monkeypatch) == 0
