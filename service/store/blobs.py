"""Contents that are too large for a table: in a folder, or where fsspec writes to (s3://...)."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from service.errors import StoreFullError, StoreUnavailableError
from service.store.availability import Availability

__all__ = ["Blobs"]

_NAME = re.compile(r"[0-9a-z][0-9a-z-]{0,63}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = ".new"
_LEFT_SECONDS = 3600.0
"""Nobody writes for so long."""


class Blobs:
    """Contents by name: up to 64 of 0-9, a-z and "-".

    Args:
        place: a folder, or a URL that fsspec knows; what comes before names.
    """

    def __init__(self, place: str) -> None:
        is_url = "://" in place and not place.startswith("file://")
        folder = Path(place.removeprefix("file://"))
        self._place: _Folder | _Remote = _Remote(place) if is_url else _Folder(folder)
        # A URL may have a password in it.
        self._availability = Availability(f"the store of blobs{'' if is_url else f' {folder}'}")

    async def write(self, name: str, content: bytes) -> None:
        """Stores a content, in place of another of the name. When it returns, that is durable.

        Raises:
            StoreFullError, StoreUnavailableError: it cannot be stored.
        """
        await self._run(self._place.write, _checked(name), content)

    async def read(self, name: str) -> bytes | None:
        """The content; None if there is none of that name."""
        content: bytes | None = await self._run(self._place.read, _checked(name))
        return content

    async def delete(self, name: str) -> None:
        """Deletes a content, if it is there."""
        await self._run(self._place.delete, _checked(name))

    async def names(self) -> list[str]:
        """The names of all that is stored."""
        names: list[str] = await self._run(self._place.names)
        return sorted(name for name in names if _NAME.fullmatch(name))

    async def _run(self, call: Any, *arguments: Any) -> Any:
        use = "reads" if call.__name__ in ("read", "names") else "writes"
        try:
            answer = await asyncio.to_thread(call, *arguments)
        except Exception as error:  # of any library
            # Its message may name a file that nobody else knows.
            told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            reason = f"{type(error).__name__}: {next(iter(told.splitlines()), '')[:200]}"
            self._availability.failed(use, reason)
            if isinstance(error, OSError) and error.errno in _FULL:
                raise StoreFullError(reason) from error
            raise StoreUnavailableError(reason) from error
        self._availability.worked(use)
        return answer


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, name: str, content: bytes) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another name until all of it is on the disk: who reads never finds a part.
        descriptor, temporary = tempfile.mkstemp(suffix=_TEMPORARY, dir=self._path)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path / name)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        self._sync()

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            (self._path / name).unlink()

    def names(self) -> list[str]:
        try:
            names = os.listdir(self._path)
        except FileNotFoundError:
            return []
        for name in names:
            if name.endswith(_TEMPORARY):
                self._remove_left(self._path / name)
        return names

    def _remove_left(self, path: Path) -> None:
        """Deletes what a process was about to write when it was killed."""
        with suppress(FileNotFoundError):
            if time.time() > path.stat().st_mtime + _LEFT_SECONDS:
                path.unlink()

    def _sync(self) -> None:
        """Makes the name durable, too."""
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _Remote:
    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._found: tuple[Any, str] | None = None

    def write(self, name: str, content: bytes) -> None:
        system, root = self._system()
        try:
            system.pipe_file(f"{root}/{name}", content)
        except FileNotFoundError:  # there is no such folder or bucket yet
            system.makedirs(root, exist_ok=True)
            system.pipe_file(f"{root}/{name}", content)

    def read(self, name: str) -> bytes | None:
        system, root = self._system()
        try:
            content: bytes = system.cat_file(f"{root}/{name}")
        except FileNotFoundError:
            return None
        return content

    def delete(self, name: str) -> None:
        system, root = self._system()
        with suppress(FileNotFoundError):
            system.rm_file(f"{root}/{name}")

    def names(self) -> list[str]:
        system, root = self._system()
        system.invalidate_cache(root)  # others write there too
        try:
            return [path.rpartition("/")[2] for path in system.ls(root, detail=False)]
        except FileNotFoundError:
            return []

    def _system(self) -> tuple[Any, str]:
        if self._found is None:
            from fsspec.core import url_to_fs

            self._found = url_to_fs(self._url)
        return self._found


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of a blob must be of 0-9, a-z and '-', but is {name[:64]!r}")
    return name
