"""What processes do not load: the gateway no tensor library and no Ray, a replica no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOADED = "import sys, {module}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
REPLICA = """
import asyncio, sys
from model.config import EngineConfig
from service.protocol import HostedModel, TranslateCall
from service.hosting.replica import TranslatorReplica

async def main():
    hosted = HostedModel(key="en-de@1", id="en-de", directory="en-de")
    replica = TranslatorReplica((hosted,), EngineConfig(backend="native", num_threads=2))
    call = TranslateCall(
        request_id="r", model=hosted, texts=("Good morning!",), source="en", target="de"
    )
    reply = await replica.translate(call)
    await replica.info(hosted)
    replica.close()
    print(reply.translations[0].text, "torch" in sys.modules)

asyncio.run(main())
"""
TRANSLATE = """
import atexit, sys
sys.argv = ["polyhead", "translate", "--device", "cpu", "Good morning!"]
atexit.register(lambda: print("torch" in sys.modules))
from service.cli import main
main()
"""


def run(program: str) -> str:
    """What a program says that this Python runs."""
    command = [sys.executable, "-c", program]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    "module", ["service.gateway.application", "service.settings", "service.protocol"]
)
def test_neither_torch_nor_ray_is_loaded(module: str) -> None:
    loaded = set(run(LOADED.format(module=module)).split())
    assert "service" in loaded
    assert loaded & {"torch", "ray", "numpy", "sentencepiece", "lxml", "sqlalchemy"} == set()


def test_what_serves_loads_no_torch() -> None:
    """Gateways import the application, the command its launcher."""
    loaded = set(run(LOADED.format(module="service.app, service.launcher.launch")).split())
    assert {"ray", "service"} <= loaded
    assert "torch" not in loaded


def test_a_replica_with_the_compiled_engine_translates_without_torch() -> None:
    assert run(REPLICA).split() == ["Guten", "Morgen!", "False"]


def test_the_command_translates_without_torch() -> None:
    assert run(TRANSLATE).split() == ["Guten", "Morgen!", "False"]
