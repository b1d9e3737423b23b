"""`polyhead serve`: Ray, Serve and the application on this machine, from start to end."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import json
import logging
import math
import os
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from model.checkpoints.checkpoint import check_checkpoint
from model.checkpoints.embedded import model_directory
from model.engine.backends import may_use_cuda
from model.engine.cpus import granted_cpus
from model.errors import InvalidRequestError, PolyheadError
from service.catalog.directories import catalog_of, model_records
from service.catalog.entry import CatalogEntry, own_autoscaling
from service.hosting.memory_budget import require_memory
from service.hosting.memory_limit import memory_limit
from service.launcher.browser import open_browser
from service.launcher.compilation import compile_ahead
from service.launcher.forced_stop import forced_stop
from service.launcher.haproxy_rules import OPEN_APIS, HAProxyOptions
from service.launcher.local_ray import LaunchError, local_ray, wait_for_ray_exit
from service.launcher.process_limits import free_threads, raise_open_files
from service.launcher.service_manager import tell_ready, tell_stopping
from service.launcher.start_times import StartTimes
from service.launcher.stop_signals import (
    raise_on_stop,
    stop_by_signal,
    stopped_quietly,
    stopping,
)
from service.launcher.token_file import token_file
from service.observability.logs import configure_logging
from service.store.store import Store

if TYPE_CHECKING:
    from service.settings import ModelRecord, Settings

__all__ = [
    "Address",
    "check_address",
    "check_models",
    "check_process_limits",
    "check_store",
    "haproxy_options",
    "page_url",
    "print_banner",
    "reserved",
    "run",
    "with_compiled_engine",
    "with_default_limits",
    "with_default_resources",
]

APPLICATION = "polyhead"
READY_SECONDS = 180.0
"""Start-up timeout: a large model on a slow disk takes a while."""
DRAIN_SECONDS = 3.0
"""Default time for requests in flight to finish after Ctrl-C."""
IN_FLIGHT_PER_CPU = 64
"""Twice what keeps the batch full. With an embedded model the last of them waits half a second."""
LEAST_IN_FLIGHT = 16
_FILES_PER_REQUEST = 2
"""HAProxy's connections to the client and to the gateway."""
OTHER_FILES = 128
"""Open files of a process that belong to no request, at most."""
_THREADS = 40
"""Threads of each process: most are Ray's."""
_OTHER_PROCESSES = 7
"""With so many threads, beside gateways and replicas."""
_LEAST_MEMORY_MIB = 220
"""Memory of all processes but gateways and replicas; with less nothing starts."""
_LEAST_GATEWAY_MIB = 50
_LEAST_REPLICA_MIB = 75
"""Without a model's weights."""
_MOST_LISTED = 10
"""Models that the banner lists."""
_OPEN = (
    "no API key is needed: whoever reaches this address may translate. POLYHEAD_ACCESS__KEYS="
    "required asks for keys, `polyhead keys add NAME` makes one"
)
_LOOK_SECONDS = 0.1
_SERVE_STOP_SECONDS = 3.0
"""Time for Serve to shut down after that."""
_STOP_SECONDS = 9.5
"""From the first signal to the end, by force if need be; `graceful_shutdown_seconds` is added."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the service listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The URL on this machine."""
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"http://{host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host that clients on this machine connect to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def public(self) -> bool:
        """Whether other machines may connect."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


def run(settings: Settings, address: Address, *, opens_browser: bool = False) -> NoReturn:
    """Serves until SIGINT, SIGTERM or SIGHUP, then ends all it started, and this process.

    That takes ten seconds at most, plus `graceful_shutdown_seconds` where it is set. A second
    signal ends it at once, and what is in work with it.

    Raises:
        CheckpointError: a model directory is missing or damaged; nothing was started.
        LaunchError: the address or the settings cannot be used, and nothing was started; or Ray or
            a replica did not start; or Ray died.
        NativeBuildError: the engine cannot be compiled, and has no fallback; nothing was started.
    """
    times = StartTimes()
    entries = check_models(settings)
    check_gateways(settings)
    check_store(settings)
    check_address(address)
    times.end("Python, imports, checks")
    with reserved(address), stopped_quietly():
        _serve(settings, entries, address, times, opens_browser=opens_browser)
    sys.stdout.flush()
    # Without Python's own end: threads of a Ray whose start was interrupted crash in it.
    os._exit(0)


def _serve(
    settings: Settings,
    entries: Sequence[CatalogEntry],
    address: Address,
    times: StartTimes,
    *,
    opens_browser: bool,
) -> None:
    given = "graceful_shutdown_seconds" in settings.model_fields_set
    stop_seconds = _STOP_SECONDS + (settings.graceful_shutdown_seconds if given else 0.0)
    # While Ray starts, its own handler of SIGTERM raises SystemExit.
    with stop_by_signal(), forced_stop(stop_seconds):
        settings = with_default_limits(settings)
        check_process_limits(settings, entries)
        settings, note = with_compiled_engine(settings)
        options = haproxy_options(settings, address)
        with (
            token_file(address.port, settings.admin_token) as token,
            local_ray(options, fork_workers=settings.fork_workers) as folder,
        ):
            settings = settings.model_copy(update={"admin_token": token})
            raise_on_stop()
            drain_seconds = 0.0
            lost = False
            try:
                times.end("Ray")
                settings = with_default_resources(settings)
                entries = _start(settings, address, times)
                _wait_until_ready(address)
                times.end("ready through HAProxy")
                drain_seconds = settings.graceful_shutdown_seconds
                print_banner(address, entries, settings, times, note)
                tell_ready()
                if opens_browser:
                    open_browser(page_url(address, settings))
                configure_logging(settings.log_level)
                wait_for_ray_exit(folder)
                lost = True
                raise LaunchError("Ray has died, and with it the service")
            finally:
                stopping()  # a second signal ends it by force
                tell_stopping()
                # A call to a Ray that has died would end this process at once.
                if not lost:
                    _stop_serve(drain_seconds)


def check_models(settings: Settings) -> tuple[CatalogEntry, ...]:
    """The catalog; CheckpointError for a damaged directory, LaunchError for one that cannot be."""
    for record in model_records(settings):
        check_checkpoint(model_directory(record.model))
    try:
        entries = catalog_of(settings)
        for entry in entries:
            require_memory(entry, settings)
    except InvalidRequestError as error:
        raise LaunchError(f"`--model`: {error}") from error
    return entries


def check_gateways(settings: Settings) -> None:
    """LaunchError for more gateways than one node may have."""
    most = settings.gateways_per_node
    if most is not None and settings.gateway_replicas > most:
        raise LaunchError(
            f"`gateway_replicas` must be at most `gateways_per_node`, {most}, on one machine, but "
            f"is {settings.gateway_replicas}"
        )


def check_store(settings: Settings) -> None:
    """LaunchError for a store that cannot be opened, where API keys are in it. Migrates it."""
    if settings.access.keys == "off":
        return
    store = Store(settings)

    async def open_it() -> None:
        await store.database.open()
        await store.close()

    try:
        asyncio.run(open_it())
    except PolyheadError as error:
        raise LaunchError(f"API keys cannot be looked up: {error}") from error


def check_process_limits(settings: Settings, entries: Sequence[CatalogEntry]) -> None:
    """LaunchError for too few open files, too few threads, or too little memory for the models.

    Raises both limits as far as the user may.
    """
    open_files, threads = raise_open_files(), free_threads()
    files_needed = OTHER_FILES + _FILES_PER_REQUEST * settings.limits.max_in_flight
    if open_files < files_needed:
        raise LaunchError(
            f"the limit of open files must be at least {files_needed} for `max_in_flight` "
            f"{settings.limits.max_in_flight}, but is {open_files}; raise it (ulimit -Hn)"
        )
    dedicated = [(entry, entry.least_replicas(settings)) for entry in entries if not entry.shared]
    shared = [entry.loaded_bytes for entry in entries if entry.shared]
    least_shared = max(1, settings.least_shared_replicas) if shared else 0
    replicas = sum(count for _, count in dedicated) + least_shared
    needed = _THREADS * (_OTHER_PROCESSES + settings.gateway_replicas + replicas)
    if threads is not None and threads < needed:
        raise LaunchError(
            f"about {needed} threads are needed, but this user or this container may start only "
            f"{max(0, threads)} more; raise the limit (ulimit -Hu, or the container's of processes)"
        )
    # Those that share replicas are not there all at once.
    weights = max(shared, default=0) + sum(count * each.loaded_bytes for each, count in dedicated)
    _check_memory(settings.gateway_replicas, replicas, math.ceil(weights / 2**20))


def _check_memory(gateways: int, replicas: int, weights: int) -> None:
    limit = memory_limit() // 2**20
    needed = _LEAST_MEMORY_MIB + _LEAST_GATEWAY_MIB * gateways + _LEAST_REPLICA_MIB * replicas
    if limit < needed + weights:
        raise LaunchError(
            f"memory must be at least {needed + weights} MiB, {weights} of them for models, for "
            f"{replicas} replicas in all, but this machine or container has {limit} MiB"
        )


def check_address(address: Address) -> None:
    """LaunchError unless the address can be listened on."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As servers bind: connections in TIME_WAIT do not hold a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()
    except (socket.gaierror, UnicodeError):  # UnicodeError: an impossible name such as "a..b"
        raise LaunchError(
            f"`--host` must be an address of this machine, but is {address.host!r}"
        ) from None
    except OSError as error:
        raise LaunchError(
            f"cannot listen on {address.host} port {address.port}: {error.strerror}; "
            "choose another one with --port or --host"
        ) from None


@contextmanager
def reserved(address: Address) -> Iterator[None]:
    """Reserves the address among the services of this user, before this one listens there.

    Serve's proxies share ports (SO_REUSEPORT): two services that start at the same time would each
    get some of the requests.

    Raises:
        LaunchError: another service has reserved the address.
    """
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            # An abstract name, which the kernel frees when this process ends.
            lock.bind(f"\0polyhead {os.getuid()} {address.host[:64]} {address.port}")
        except OSError:
            raise LaunchError(
                f"cannot listen on {address.host} port {address.port}: another polyhead is about "
                "to; choose another one with --port or --host"
            ) from None
        yield


def haproxy_options(settings: Settings, address: Address) -> HAProxyOptions:
    """HAProxy's options for the settings, with all but the API on sockets in a private folder."""
    limits, connections = settings.limits, settings.connections
    return HAProxyOptions(
        host=address.host,
        admin_host="",
        max_in_flight=limits.max_in_flight,
        max_in_flight_per_address=connections.max_in_flight_per_address or 0,
        batch_share=limits.batch_share,
        max_connections=connections.max_connections or 0,
        max_connections_per_address=connections.max_per_address or 0,
        max_large_bodies=connections.max_large_bodies,
        head_seconds=connections.head_seconds,
        body_seconds=limits.body_timeout_seconds,
        idle_seconds=connections.idle_seconds,
        stall_seconds=connections.stall_seconds,
        request_seconds=limits.request_timeout_seconds,
        max_body_bytes=limits.max_body_bytes,
        max_upload_bytes=settings.documents.max_upload_bytes,
        cors_origins=OPEN_APIS
        if settings.cors_origins is None
        else " ".join(settings.cors_origins),
    )


def with_default_resources(settings: Settings) -> Settings:
    """Divides this machine's CPUs and GPUs among the replicas, where the settings do not.

    CPUs as threads: Ray reserves none, so that there is a place for models that are added.

    Raises:
        LaunchError: the settings require a CUDA device, and there is none.
    """
    import ray

    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus = resources["CPU"]
    gpus = resources.get("GPU", 0.0) if may_use_cuda(settings.engine.to_config()) else 0.0
    if settings.engine.device == "cuda" and not gpus:
        raise LaunchError("`--device` is cuda, but this machine has no CUDA device")
    scaling = settings.autoscaling
    replicas_per_model = settings.replicas if scaling is None else scaling.max_replicas
    replicas = sum(_most_replicas(record, settings) for record in model_records(settings))
    defaults: dict[str, Any] = {
        "num_cpus_per_replica": 0.0,
        # Ray takes a share from a single GPU, so the fullest GPU counts.
        "num_gpus_per_replica": _share(1.0, math.ceil(replicas / gpus)) if gpus else 0.0,
        "num_cpus_per_gateway": 0.0,
        "graceful_shutdown_seconds": DRAIN_SECONDS,
    }
    given = settings.model_fields_set
    update = {name: value for name, value in defaults.items() if name not in given}
    if settings.engine.num_threads is None and "num_cpus_per_replica" not in given:
        # Replicas of one model share the CPUs. Of several models, often only one is busy.
        threads = max(1, int(cpus / replicas_per_model))
        update["engine"] = settings.engine.model_copy(update={"num_threads": threads})
    return settings.model_copy(update=update)


def _most_replicas(record: ModelRecord, settings: Settings) -> int:
    scaling = own_autoscaling(record, settings)
    return record.replicas or settings.replicas if scaling is None else scaling.max_replicas


def with_default_limits(settings: Settings) -> Settings:
    """Sets `max_in_flight` by CPUs and open files, where it is not set and there is no GPU."""
    has_gpu = settings.engine.device == "cuda" or Path("/dev/nvidiactl").exists()
    uses_gpu = has_gpu and may_use_cuda(settings.engine.to_config())
    if uses_gpu or "max_in_flight" in settings.limits.model_fields_set:
        return settings
    most = IN_FLIGHT_PER_CPU * granted_cpus() // settings.gateway_replicas
    most = min(most, (raise_open_files() - OTHER_FILES) // _FILES_PER_REQUEST)
    limits = settings.limits.model_copy(update={"max_in_flight": max(LEAST_IN_FLIGHT, most)})
    return settings.model_copy(update={"limits": limits})


def with_compiled_engine(settings: Settings) -> tuple[Settings, str | None]:
    """Compiles the engine before replicas do.

    Returns:
        The settings, with plain PyTorch as the backend if need be; and the reason for that.

    Raises:
        NativeBuildError: as `compile_ahead` does.
    """
    compiled, note = compile_ahead(
        settings.engine.to_config(),
        notify=lambda line: print(f"{line[0].upper()}{line[1:]}", flush=True),
    )
    if note is None:
        return settings, None
    engine = settings.engine.model_copy(update={"backend": compiled.backend})
    return settings.model_copy(update={"engine": engine}), note


def _share(amount: float, count: int) -> float:
    return math.floor(amount / count * 1000) / 1000  # rounded down to Ray's precision


def _start(settings: Settings, address: Address, times: StartTimes) -> tuple[CatalogEntry, ...]:
    """Starts the gateways, and each model that does not share replicas, as applications."""
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve._private import client
    from ray.serve.schema import LoggingConfig

    from service.app import gateways
    from service.hosting.deployments import model_application
    from service.hosting.store import CatalogStore

    # It would look once a second whether the application runs, or has ended.
    client.CLIENT_POLLING_INTERVAL_S = _LOOK_SECONDS  # type: ignore[attr-defined]
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
    # HAProxy alone listens on the address itself.
    options = {"host": "127.0.0.1", "port": address.port}
    try:
        serve.start(http_options=options, logging_config=quiet)
        times.end("Serve and its proxy")
        entries = catalog_of(settings)
        # All at once: no gateway has to have models deployed that are not there.
        CatalogStore(APPLICATION).begin(settings, entries)
        targets = [serve.RunTarget(gateways(settings, entries), APPLICATION, "/")]
        for entry in entries:
            if not entry.shared:
                application = model_application(settings, entry, hub=APPLICATION)
                targets.append(serve.RunTarget(application, entry.application(APPLICATION), None))
        serve.run_many(targets)
        times.end("gateways and models")
    except (RuntimeError, ValueError, RayError) as error:  # ValueError: a name that Serve refuses
        raise LaunchError(f"the service did not start: {_reason(str(error))}") from None
    return entries


def _reason(error: str) -> str:
    """The root cause of a failed start: a replica's message, else that of `error`."""
    from ray import serve

    from service.hosting.applications import root_cause

    with suppress(Exception):
        for application in serve.status().applications.values():
            for deployment in application.deployments.values():
                if deployment.message:
                    return root_cause(deployment.message)
    return root_cause(error)


def _stop_serve(drain_seconds: float) -> None:
    """Drains the gateways, for at most `drain_seconds`, and ends the application."""

    def stop() -> None:
        from ray import serve

        from service.app import GATEWAY

        # Errors do not matter: Ray ends next. Gateways drain first, since Serve would end all
        # deployments at once, translators that a gateway still needs among them.
        if drain_seconds:
            with suppress(Exception):
                gateways = serve.get_deployment_handle(GATEWAY, APPLICATION)
                gateways.broadcast("drain").results(timeout_s=drain_seconds)
        with suppress(Exception):
            serve.delete(APPLICATION)

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    stopping.join(drain_seconds + _SERVE_STOP_SECONDS)


def _wait_until_ready(address: Address) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=10)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(_LOOK_SECONDS)
    raise LaunchError(f"the service was not ready within {READY_SECONDS:.0f} s")


def page_url(address: Address, settings: Settings) -> str:
    """What people open: the page, or the API's where there is none."""
    return address.url if settings.web_page else f"{address.url}/docs"


def print_banner(
    address: Address,
    entries: Sequence[CatalogEntry],
    settings: Settings,
    times: StartTimes,
    note: str | None,
) -> None:
    """Says that the service is ready, what it has, how it is asked; at "debug", what took time."""
    reach = "all who can reach this machine" if address.public else "this machine only"
    print(f"Polyhead is ready after {times.seconds:.1f} s")
    if settings.log_level == "debug":
        for line in times.lines():
            print(f"  start    {line}")
    print(f"  {'page' if settings.web_page else 'address':<8} {address.url}   for {reach}")
    print(f"  API      {address.url}/docs")
    for entry in entries[:_MOST_LISTED]:
        info = entry.info
        size = f"{info.num_parameters / 1e6:.0f} M parameters"
        print(f"  model    {info.name}: {info.languages} ({size})")
        print(f"  device   {info.device}, {info.dtype}, {_replicas(settings, entry)}")
    if (more := len(entries) - _MOST_LISTED) > 0:
        print(f"  models   {more} more; {address.url}/v1/models lists them")
    if note is not None:
        print(f"  note     {note}")
    if address.public and settings.access.keys == "off":
        print(f"  WARNING  {_OPEN}")
    source, target = entries[0].info.languages.pairs[0]
    body = json.dumps({"text": "Good morning!", "source": source, "target": target})
    key = " -H 'Authorization: Bearer KEY'" if settings.access.keys == "required" else ""
    print("Try it:")
    print(
        f"  curl {address.url}/v1/translate{key} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)}"
    )
    print("Ctrl-C ends it.", flush=True)


def _replicas(settings: Settings, entry: CatalogEntry) -> str:
    if settings.single_process:
        return "in this process"
    if entry.shared:
        scaling = settings.shared_autoscaling
        if scaling is None:
            return f"{_counted(settings.shared_replicas)}, shared"
        return f"{scaling.min_replicas} to {scaling.max_replicas} replicas, shared"
    if (scaling := entry.autoscaling(settings)) is not None:
        return f"{scaling.min_replicas} to {scaling.max_replicas} replicas"
    return _counted(entry.num_replicas(settings))


def _counted(replicas: int) -> str:
    return "1 replica" if replicas == 1 else f"{replicas} replicas"
