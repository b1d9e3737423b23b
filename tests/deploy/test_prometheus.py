"""The real promtool and the real Prometheus: rules, alerts and the dashboard, on a running service.

A query that names a metric, a label or a bucket that is not there is no error in Prometheus; it has
no data. So every query must have some while the service runs, sends errors and all.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.launcher.ports import free_port
from tests.deploy.conftest import Tools
from tests.integration.service_process import ROOT, ServiceProcess, wait_for

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARD = ROOT / "deploy/grafana/polyhead.json"
RULE_FILES = ("slo.rules.yaml", "alerts.rules.yaml")
_VARIABLES = {"$__rate_interval": "1m", "$model": ".*"}
_COMPARISON = re.compile(r"(?<=\s)(==|!=|>=|<=|>|<)(?=\s)")


def test_promtool_accepts_the_configuration(tools: Tools) -> None:
    _run(tools["promtool"], "check", "config", "prometheus.yml")


def test_promtool_accepts_the_rules(tools: Tools) -> None:
    _run(tools["promtool"], "check", "rules", "--lint-fatal", *RULE_FILES)


def test_alerts_come_when_they_should(tools: Tools) -> None:
    _run(tools["promtool"], "test", "rules", "alerts.test.yaml")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The service as `make serve` starts it, with autoscaling, and somebody who uses it."""
    started = ServiceProcess(
        tmp_path_factory.mktemp("service"),
        POLYHEAD_AUTOSCALING='{"min_replicas": 1, "max_replicas": 2}',
    )
    left = threading.Event()
    user = threading.Thread(target=_use, args=(started, left))
    try:
        started.wait_until_ready()
        user.start()
        yield started
    finally:
        left.set()
        if user.ident is not None:
            user.join()
        started.close()


@pytest.fixture(scope="module")
def prometheus(
    service: ServiceProcess, tools: Tools, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A server with our configuration, but for where the service is and how often it is asked."""
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                tools["prometheus"],
                f"--config.file={_configuration(folder, service)}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False, verify=False
    ) as client:
        try:
            wait_for(lambda: server.poll() is not None or _is_ready(client))
            assert server.poll() is None, (folder / "log").read_text()[-2000:]
            yield client
        finally:
            server.terminate()
            server.wait(timeout=30)


def test_all_targets_are_scraped(prometheus: httpx.Client) -> None:
    def health() -> dict[str, str]:
        targets = _api(prometheus, "targets")["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}

    wait_for(lambda: health() == {"polyhead": "up", "haproxy": "up", "ray": "up"})


def test_every_rule_is_evaluated(prometheus: httpx.Client) -> None:
    def health() -> set[str]:
        groups = _api(prometheus, "rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_for(lambda: "unknown" not in health())
    assert health() == {"ok"}


def test_every_query_returns_data(prometheus: httpx.Client) -> None:
    queries = {**_queries_of_rules(), **_queries_of_the_dashboard()}
    assert len(queries) > 90
    empty = dict(queries)

    def all_have_data() -> bool:
        for name, query in list(empty.items()):
            if _has_data(_api(prometheus, "query", query=query)["result"]):
                del empty[name]
        return not empty

    with contextlib.suppress(TimeoutError):
        wait_for(all_have_data, seconds=200)
    assert empty == {}


def _queries_of_rules() -> dict[str, str]:
    """Expressions of alerts, with comparisons that answer 0 or 1 where they would be left out."""
    queries = {}
    for file in RULE_FILES:
        for group in yaml.safe_load((PROMETHEUS / file).read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or f"{rule['record']} {rule.get('labels', '')}"
                query = rule["expr"]
                queries[name] = _COMPARISON.sub(r"\1 bool", query) if "alert" in rule else query
    return queries


def _queries_of_the_dashboard() -> dict[str, str]:
    queries = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for variable, value in _VARIABLES.items():
                query = query.replace(variable, value)
            queries[f"{panel['title']} {target['refId']}"] = query
    return queries


def _has_data(result: list[dict[str, Any]]) -> bool:
    return any(not math.isnan(float(sample["value"][1])) for sample in result)


def _api(client: httpx.Client, path: str, **parameters: str) -> Any:
    answer = client.get(f"/api/v1/{path}", params=parameters).json()
    assert answer["status"] == "success", (parameters, answer)
    return answer["data"]


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def _configuration(folder: Path, service: ServiceProcess) -> Path:
    nodes = folder / "nodes.json"
    nodes.write_text(json.dumps([{"targets": [f"127.0.0.1:{_ray_metrics_port(service)}"]}]))
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        if "static_configs" in job:
            [static] = job["static_configs"]
            assert static["targets"] == ["polyhead:8000"]
            static["targets"] = [f"127.0.0.1:{service.port}"]
        else:
            [discovery] = job["file_sd_configs"]
            discovery["files"] = [str(nodes)]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def _ray_metrics_port(service: ServiceProcess) -> int:
    """Where the agent of Ray's only node exports; it leaves the number in its session's folder."""
    for pid in service.pids("--session-dir="):
        for argument in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            if argument.startswith("--session-dir="):
                session = Path(argument.partition("=")[2])
                for file in session.glob("metrics_export_port_*"):
                    return int(file.read_text())
    raise LookupError("no session of Ray has a metrics_export_port")


def _use(service: ServiceProcess, left: threading.Event) -> None:
    """A client of all kinds of requests, until it has `left`; what is answered does not matter."""
    pair = {"source": "en", "target": "de"}
    bodies: tuple[tuple[str, dict[str, Any], dict[str, str]], ...] = (
        ("/v1/translate", {"text": "Two children play in the garden.", **pair}, {}),
        ("/v1/translate", {"texts": ["Good morning! It rains.", "Bread?"], **pair}, {}),
        ("/v1/translate", {"text": "Wait!", **pair, "generation": {"max_new_tokens": 1}}, {}),
        ("/v1/translate", {"text": "Hello!", "source": "en", "target": "xx"}, {}),
        ("/v1/translate", {"text": "Late.", **pair}, {"x-request-timeout-seconds": "0.000001"}),
        ("/translate", {"q": "The train is late.", **pair}, {}),
        ("/nothing", {}, {}),
    )
    with httpx.Client(base_url=service.url, timeout=60, trust_env=False, verify=False) as client:
        while not left.wait(0.05):
            for path, body, headers in bodies:
                with contextlib.suppress(httpx.HTTPError):
                    client.post(path, json=body, headers=headers)


def _run(*command: str) -> None:
    ran = subprocess.run(
        command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
