"""`import polyhead`: what a program needs, and that alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polyhead
from model import errors
from tests.tiny_model import build_tiny_model


def test_every_error_is_there() -> None:
    ours = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.PolyheadError)
    }
    # Nobody trains with it, nor serves many models.
    assert ours - {"RecipeError", "ModelNotLoadedError"} <= set(polyhead.__all__)


def test_a_program_translates_with_it(tmp_path: Path) -> None:
    build_tiny_model(tmp_path / "tiny")
    engine = polyhead.EngineConfig(device="cpu", backend="eager", num_threads=1)
    with polyhead.Translator.load(tmp_path / "tiny", engine) as translator:
        [translation] = translator.translate(
            ["The red house."], generation=polyhead.GenerationConfig(max_new_tokens=3)
        )
    assert isinstance(translation, polyhead.Translation)
    assert translation.finish_reason in polyhead.FinishReason


def test_it_is_installed_beside_the_packages(tmp_path: Path) -> None:
    # In another folder, nothing of the checkout is found by chance.
    ran = subprocess.run(
        [sys.executable, "-P", "-c", "import polyhead, sys; print('torch' in sys.modules)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # Torch takes a second to import, and only who loads a model needs it.
    assert ran.stdout.strip() == "False"
