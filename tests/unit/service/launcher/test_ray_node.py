"""Ray's node without the processes that a service on one machine does not use."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from ray._private import services

from service.launcher import fork_client
from service.launcher.ray_node import with_fork_server, without_agents


def test_a_raylet_gets_sleepers_for_agents() -> None:
    command = [
        "/ray/raylet",
        "--dashboard_agent_command=python agent.py --a=b\n--c",
        "--runtime_env_agent_command=python main.py",
        "--head",
    ]
    assert without_agents(command, Path("/private/sleep")) == [
        "/ray/raylet",
        "--dashboard_agent_command=/private/sleep",
        "--runtime_env_agent_command=/private/sleep",
        "--head",
    ]


def test_ray_names_its_agents_as_expected() -> None:
    source = inspect.getsource(services.start_raylet)
    assert source.count('"--dashboard_agent_command={}"') == 1
    assert source.count('"--runtime_env_agent_command={}"') == 1


def test_a_raylets_workers_come_from_the_fork_server() -> None:
    command = ["/ray/raylet", "--python_worker_command=/bin/python setup.py a b", "--head"]
    client = f"{sys.executable} -I -S {fork_client.__file__} /private/workers"
    assert with_fork_server(command, Path("/private/workers")) == [
        "/ray/raylet",
        f"--python_worker_command={client} /bin/python setup.py a b",
        "--head",
    ]


def test_ray_names_its_worker_command_as_expected() -> None:
    source = inspect.getsource(services.start_raylet)
    assert source.count('"--python_worker_command={subprocess.list2cmdline(') == 1
