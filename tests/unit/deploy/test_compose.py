"""The compose file: who may be reached from where, and that what it mounts is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.fixture
def services() -> dict[str, Any]:
    """By name."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = compose["services"]
    return found


def test_ports_are_published_to_this_machine_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service["ports"]]
    assert sorted(published) == [
        "127.0.0.1:3000:3000", "127.0.0.1:8000:8000", "127.0.0.1:9090:9090",
    ]  # fmt: skip


def test_everybody_is_confined(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_what_is_mounted_is_there(services: dict[str, Any]) -> None:
    mounts = [
        volume.split(":")
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert len(mounts) == 3
    for source, _, mode in mounts:
        assert mode == "ro"
        assert (DEPLOY / source).exists()


def test_prometheus_and_grafana_find_what_they_read(services: dict[str, Any]) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    scraped = {
        target
        for job in config["scrape_configs"]
        for static in job.get("static_configs", [])
        for target in static["targets"]
    }
    assert scraped == {"polyhead:8000"}
    assert "polyhead" in services
    sources = DEPLOY / "grafana/provisioning/datasources/prometheus.yaml"
    [source] = yaml.safe_load(sources.read_text(encoding="utf-8"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    boards = DEPLOY / "grafana/provisioning/dashboards/polyhead.yaml"
    [provider] = yaml.safe_load(boards.read_text(encoding="utf-8"))["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/polyhead.json" in mounted
