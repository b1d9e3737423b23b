"""`polyhead serve --single-process`: the service in this process, without Ray, start to end."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import math
import os
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

import uvicorn

from model.engine.cpus import granted_cpus
from model.errors import PolyheadError
from service.catalog.directories import catalog_of
from service.catalog.entry import CatalogEntry
from service.hosting.memory_limit import memory_limit
from service.launcher.browser import open_browser
from service.launcher.forced_stop import forced_stop
from service.launcher.http_server import ConnectionLimits, HttpServer, listening_socket
from service.launcher.launch import (
    DRAIN_SECONDS,
    IN_FLIGHT_PER_CPU,
    LEAST_IN_FLIGHT,
    OTHER_FILES,
    Address,
    check_address,
    check_models,
    check_store,
    page_url,
    print_banner,
    reserved,
    with_compiled_engine,
)
from service.launcher.local_ray import LaunchError
from service.launcher.process_limits import forbid_core_dumps, raise_open_files
from service.launcher.service_manager import tell_ready, tell_stopping
from service.launcher.start_times import StartTimes
from service.launcher.stop_signals import stop_by_signal, stopped_quietly, stopping
from service.launcher.token_file import token_file
from service.observability.logs import configure_logging, flush_log
from service.observability.tracing import serve_variables
from service.settings import Settings
from service.single_process import SingleProcess

__all__ = [
    "check_settings",
    "connection_limits",
    "run",
    "spare_the_collector",
    "with_defaults",
]

_MOST_CONNECTIONS = 16_384
_LEAST_CONNECTIONS = 16
_LEAST_MEMORY_MIB = 150
"""Memory of the process without its models."""
_END_SECONDS = 3.0
"""Time to end after what was in work; then it is ended by force."""
_LOOK_SECONDS = 0.01
_SIGNAL_SECONDS = 0.2
"""So long at most a signal waits for its handler."""
_COLLECT_AFTER_OBJECTS = 10_000
"""As for gateways on Ray: requests in flight would be scanned again and again."""

LOGGER = logging.getLogger("polyhead.server")


def run(settings: Settings, address: Address, *, opens_browser: bool = False) -> NoReturn:
    """Serves until SIGINT, SIGTERM or SIGHUP, then ends this process.

    Requests in work are finished, for `graceful_shutdown_seconds`, or three seconds where that is
    not set. A second signal ends it at once.

    Raises:
        CheckpointError: a model directory is missing or damaged.
        LaunchError: the address, the settings or the store of API keys cannot be used, or the
            service has ended by itself.
        NativeBuildError: the engine cannot be compiled, and has no fallback.
    """
    times = StartTimes()
    check_settings(settings)
    settings = with_defaults(settings)
    check_models(settings)
    check_store(settings)
    check_address(address)
    times.end("Python, imports, checks")
    with reserved(address), stopped_quietly():
        _serve(settings, address, times, opens_browser=opens_browser)
    flush_log()
    sys.stdout.flush()
    # Without Python's own end, which waits for threads that may read from a disk that hangs.
    os._exit(0)


def _serve(settings: Settings, address: Address, times: StartTimes, *, opens_browser: bool) -> None:
    with stop_by_signal(), forced_stop(settings.graceful_shutdown_seconds + _END_SECONDS):
        forbid_core_dumps()
        settings, note = with_compiled_engine(settings)
        _import_engine()
        entries = catalog_of(settings)
        _check_memory(entries)
        times.end("the engine")
        with token_file(address.port, settings.admin_token) as token:
            settings = settings.model_copy(update={"admin_token": token})
            server = _ServerThread(settings, entries, address)
            try:
                server.wait_until_ready()
                times.end("the gateway")
                print_banner(address, entries, settings, times, note or _note())
                tell_ready()
                if opens_browser:
                    open_browser(page_url(address, settings))
                server.wait()
            finally:
                stopping()  # a second signal ends it by force
                tell_stopping()
                server.stop(settings.graceful_shutdown_seconds)


def _note() -> str | None:
    """What an operator should know who expects what Ray would do."""
    if serve_variables(os.environ):
        return "a single process sends no traces, for which OTEL_EXPORTER_OTLP_... asks"
    return None


def _import_engine() -> None:
    """Imports what the first request for a model would wait for."""
    for name in ("model.translator", "model.engine.native.runner", "model.engine.warm_up"):
        importlib.import_module(name)


def check_settings(settings: Settings) -> None:
    """LaunchError for settings that take more than one process, or more than CPUs."""
    for name in ("replicas", "gateway_replicas", "shared_replicas"):
        if (value := getattr(settings, name)) != 1:
            raise LaunchError(f"`{name}` must be 1 in a single process, but is {value}")
    for name in ("autoscaling", "shared_autoscaling"):
        if getattr(settings, name) is not None:
            raise LaunchError(f"`{name}` must not be given in a single process, but is")
    if settings.engine.device not in ("auto", "cpu"):
        raise LaunchError(
            f"`--device` must be auto or cpu in a single process, but is {settings.engine.device}"
        )


def with_defaults(settings: Settings) -> Settings:
    """Sets threads, requests in flight and the time to end by this machine, where they are not set.

    More requests than gateways on Ray admit, for no HAProxy has as many again wait before them.
    """
    engine: dict[str, Any] = {"device": "cpu"}
    if settings.engine.num_threads is None:
        engine["num_threads"] = granted_cpus()
    update: dict[str, Any] = {"engine": settings.engine.model_copy(update=engine)}
    if "graceful_shutdown_seconds" not in settings.model_fields_set:
        update["graceful_shutdown_seconds"] = DRAIN_SECONDS
    if "max_in_flight" not in settings.limits.model_fields_set:
        most = max(LEAST_IN_FLIGHT, 2 * IN_FLIGHT_PER_CPU * granted_cpus())
        update["limits"] = settings.limits.model_copy(update={"max_in_flight": most})
    return settings.model_copy(update=update)


def connection_limits(settings: Settings) -> ConnectionLimits:
    """The limits of connections, none of which may lack a file.

    Raises:
        LaunchError: the limit of open files is too low.
    """
    open_files, given = raise_open_files(), settings.connections
    most = min(given.max_connections or _MOST_CONNECTIONS, open_files - OTHER_FILES)
    if most < _LEAST_CONNECTIONS:
        raise LaunchError(
            f"the limit of open files must be at least {OTHER_FILES + _LEAST_CONNECTIONS}, but is "
            f"{open_files}; raise it (ulimit -Hn)"
        )
    return ConnectionLimits(
        most=most,
        most_per_address=given.max_per_address or most * 3 // 4,
        head_seconds=given.head_seconds,
        idle_seconds=given.idle_seconds,
        stall_seconds=given.stall_seconds,
        max_body_bytes=max(settings.limits.max_body_bytes, settings.documents.max_upload_bytes),
    )


def _check_memory(entries: tuple[CatalogEntry, ...]) -> None:
    """LaunchError for too little memory for the largest model: the others go for it."""
    weights = math.ceil(max(entry.loaded_bytes for entry in entries) / 2**20)
    limit = memory_limit() // 2**20
    if limit < _LEAST_MEMORY_MIB + weights:
        raise LaunchError(
            f"memory must be at least {_LEAST_MEMORY_MIB + weights} MiB, {weights} of them for the "
            f"largest model, but this machine or container has {limit} MiB"
        )


class _ServerThread:
    """The event loop with the service, on a thread of its own: the main one waits for signals."""

    def __init__(
        self, settings: Settings, entries: tuple[CatalogEntry, ...], address: Address
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._limits = connection_limits(settings)
        self._socket = listening_socket(address.host, address.port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._service: SingleProcess | None = None
        self._server: HttpServer | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name="server", daemon=True).start()

    def wait_until_ready(self) -> None:
        """Returns when requests are answered; LaunchError if that will not be."""
        while self._server is None or not self._server.started:
            if self._ended.wait(_LOOK_SECONDS):
                self._raise_ended()

    def wait(self) -> None:
        """Waits for the end, which a signal alone brings; LaunchError where it comes by itself."""
        # A signal's handler runs when the main thread next runs Python code. One that comes just
        # before the thread sleeps, or to another thread, does not wake it.
        while not self._ended.wait(_SIGNAL_SECONDS):
            pass
        self._raise_ended()

    def stop(self, drain_seconds: float) -> None:
        """Answers what is in work, for so long at most, and ends the service."""
        if self._loop is None or self._ended.is_set():
            return
        stop = self._stop(drain_seconds)
        with suppress(RuntimeError):  # it has ended at this moment
            asyncio.run_coroutine_threadsafe(stop, self._loop)
            self._ended.wait()

    def _raise_ended(self) -> NoReturn:
        error = self._error
        reason = str(error) if isinstance(error, PolyheadError) else type(error).__name__
        raise LaunchError(f"the service has ended: {reason}")

    def _run(self) -> None:
        try:
            factory = uvicorn.Config("", log_config=None).get_loop_factory()
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._main())
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    async def _main(self) -> None:
        configure_logging(self._settings.log_level, sys.__stderr__)
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_unexpected)
        self._service = SingleProcess(self._settings, self._entries)
        server = HttpServer(self._service.application, self._limits)
        spare_the_collector()
        self._server = server
        try:
            await server.serve(sockets=[self._socket])
        finally:
            await self._service.close()

    async def _stop(self, drain_seconds: float) -> None:
        if self._service is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(drain_seconds):
                    await self._service.drain()
        if self._server is not None:
            self._server.should_exit = True


def spare_the_collector() -> None:
    """Takes what there is now out of the way of full collections, which stop the engine."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)


def _log_unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs what nobody has caught, without what its message may quote."""
    LOGGER.error("an unexpected error", exc_info=context.get("exception"))
