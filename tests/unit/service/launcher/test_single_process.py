"""What `polyhead serve --single-process` finds out before it starts; the rest is in integration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from model.errors import PolyheadError
from service.launcher import single_process
from service.launcher.launch import Address
from service.launcher.local_ray import LaunchError
from service.launcher.ports import free_port
from service.launcher.single_process import check_settings, connection_limits, with_defaults
from service.settings import Settings
from tests.fakes import catalog_entry


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"replicas": 2}, "`replicas` must be 1 in a single process, but is 2"),
        ({"gateway_replicas": 3}, "`gateway_replicas` must be 1 in a single process, but is 3"),
        ({"shared_replicas": 2}, "`shared_replicas` must be 1"),
        ({"autoscaling": {}}, "`autoscaling` must not be given in a single process"),
        ({"shared_autoscaling": {}}, "`shared_autoscaling` must not be given"),
        ({"engine": {"device": "cuda"}}, "`--device` must be auto or cpu .* but is cuda"),
    ],
)
def test_what_takes_more_than_one_process(given: dict[str, Any], problem: str) -> None:
    check_settings(Settings())
    with pytest.raises(LaunchError, match=problem):
        check_settings(Settings.model_validate(given))


def test_defaults_go_by_the_machine_and_what_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_process, "granted_cpus", lambda: 4)
    settings = with_defaults(Settings())
    assert (settings.engine.device, settings.engine.num_threads) == ("cpu", 4)
    assert (settings.limits.max_in_flight, settings.graceful_shutdown_seconds) == (512, 3.0)
    given = {
        "engine": {"num_threads": 2}, "limits": {"max_in_flight": 7},
        "graceful_shutdown_seconds": 60,
    }  # fmt: skip
    settings = with_defaults(Settings.model_validate(given))
    assert (settings.engine.num_threads, settings.limits.max_in_flight) == (2, 7)
    assert settings.graceful_shutdown_seconds == 60


def test_connections_have_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_process, "raise_open_files", lambda: 1024)
    limits = connection_limits(Settings())
    assert (limits.most, limits.most_per_address) == (896, 672)
    assert limits.max_body_bytes == Settings().documents.max_upload_bytes
    given = {"connections": {"max_connections": 100, "max_per_address": 7}}
    limits = connection_limits(Settings.model_validate(given))
    assert (limits.most, limits.most_per_address) == (100, 7)
    monkeypatch.setattr(single_process, "raise_open_files", lambda: 140)
    with pytest.raises(LaunchError, match="open files must be at least 144, but is 140; raise it"):
        connection_limits(Settings())


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_process, "memory_limit", lambda: 160 * 2**20)
    entries = (
        catalog_entry("a", shared=True),
        replace(catalog_entry("b", shared=True), loaded_bytes=20 * 2**20),
    )
    single_process._check_memory(entries[:1])
    with pytest.raises(LaunchError, match="at least 170 MiB, 20 of them for the largest model"):
        single_process._check_memory(entries)


def test_a_store_with_keys_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_process, "check_models", lambda settings: ())
    monkeypatch.setattr(single_process, "_serve", lambda *_: pytest.fail("it was started"))
    settings = Settings(access={"keys": "required"}, store_url="mysql://host/name")
    with pytest.raises(LaunchError, match="API keys cannot be looked up: `store_url` must be as"):
        single_process.run(settings, Address(host="127.0.0.1", port=free_port()))


def test_what_keeps_it_from_starting_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    error = PolyheadError("`access.limiter_url` must be as redis://host:6379/0")
    monkeypatch.setattr(single_process, "SingleProcess", Mock(side_effect=error))
    monkeypatch.setattr(single_process, "listening_socket", Mock())
    server = single_process._ServerThread(Settings(), (), Address(host="127.0.0.1", port=0))
    with pytest.raises(LaunchError, match=r"has ended: .* must be as redis"):
        server.wait_until_ready()


def test_who_wants_traces_is_told_that_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert single_process._note() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert "sends no traces" in (single_process._note() or "")
