"""A folder that can no longer be written to is told of once, and so is the end of that."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from service.launcher.folder_watch import FolderWatch


def test_tells_once_what_is_wrong_and_once_that_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = FolderWatch(tmp_path)
    watch.look()
    assert caplog.messages == []
    with monkeypatch.context() as disk:

        def full(_: Path, data: bytes) -> int:
            assert data  # a full disk takes an empty file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        disk.setattr(Path, "write_bytes", full)
        for _ in range(3):
            watch.look()
    for _ in range(3):
        watch.look()
    assert caplog.messages == [
        f"the folder for temporary files {tmp_path} cannot be used: No space left on device; until "
        "it can, a process that ends may not be replaced",
        f"the folder for temporary files {tmp_path} can be used again",
    ]
    assert list(tmp_path.iterdir()) == []
