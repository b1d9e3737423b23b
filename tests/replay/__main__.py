"""Every library of this machine and of an ARM one (by emulation) on the same calls: `make arm`.

Says how many hypotheses have the same tokens as with this machine's best library, and how many the
same scores as well, to the last bit. Fails if in int8 tokens differ anywhere, or scores on ARM;
without fused multiplication, as on x86-64's baseline, scores are rounded otherwise.

Needs g++-aarch64-linux-gnu and qemu-user (Debian's names).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from model.checkpoints.embedded import EMBEDDED, model_directory
from model.config import EngineConfig, GenerationConfig
from model.engine.native.build import (
    build,
    build_portable,
    find_compiler,
    usable_sets,
)
from model.translator import Translator
from tests.replay.record import recorded
from tests.tiny_model import build_tiny_model

_SOURCE = Path(__file__).parent / "replay.cc"
_ARM = "aarch64"
_EMULATOR = ("qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu")
_SECONDS = 1800
_SEARCHES = (
    GenerationConfig(beam_size=1),
    GenerationConfig(beam_size=4, num_hypotheses=3),
    GenerationConfig(beam_size=2, no_repeat_ngram_size=2, repetition_penalty=1.3),
)
_TEXTS = (
    "The train is late.",
    "A dog runs across the green field, and two children laugh at 7:30.",
    "Ein alter Mann sitzt vor dem Haus und liest die Zeitung.",
    "red red red red red red red red red red red red",
)


def main() -> int:
    """Runs all; 1 if something differs that must not."""
    differences = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recordings = list(_record(folder))
        contenders = list(_contenders(folder))
        for recording in recordings:
            reference = None
            for name, command in contenders:
                lines = _replay([*command, str(recording)])
                reference = reference or lines
                tokens, scores = _same(reference, lines, 4), _same(reference, lines, 0)
                print(
                    f"{recording.name:22} {name:24} of {len(reference)} hypotheses "
                    f"{tokens} with the same tokens, {scores} the same to the last bit",
                    flush=True,
                )
                if "int8" in recording.name:
                    differences += len(reference) - (scores if name.endswith(_ARM) else tokens)
    return min(differences, 1)


def _record(folder: Path) -> Iterator[Path]:
    tiny = build_tiny_model(folder / "tiny")
    for directory in (tiny, *map(model_directory, EMBEDDED)):
        for dtype in ("int8", "bfloat16", "float32") if directory == tiny else ("int8",):
            file = folder / f"{directory.name} {dtype}"
            engine = EngineConfig(device="cpu", backend="native", dtype=dtype, num_threads=1)
            with recorded(file), Translator.load(directory, engine) as translator:
                for generation in _SEARCHES:
                    translator.translate(_TEXTS, generation=generation)
            yield file


def _contenders(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Names, and commands that take a recording; this machine's best library comes first."""
    native = _driver(folder / "replay", None)
    for each in usable_sets():
        yield str(each), [native, str(build(each))]
    emulated = _driver(folder / "replay-arm", _ARM)
    for library in build_portable(_ARM, folder / "arm"):
        name = library.stem.split("-", 2)[2]
        yield name, [*_EMULATOR, emulated, str(library)]


def _driver(target: Path, machine: str | None) -> str:
    compiler = find_compiler(machine)
    command = [compiler, "-std=c++20", "-O1", str(_SOURCE), "-o", str(target), "-ldl"]
    subprocess.run(command, check=True, timeout=_SECONDS)
    return str(target)


def _replay(command: list[str]) -> list[list[str]]:
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=_SECONDS, check=True)
    return [line.split() for line in ran.stdout.splitlines()]


def _same(ours: list[list[str]], theirs: list[list[str]], start: int) -> int:
    """The number of our hypotheses whose words from `start` on are theirs at the same place."""
    return sum(a[start:] == b[start:] for a, b in zip(ours, theirs, strict=False))


if __name__ == "__main__":
    sys.exit(main())
