"""What `polyhead serve` listens on is what deploy/SECURITY.md says, no more and no less."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from pathlib import Path

import grpc
import psutil

from tests.integration.service_process import ROOT, ServiceProcess, listening, title_of, wait_for

_LOOPBACK = "loopback"
_EVERYWHERE = "every interface"
_CALLS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.CoreWorkerService/KillActor",
)
"""What reveals or changes something."""


def _documented() -> set[tuple[str, str]]:
    """(process, where it listens) of each row of the page's first table."""
    page = (ROOT / "deploy/SECURITY.md").read_text(encoding="utf-8")
    section = page.partition("\n## On one machine")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| `?([^|`]+)`? \|", section, flags=re.MULTILINE)
    # The service of these tests was started without --host.
    return {(process, where.replace("--host", _LOOPBACK)) for process, where in rows}


def _name(pid: int, service: ServiceProcess) -> str:
    if pid == service.process.pid:
        return "polyhead serve"
    title = title_of(pid)
    if title.startswith("ray::"):
        return re.match(r"ray::\w+", title)[0]  # type: ignore[index]
    process = psutil.Process(pid)
    scripts = [Path(word).name for word in process.cmdline() if word.endswith(".py")]
    return scripts[0] if scripts else str(process.name())


def _found(service: ServiceProcess) -> set[tuple[str, str]]:
    found = set()
    for pid in [service.process.pid, *service.pids()]:
        # One that another test ended may be gone by now.
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {(_name(pid, service), _reach(address)) for address, _ in listening(pid)}
    return found


def _reach(address: str) -> str:
    # The kernel shows 127.0.0.1 on a socket of both families as ::ffff:127.0.0.1.
    ip = ipaddress.ip_address(address.removeprefix("::ffff:"))
    if ip.is_loopback:
        return _LOOPBACK
    return _EVERYWHERE if ip.is_unspecified else str(ip)


def _elsewhere(sockets: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(process, where) for process, where in sockets if where != _LOOPBACK}


def _reached_without_token(port: int) -> set[str]:
    """What one of Ray's calls ends with, at a port where a gRPC server may listen."""
    codes = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in _CALLS:
            call = channel.unary_unary(method)
            try:
                call(b"", timeout=30)
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)
    return codes


def test_without_the_token_no_port_answers_a_call_of_ray(whole_service: ServiceProcess) -> None:
    reached = set()
    for pid in [whole_service.process.pid, *whole_service.pids()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            for _, port in listening(pid):
                codes = _reached_without_token(port)
                # No such service here, or HTTP/1 only, or a process that has just ended.
                assert codes <= {"UNAUTHENTICATED", "UNIMPLEMENTED", "UNAVAILABLE"}, (pid, codes)
                reached |= codes
    assert "UNAUTHENTICATED" in reached


def test_listens_where_the_page_says(whole_service: ServiceProcess) -> None:
    documented = _documented()
    assert ("haproxy", _LOOPBACK) in documented
    assert _elsewhere(documented) == {("ray::ServeReplica", _EVERYWHERE)}
    assert _elsewhere(_found(whole_service)) == _elsewhere(documented)
    # Which of Ray's helpers run, and which of them listens, differs from start to start; and one
    # that is about to become a replica, or to end, is called something else.
    wait_for(lambda: _found(whole_service) <= documented)
    assert ("haproxy", _LOOPBACK) in _found(whole_service)
