"""A Ray of one's own on this machine, for as long as one process runs: private, quiet, loopback.

All processes of it are descendants of this one, which ends them with itself, and no other Ray on
the machine is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from model.errors import PolyheadError
from service.launcher.haproxy import (
    WITHOUT_HAPROXY,
    ConfigurationError,
    check_haproxy,
    serve_variables,
)
from service.launcher.reaper import reaped_on_death
from service.observability import tracing

__all__ = [
    "LaunchError",
    "become_subreaper",
    "descendants",
    "kill_descendants",
    "local_ray",
    "wait_for_ray_exit",
]


class LaunchError(PolyheadError):
    """The service cannot be started here; the message is all that a user needs."""


_PR_SET_CHILD_SUBREAPER = 36
"""Of Linux; see prctl(2)."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Requests and answers are far below a megabyte and do not stay."""
_ESSENTIAL = ("gcs_server", "raylet")
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 3.0
_KILL_SECONDS = 5.0
_LOOKS_IN_VAIN = 5
_LONGEST_TEMPORARY_PATH = 8
"""HAProxy adds up to 80 characters, our folder 19, and a socket's path may have 107."""


@contextlib.contextmanager
def local_ray(*, host: str, max_in_flight: int, haproxy: bool = True) -> Iterator[None]:
    """Starts Ray, connects this process to it, and ends all of it on the way out.

    Must be entered before anything imports ray, which reads its environment then.

    Args:
        host: the address on which Serve's front is to listen; nothing else leaves the machine.
        max_in_flight: requests that the front gives to a gateway at a time.
        haproxy: what that front is; if it is not HAProxy, it is Serve's own proxy, in Python, which
            listens where Serve's options say.

    Raises:
        LaunchError: Ray did not start, or its front could not; nothing of it is left.
    """
    with _private_directory() as directory, reaped_on_death(directory):
        front = serve_variables(directory, host=host, max_in_flight=max_in_flight)
        _prepare_environment(front if haproxy else WITHOUT_HAPROXY)
        become_subreaper()
        import ray

        try:
            _start(directory)
            # Ray's processes have theirs by now. This one has no event loop for a handle to use.
            os.environ["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] = "1"
            if haproxy:
                _check_haproxy(directory)
            yield
        finally:
            # Should Ray take too long over its end, it is helped.
            impatience = threading.Timer(_STOP_SECONDS, kill_descendants)
            impatience.start()
            try:
                ray.shutdown()
            finally:
                impatience.cancel()
                kill_descendants()


def wait_for_ray_exit() -> None:
    """Returns when one of the two processes without which Ray is lost has ended; never, else."""
    essential = [process for process in descendants() if _name(process) in _ESSENTIAL]
    while all(map(_runs, essential)):
        time.sleep(_LOOK_SECONDS)


def descendants() -> list[psutil.Process]:
    """The processes that this one started, and they, and so on, as far as they still run."""
    return [process for process in psutil.Process().children(recursive=True) if _runs(process)]


def kill_descendants() -> None:
    """SIGKILL for all of them, and waits until they are gone."""
    deadline = time.monotonic() + _KILL_SECONDS
    looks_in_vain = 0
    # One that dies may just have started another one, which a single look can miss.
    while looks_in_vain < _LOOKS_IN_VAIN and time.monotonic() < deadline:
        left = descendants()
        looks_in_vain = 0 if left else looks_in_vain + 1
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.02)


def become_subreaper() -> None:
    """From now on, a descendant whose parent dies becomes a child of this process.

    Else it would become one of process 1, and nobody could tell where it came from: Ray's workers
    overwrite their environment with their titles.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""


def _runs(process: psutil.Process) -> bool:
    """Whether it has not ended, be it that nobody has asked for its status yet."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _check_haproxy(directory: Path) -> None:
    try:
        check_haproxy(directory)
    except ConfigurationError as error:
        raise LaunchError(str(error)) from error


def _start(directory: Path) -> None:
    import ray

    try:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level=logging.ERROR,
            log_to_driver=True,
            # Ray opens its folder to everybody, sockets included; nobody comes through ours.
            _temp_dir=str(directory / "ray"),
        )
    except Exception as error:
        raise LaunchError(f"Ray did not start on this machine: {error}") from error


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    parent = tempfile.gettempdir()
    if len(parent) > _LONGEST_TEMPORARY_PATH:
        parent = "/tmp"
    directory = Path(tempfile.mkdtemp(prefix="polyhead-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _prepare_environment(front: dict[str, str]) -> None:
    for name in ("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ.update(
        {
            # Ray's servers take pickles, so whoever may talk to them may run code. They listen on
            # the loopback address only (this is what the misnamed first variable does), except for
            # one of Serve's in each replica; and all ask for a token that only we know.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **front,
            **tracing.serve_variables(os.environ),
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": (
                "service.gateway.proxy_headers:middlewares"
            ),
            "RAY_USAGE_STATS_ENABLED": "0",
            # What replicas write to stderr, JSON lines, comes out of this process as it is.
            "RAY_DISABLE_WORKER_LOG_PREFIX": "1",
            "RAY_COLOR_PREFIX": "0",
            "RAY_DEDUP_LOGS": "0",
            "RAY_SERVE_LOG_TO_STDERR": "0",
            "RAY_ROTATION_MAX_BYTES": str(20 * 2**20),
            "RAY_ROTATION_BACKUP_COUNT": "1",
        }
    )
