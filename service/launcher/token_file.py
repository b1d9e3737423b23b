"""The operator's token of `polyhead serve`: in a file that only its own user can read."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from service.launcher.local_ray import LaunchError

__all__ = ["read_token", "token_file"]

_MOST_BYTES = 1024
_RUNTIME_FOLDERS = "/run/user"
"""Where systemd has those of all users."""


@contextmanager
def token_file(port: int, given: SecretStr) -> Iterator[SecretStr]:
    """The token; where none is given, a new one, in a file as long as the block runs.

    Args:
        port: of the service on this machine.
        given: the operator's own.

    Raises:
        LaunchError: the file cannot be written.
    """
    if given.get_secret_value():
        yield given
        return
    token = secrets.token_urlsafe(32)
    path = _write(port, token)
    try:
        yield SecretStr(token)
    finally:
        # Another service of this user may have come, on this port of another address.
        if read_token(port) == token:
            with suppress(OSError):
                path.unlink()


def read_token(port: int) -> str | None:
    """The token of the service of this user at a port of this machine; None if there is none.

    It is looked for wherever a service may have left it, whose environment may have been another.
    """
    for folder in _folders():
        if (token := _read(folder / f"admin-token-{port}")) is not None:
            return token
    return None


def _write(port: int, token: str) -> Path:
    """Writes the token where this user alone can read it; the file."""
    name = f"admin-token-{port}"
    problem = ""
    for folder in _folders():
        with suppress(OSError):
            (folder / name).unlink()  # of a service that was killed
    for folder in _folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_private(folder.lstat(), stat.S_IFDIR):
                raise PermissionError(errno.EPERM, "others can read it, or it is theirs")
            with open(folder / name, "x", encoding="ascii", opener=_private) as file:
                file.write(token)
            return folder / name
        except OSError as error:
            problem = problem or f"{folder / name}: {error.strerror}"
    raise LaunchError(f"cannot write {problem}; set POLYHEAD_ADMIN_TOKEN instead")


def _read(path: Path) -> str | None:
    try:
        if not _is_private(path.parent.lstat(), stat.S_IFDIR):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, encoding="ascii", errors="replace") as file:
        if not _is_private(os.fstat(file.fileno()), stat.S_IFREG):
            return None
        return file.read(_MOST_BYTES).strip() or None


def _is_private(status: os.stat_result, kind: int) -> bool:
    """Whether it is of that kind, this user's, and closed to all others."""
    own = status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
    return own and stat.S_IFMT(status.st_mode) == kind


def _folders() -> list[Path]:
    """Where a token may be, the best place first.

    What a login session has in XDG_RUNTIME_DIR, a cron job, `su` or `docker exec` does not have.
    """
    folders = [os.environ.get("XDG_RUNTIME_DIR", ""), f"{_RUNTIME_FOLDERS}/{os.getuid()}"]
    folders = [place for place in folders if os.path.isabs(place) and os.access(place, os.W_OK)]
    given = os.environ.get("XDG_STATE_HOME", "")
    folders.append(given if os.path.isabs(given) else os.path.expanduser("~/.local/state"))
    own = [Path(place, "polyhead") for place in folders if os.path.isabs(place)]
    return [*own, Path(tempfile.gettempdir(), f"polyhead-{os.getuid()}")]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
