"""The operator's token of `polyhead serve`: in a file that only its own user can read."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from service.launcher.local_ray import LaunchError

__all__ = ["read_token", "token_file"]

_MOST_BYTES = 1024


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
    path, token = _path(port), secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()  # of a service that was killed
        with open(path, "x", encoding="ascii", opener=_private) as file:
            file.write(token)
    except OSError as error:
        raise LaunchError(
            f"cannot write {path}: {error.strerror}; set POLYHEAD_ADMIN_TOKEN instead"
        ) from error
    try:
        yield SecretStr(token)
    finally:
        # Another service of this user may have come, on this port of another address.
        if read_token(port) == token:
            with suppress(OSError):
                path.unlink()


def read_token(port: int) -> str | None:
    """The token of the service of this user at a port of this machine; None if there is none."""
    try:
        descriptor = os.open(_path(port), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, encoding="ascii", errors="replace") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            return None
        return file.read(_MOST_BYTES).strip() or None


def _path(port: int) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.access(runtime, os.W_OK):
        return Path(runtime, "polyhead", f"admin-token-{port}")
    given = os.environ.get("XDG_STATE_HOME", "")
    state = given if os.path.isabs(given) else os.path.expanduser("~/.local/state")
    return Path(state, "polyhead", f"admin-token-{port}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
