"""The engine is compiled before anybody waits for it, or it is said why not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from model.config import EngineConfig
from model.engine.backends import chosen_backend
from model.engine.native import build as native_build
from model.engine.native.build import InstructionSet, NativeBuildError, library_path
from service.launcher import compilation
from service.launcher.compilation import compile_ahead


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the library would be; nothing has been compiled yet."""
    directory = tmp_path / "build"
    directory.mkdir()
    monkeypatch.setattr(native_build, "_directories", lambda: [directory])
    monkeypatch.setattr(compilation, "detect", lambda: InstructionSet.BASELINE)
    return directory / native_build._file_name(InstructionSet.BASELINE)


@pytest.fixture
def no_compiler(library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_it_is_said_and_then_done_once(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def build(instruction_set: InstructionSet) -> Path:
        done.append(f"compiled for {instruction_set}")
        library.touch()
        return library

    monkeypatch.setattr(compilation, "build", build)
    monkeypatch.setattr(compilation, "find_compiler", lambda: "/usr/bin/c++")
    for _ in range(2):
        engine = EngineConfig(device="cpu")
        assert compile_ahead(engine, notify=done.append) == (engine, None)
    said, compiled = done
    assert said.startswith("compiling the engine for this CPU (baseline)")
    assert compiled == "compiled for baseline"
    assert library_path(InstructionSet.BASELINE) == library


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_without_a_compiler_plain_pytorch_may_do(no_compiler: None, dtype: str) -> None:
    said: list[str] = []
    asked = EngineConfig(device="cpu", dtype=dtype)
    engine, note = compile_ahead(asked, notify=said.append)
    assert engine == replace(asked, backend="eager")
    assert note is not None
    assert note.startswith(
        "the engine runs on plain PyTorch, which is slower: no C++ compiler was found"
    )
    assert said == []


def test_a_compiler_that_fails_is_as_good_as_none(
    library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho out of disk >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, note = compile_ahead(EngineConfig(device="cpu"), notify=lambda line: None)
    assert note is not None
    assert note.endswith("the C++ compiler failed: out of disk")


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        (EngineConfig(dtype="int8", device="cpu"), "`dtype` int8 needs the compiled engine, but"),
        (EngineConfig(backend="native"), "`backend` native needs the compiled engine, but no C"),
    ],
)
def test_what_only_the_compiled_engine_has_is_not_replaced(
    no_compiler: None, engine: EngineConfig, problem: str
) -> None:
    with pytest.raises(NativeBuildError, match=problem):
        compile_ahead(engine, notify=lambda line: None)


@pytest.mark.parametrize(
    "engine",
    [
        EngineConfig(backend="eager"),
        EngineConfig(dtype="float64"),
        EngineConfig(device="cuda"),
        EngineConfig(backend="cuda"),
        EngineConfig(),
    ],
)
def test_who_does_not_compute_with_it_does_not_need_it(
    no_compiler: None, engine: EngineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("model.engine.backends._GPU_DRIVERS", ("/dev/null",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert compile_ahead(engine, notify=lambda line: None) == (engine, None)


def test_who_finds_the_library_does_not_wait_for_torch(library: Path) -> None:
    library.touch()
    code = """
import sys
from pathlib import Path
from model.config import EngineConfig
from model.engine.native import build
from service.launcher import compilation

build._directories = lambda: [Path(sys.argv[1])]
compilation.detect = lambda: build.InstructionSet.BASELINE
engine = EngineConfig()
print(compilation.compile_ahead(engine, notify=print) == (engine, None), "torch" in sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(library.parent)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stdout == "True False\n"


@pytest.mark.parametrize("backend", ["auto", "native", "eager", "cuda"])
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
@pytest.mark.parametrize("dtype", ["auto", "float64"])
def test_it_is_compiled_where_the_engine_would_choose_it(
    library: Path, monkeypatch: pytest.MonkeyPatch, backend: str, device: str, dtype: str
) -> None:
    built: list[InstructionSet] = []
    monkeypatch.setattr(compilation, "build", built.append)
    monkeypatch.setattr(compilation, "find_compiler", lambda: "/usr/bin/c++")
    engine = EngineConfig(backend=backend, device=device, dtype=dtype)
    compile_ahead(engine, notify=lambda line: None)
    assert bool(built) == (chosen_backend(engine) == "native")


def test_without_a_compiler_and_without_pytorch_it_is_said_what_is_needed(
    no_compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.engine.backends.find_spec", lambda name: None)
    message = "an installation without PyTorch needs the compiled engine, but no C\\+\\+ compiler"
    with pytest.raises(NativeBuildError, match=message):
        compile_ahead(EngineConfig(device="cpu"), notify=lambda line: None)
