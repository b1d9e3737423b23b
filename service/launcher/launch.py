"""`polyhead serve`: Ray, Serve and the application on this machine, from start to end."""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import math
import os
import re
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from model.checkpoints.checkpoint import read_manifest, verify_checksums
from model.checkpoints.embedded import EMBEDDED, model_directory
from service.launcher.compilation import compile_ahead
from service.launcher.local_ray import LaunchError, local_ray, wait_for_ray_exit

if TYPE_CHECKING:
    from service.protocol import ModelInfo
    from service.settings import Settings

__all__ = [
    "Address",
    "check_address",
    "check_models",
    "reserved",
    "run",
    "with_compiled_engine",
    "with_default_limits",
    "with_default_resources",
]

APPLICATION = "polyhead"
READY_SECONDS = 180.0
"""A large model on a slow disk takes a while; after that something is wrong."""
DRAIN_SECONDS = 3.0
"""Time that requests in work have to finish after Ctrl-C, unless it is set."""
_IN_FLIGHT_PER_CPU = 64
"""Twice what keeps the batch full. An embedded model answers the last of them in half a second;
with more, everybody would only wait longer."""
_LEAST_IN_FLIGHT = 16
_SERVE_STOP_SECONDS = 3.0
"""Time that Serve has for its own end, after that."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _StopRequested(BaseException):
    """A signal asked for the end. Not an Exception, so that nothing on the way keeps it."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the service listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """What to type on this machine."""
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"http://{host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host that a client on this machine connects to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def public(self) -> bool:
        """Whether other machines may reach it."""
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


def run(settings: Settings, address: Address) -> None:
    """Serves until SIGINT, SIGTERM or SIGHUP, then ends all it started, within ten seconds; with
    `graceful_shutdown_seconds` set, requests in work may take that long before.

    Raises:
        CheckpointError: a model directory is missing or damaged; nothing was started.
        LaunchError: the address cannot be listened on, two models have one name, or the gateways
            find no place, and nothing was started; or Ray or a replica did not start; or Ray died.
        NativeBuildError: the engine cannot be compiled here, and nothing else may take its place;
            nothing was started.
    """
    started_at = time.monotonic()
    check_models(settings)
    check_gateways(settings)
    check_address(address)
    # Ray sets a handler of its own for SIGTERM while it starts, which ends in SystemExit.
    with reserved(address), suppress(_StopRequested, SystemExit), _stop_by_signal():
        settings, note = with_compiled_engine(with_default_limits(settings))
        with local_ray(host=address.host, max_in_flight=settings.limits.max_in_flight):
            _set_handlers(_raise_stopped)
            drain_seconds = 0.0
            lost = False
            try:
                settings = with_default_resources(settings)
                infos = _start(settings, address)
                _wait_until_ready(address)
                drain_seconds = settings.graceful_shutdown_seconds
                _print_banner(address, infos, settings, time.monotonic() - started_at, note)
                wait_for_ray_exit()
                lost = True
                raise LaunchError("Ray has died, and with it the service")
            finally:
                # From here on, impatience changes nothing.
                _set_handlers(signal.SIG_IGN)
                # Of a Ray that has died nobody answers, and who asks it while it is shut down ends
                # this process on the spot.
                if not lost:
                    _stop_serve(drain_seconds)


def check_models(settings: Settings) -> None:
    """CheckpointError unless every model directory is whole; LaunchError for two of one name."""
    names = set()
    for directory in map(model_directory, settings.models or EMBEDDED):
        read_manifest(directory)
        verify_checksums(directory)
        if (name := directory.resolve().name) in names:
            raise LaunchError(
                f"`--model` must be directories of different names, but two are called {name!r}"
            )
        names.add(name)


def check_gateways(settings: Settings) -> None:
    """LaunchError for more gateways than may be on the one node that there is."""
    most = settings.gateways_per_node
    if most is not None and settings.gateway_replicas > most:
        raise LaunchError(
            f"`gateway_replicas` must be at most `gateways_per_node`, {most}, on one machine, but "
            f"is {settings.gateway_replicas}"
        )


def check_address(address: Address) -> None:
    """LaunchError unless the address can be listened on."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            # As servers bind: connections that only wait for their end do not hold a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen()
    except (socket.gaierror, UnicodeError):  # the latter for what can be no name at all: "a..b"
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
    """Keeps a second service away from the address, from before this one listens there.

    Serve's proxies share a port with each other (SO_REUSEPORT): of two services that start at the
    same time, each would get some of the requests.

    Raises:
        LaunchError: another one of this user has the address.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        try:
            # A name without a file, which the kernel forgets when this process ends.
            claim.bind(f"\0polyhead {os.getuid()} {address.host[:64]} {address.port}")
        except OSError:
            raise LaunchError(
                f"cannot listen on {address.host} port {address.port}: another polyhead is about "
                "to; choose another one with --port or --host"
            ) from None
        yield


def with_default_resources(settings: Settings) -> Settings:
    """Shares this machine's CPUs and GPUs among the replicas; what was set explicitly stays.

    Raises:
        LaunchError: a CUDA device is asked for, and there is none.
    """
    import ray

    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    given = settings.model_fields_set
    of_a_model = (
        settings.replicas if settings.autoscaling is None else settings.autoscaling.max_replicas
    )
    replicas = of_a_model * len(settings.models or EMBEDDED)
    gpus = resources.get("GPU", 0.0)
    if settings.engine.device == "cuda" and not gpus:
        raise LaunchError("`--device` is cuda, but this machine has no CUDA device")
    fitted: dict[str, Any] = {
        "num_cpus_per_replica": _share(resources["CPU"], replicas),
        "num_gpus_per_replica": 0.0
        if settings.engine.device == "cpu"
        else _share_of_gpu(gpus, replicas),
        "num_cpus_per_gateway": 0.0,
        "graceful_shutdown_seconds": DRAIN_SECONDS,
    }
    if settings.engine.num_threads is None and "num_cpus_per_replica" not in given:
        # Replicas of one model share the CPUs. Of several models often one alone has work to do.
        threads = max(1, int(resources["CPU"] / of_a_model))
        fitted["engine"] = settings.engine.model_copy(update={"num_threads": threads})
    free = {name: value for name, value in fitted.items() if name == "engine" or name not in given}
    return settings.model_copy(update=free)


def with_default_limits(settings: Settings) -> Settings:
    """Lets no more requests in than the CPUs answer soon; what was set explicitly stays.

    A GPU wants hundreds of them at a time, as the settings have it.
    """
    wants_gpu = settings.engine.device == "cuda" or (
        settings.engine.device == "auto" and Path("/dev/nvidiactl").exists()
    )
    if wants_gpu or "max_in_flight" in settings.limits.model_fields_set:
        return settings
    most = _IN_FLIGHT_PER_CPU * len(os.sched_getaffinity(0)) // settings.gateway_replicas
    limits = settings.limits.model_copy(update={"max_in_flight": max(_LEAST_IN_FLIGHT, most)})
    return settings.model_copy(update={"limits": limits})


def with_compiled_engine(settings: Settings) -> tuple[Settings, str | None]:
    """Has the engine compiled before replicas ask for it.

    Returns:
        The settings, on plain PyTorch if it must do; and then the reason, which replicas that are
        told what to take do not repeat.

    Raises:
        NativeBuildError: as `compile_ahead` does.
    """
    compiled, note = compile_ahead(settings.engine.to_config(), say=_print_at_once)
    if note is None:
        return settings, None
    engine = settings.engine.model_copy(update={"backend": compiled.backend})
    return settings.model_copy(update={"engine": engine}), note


def _print_at_once(line: str) -> None:
    print(f"{line[0].upper()}{line[1:]}", flush=True)


def _share(amount: float, count: int) -> float:
    # Rounded down to what Ray can count, so that all shares together fit.
    return math.floor(amount / count * 1000) / 1000


def _share_of_gpu(gpus: float, count: int) -> float:
    # Ray takes a share from a single GPU: what counts is how many there are on the fullest.
    return _share(1.0, math.ceil(count / gpus)) if gpus else 0.0


def _start(settings: Settings, address: Address) -> list[ModelInfo]:
    from ray import serve
    from ray.serve.schema import LoggingConfig

    from service.app import build, model_directories, translator_name

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = LoggingConfig(enable_access_log=False, log_level="WARNING")
    # The front alone listens on the address itself; what it talks to stays on the machine.
    options = {"host": "127.0.0.1", "port": address.port}
    try:
        serve.start(http_options=options, logging_config=quiet)
        serve.run(build(settings), name=APPLICATION, route_prefix="/")
    except (RuntimeError, ValueError) as error:  # the latter of names that Serve does not take
        raise LaunchError(f"the service did not start: {_reason(str(error))}") from None
    handles = [
        serve.get_deployment_handle(translator_name(directory), APPLICATION)
        for directory in model_directories(settings)
    ]
    return [handle.info.remote().result(timeout_s=READY_SECONDS) for handle in handles]


def _reason(error: str) -> str:
    """What a replica said when it could not start; `error` where none said anything."""
    from ray import serve

    with suppress(Exception):
        for deployment in serve.status().applications[APPLICATION].deployments.values():
            if deployment.message:
                return _root_cause(deployment.message)
    return _root_cause(error)


def _stop_serve(drain_seconds: float) -> None:
    """Lets requests in work finish, but not for ever; new ones are answered 503 meanwhile."""

    def stop() -> None:
        from ray import serve

        from service.app import GATEWAY

        # Whatever they say, Ray is ended next, and Serve's own actors with it. Gateways come first:
        # Serve ends all deployments at once, also translators that a gateway is about to ask.
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
        with suppress(OSError, http.client.HTTPException):
            if _get(address, "/ready") == 200:
                return
        time.sleep(0.1)
    raise LaunchError(f"the service was not ready within {READY_SECONDS:.0f} s")


def _get(address: Address, path: str) -> int:
    connection = http.client.HTTPConnection(address.reachable_host, address.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _print_banner(
    address: Address, infos: list[ModelInfo], settings: Settings, seconds: float, note: str | None
) -> None:
    reach = "all who can reach this machine" if address.public else "this machine only"
    print(f"Polyhead is ready after {seconds:.1f} s")
    print(f"  address  {address.url}   for {reach}; {address.url}/docs describes it")
    for info in infos:
        pairs = ", ".join(f"{source} to {target}" for source, target in info.pairs)
        print(f"  model    {info.name}: {pairs} ({info.num_parameters / 1e6:.0f} M parameters)")
        print(f"  device   {info.device}, {info.dtype}, {_replicas(settings)}")
    if note is not None:
        print(f"  note     {note}")
    source, target = infos[0].pairs[0]
    body = json.dumps({"text": "Good morning!", "source": source, "target": target})
    print("Try it:")
    print(
        f"  curl {address.url}/v1/translate -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)}"
    )
    print("Ctrl-C ends it.", flush=True)


def _replicas(settings: Settings) -> str:
    if settings.autoscaling is not None:
        most = settings.autoscaling.max_replicas
        return f"{settings.autoscaling.min_replicas} to {most} replicas"
    return "1 replica" if settings.replicas == 1 else f"{settings.replicas} replicas"


def _root_cause(error: str) -> str:
    """The line of a traceback that says what was wrong."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", error)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    # Without the class, when it is one of ours: the message is made for people.
    return re.sub(r"^model\.errors\.\w+: ", "", lines[-1]) if lines else "it did not say why"


@contextmanager
def _stop_by_signal() -> Iterator[None]:
    before = [signal.getsignal(number) for number in _STOP_SIGNALS]
    _set_handlers(_raise_stopped)
    try:
        yield
    finally:
        for number, handler in zip(_STOP_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _set_handlers(handler: Any) -> None:
    for number in _STOP_SIGNALS:
        # A hang-up that is ignored, as under nohup, stays ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    # One is enough: a second one must not interrupt the end.
    _set_handlers(signal.SIG_IGN)
    raise _StopRequested
