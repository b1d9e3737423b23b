"""A private local Ray, on loopback only, that lives as long as this process.

All its processes are descendants of this one, which ends them, and no other Ray on the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
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

from model.engine.cpus import granted_cpus
from model.errors import PolyheadError
from service.launcher import reaper
from service.launcher.folder_watch import FolderWatch
from service.launcher.fork_server import fork_server
from service.launcher.haproxy import (
    WITHOUT_HAPROXY,
    ConfigurationError,
    HAProxyOptions,
    check_haproxy,
    serve_variables,
)
from service.launcher.haproxy_standby import standby_haproxy
from service.launcher.process_limits import forbid_core_dumps, raise_open_files
from service.launcher.reaper import kill_until_gone, reaped_on_death
from service.launcher.stderr_pipe import filtered_stderr
from service.observability import tracing

__all__ = [
    "LaunchError",
    "become_subreaper",
    "descendants",
    "kill_descendants",
    "kill_stopped",
    "local_ray",
    "reap_orphans",
    "wait_for_ray_exit",
]


class LaunchError(PolyheadError):
    """The service cannot be started here."""


_PR_SET_CHILD_SUBREAPER = 36
"""Linux's constant; see prctl(2)."""
_OBJECT_STORE_BYTES = 100 * 2**20
"""Requests and answers are far below a megabyte and short-lived."""
_ESSENTIAL = frozenset({"gcs_server", "raylet"})
"""Processes without which Ray is lost."""
_POLL_SECONDS = 1.0
_STOPPED_SECONDS = 10.0
"""After which a worker that is still stopped is killed."""
_NOT_BY_GRPC = "no_grpc_proxy"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_STOP_SECONDS = 3.0
_KILL_SECONDS = 5.0
_LEAST_FREE_BYTES = 64 * 2**20
"""In the private folder: logs, sockets, and what does not fit into shared memory."""
_LONGEST_TEMPORARY_PATH = 8
"""Our directory adds 19 characters, HAProxy up to 80, and a socket's path may have 107."""


@contextlib.contextmanager
def local_ray(options: HAProxyOptions | None, *, fork_workers: bool = True) -> Iterator[Path]:
    """Starts Ray, connects this process to it, and ends all of it on the way out.

    Must be entered before anything imports ray, which reads its environment then.

    Args:
        options: of HAProxy, whose `host` is the only address that is not on loopback; None for
            Serve's own proxy, in Python, which listens where Serve's options say.
        fork_workers: whether Ray's workers come from a fork server.

    Yields:
        The private folder of all its processes, removed on the way out.

    Raises:
        LaunchError: Ray did not start, or HAProxy cannot; no process is left.
    """
    forbid_core_dumps()
    raise_open_files()
    with (
        _private_directory() as directory,
        reaped_on_death(directory),
        filtered_stderr(),
        contextlib.ExitStack() as stack,
    ):
        _prepare_environment(
            WITHOUT_HAPROXY if options is None else serve_variables(directory, options)
        )
        become_subreaper()
        # A signal may come before the server is known to be there.
        stack.callback(kill_descendants)
        workers = stack.enter_context(fork_server(directory)) if fork_workers else None
        import ray

        try:
            _start(directory, workers)
            # For this process only: it has no event loop for a handle to use.
            os.environ["RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP"] = "1"
            if options is not None:
                try:
                    check_haproxy(directory)
                except ConfigurationError as error:
                    raise LaunchError(str(error)) from error
            with standby_haproxy(directory / "h"):
                yield directory
        finally:
            kill_timer = threading.Timer(_STOP_SECONDS, kill_descendants)
            kill_timer.start()
            try:
                ray.shutdown()
            finally:
                kill_timer.cancel()
                kill_descendants()


def wait_for_ray_exit(folder: Path) -> None:
    """Returns when a process without which Ray is lost has ended.

    Until then, kills workers that are stopped (SIGSTOP) for 10 to 20 s, reaps orphans, and logs it
    if nothing can be written to the private folder any more.
    """
    watch = FolderWatch(folder)
    essential = []
    for process in descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() in _ESSENTIAL:
                essential.append(process)
    stopped: set[psutil.Process] = set()
    looked_at = time.monotonic()
    while len(essential) == len(_ESSENTIAL) and all(map(_is_running, essential)):
        time.sleep(_POLL_SECONDS)
        if time.monotonic() > looked_at + _STOPPED_SECONDS:
            stopped = kill_stopped(stopped)
            reap_orphans()
            watch.look()
            looked_at = time.monotonic()


def kill_stopped(before: set[psutil.Process]) -> set[psutil.Process]:
    """Sends SIGKILL to Ray's workers that are stopped now and were before.

    When a process is stopped for some 20 s, Ray's own kill fails as the connection to it does: Ray
    believes it dead, but its CPUs stay taken, and nothing can start in its place.

    Returns:
        The workers that are stopped now.
    """
    stopped = set()
    for process in descendants():
        with contextlib.suppress(psutil.Error, IndexError):
            is_worker = process.cmdline()[0].startswith("ray::")
            if is_worker and process.status() == psutil.STATUS_STOPPED:
                stopped.add(process)
                if process in before:
                    process.kill()
    return stopped


def reap_orphans() -> None:
    """Reaps ended children, of which most were orphans: none but this process can."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE and child.name() not in _ESSENTIAL:
                os.waitpid(child.pid, os.WNOHANG)


def descendants() -> list[psutil.Process]:
    """The running processes below this one in the process tree, but for its reaper.

    That one ends what was just being started, and removes the files, if this process is killed.
    """
    return [each for each in psutil.Process().children(recursive=True) if _is_ours(each)]


def kill_descendants() -> None:
    """Sends SIGKILL to all descendants and waits until they are gone, 5 s at most."""
    kill_until_gone(descendants, seconds=_KILL_SECONDS)


def become_subreaper() -> None:
    """Makes this process the parent of orphaned descendants, which could not be found otherwise."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def _is_ours(process: psutil.Process) -> bool:
    try:
        return _is_running(process) and reaper.__file__ not in process.cmdline()
    except psutil.Error:
        return False


def _is_running(process: psutil.Process) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _start(directory: Path, workers: Path | None) -> None:
    import ray

    try:
        # Imports private names of ray, which reads the environment that is now prepared.
        from service.launcher.ray_node import few_processes, forbid_signal_handlers

        forbid_signal_handlers()
        with few_processes(directory, workers):
            ray.init(
                address="local",
                # Ray's own count knows no affinity, and of nested cgroups only one.
                num_cpus=granted_cpus(),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
                log_to_driver=False,
                # Ray makes its directory world-accessible; ours, around it, is private.
                _temp_dir=str(directory / "ray"),
            )
    except Exception as error:
        raise LaunchError(f"Ray did not start on this machine: {error}") from error


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    parent = "/tmp"
    try:
        if len(chosen := tempfile.gettempdir()) <= _LONGEST_TEMPORARY_PATH:
            parent = chosen
        free = shutil.disk_usage(parent).free
        if free < _LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, f"only {free // 2**20} MiB are free")
        directory = Path(tempfile.mkdtemp(prefix="polyhead-", dir=parent))
    except OSError as error:
        raise LaunchError(
            f"{parent} must be a folder to write to with {_LEAST_FREE_BYTES // 2**20} MiB free, "
            f"but is not: {error.strerror}; TMPDIR can name another one"
        ) from None
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _prepare_environment(proxy_variables: dict[str, str]) -> None:
    for name in ("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)
    os.environ.update(
        {
            # Ray's servers unpickle what they get, so a connection is code execution. They listen
            # on loopback only (by the misnamed first variable), except for one of Serve's in each
            # replica; and all require a secret token.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            **proxy_variables,
            **tracing.serve_variables(os.environ),
            **_proxy_exceptions(),
            "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": (
                "service.gateway.proxy_headers:middlewares"
            ),
            "RAY_USAGE_STATS_ENABLED": "0",
            # A call after the end of this Ray would start another one.
            "RAY_ENABLE_AUTO_CONNECT": "0",
            # Ray's would leave by its agent, and there is none.
            "RAY_enable_metrics_collection": "0",
            # Replicas log JSON lines to stderr, which this process passes on unchanged.
            "RAY_LOG_TO_STDERR": "1",
            "RAY_BACKEND_LOG_LEVEL": os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal"),
            "RAY_SERVE_LOG_TO_STDERR": "0",
            # Serve's own logs, in the private folder.
            "RAY_ROTATION_MAX_BYTES": str(20 * 2**20),
            "RAY_ROTATION_BACKUP_COUNT": "1",
            # Workers would yield to every other program, by 15 steps of niceness.
            "RAY_worker_niceness": "0",
            # When the machine is short of memory, whoever made it so, Ray would kill our workers,
            # and tell the kernel to choose them before all others.
            "RAY_memory_monitor_refresh_ms": "0",
            "RAY_worker_oom_score_adjustment": "0",
            # On one machine GCS or raylet is late because it was stopped, or swapped out; after a
            # minute of that they would give each other up, and the service with it.
            "RAY_health_check_failure_threshold": "1000",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
            # Else `ray.init` waits for workers to register, as many as CPUs: for ever if one dies,
            # and without letting go of Python's lock, so that no signal would end it either.
            "RAY_prestart_worker_first_driver": "0",
        }
    )


def _proxy_exceptions() -> dict[str, str]:
    """Variables that keep Ray's processes from asking a proxy for each other."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = _with_loopback(given)
    # To Python's urllib and to curl a star means everything when it stands alone, else nothing.
    exceptions = "*" if "*" in names else ",".join(names)
    # To gRPC it means nothing, but it has a variable of its own, which it asks for first.
    of_grpc = ",".join(_with_loopback(os.environ.get(_NOT_BY_GRPC) or given))
    return {"no_proxy": exceptions, "NO_PROXY": exceptions, _NOT_BY_GRPC: of_grpc}


def _with_loopback(given: str) -> list[str]:
    return [*dict.fromkeys([*filter(None, map(str.strip, given.split(","))), *_LOOPBACK])]
