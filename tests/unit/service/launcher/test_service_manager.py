"""A service manager hears when the service is ready and when it ends, and need not be there."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

import pytest

from service.launcher.service_manager import tell_ready, tell_stopping


@pytest.mark.parametrize("abstract", [False, True])
def test_a_manager_is_told(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"@polyhead-{uuid.uuid4().hex}" if abstract else str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name[1:]}" if abstract else name)
        manager.settimeout(60)
        tell_ready()
        tell_stopping()
        assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("name", [None, "", "relative", "/nowhere/notify", "@nobody listens"])
def test_there_may_be_none(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if name is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    tell_ready()
    tell_stopping()
