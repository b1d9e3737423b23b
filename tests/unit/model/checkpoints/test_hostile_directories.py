"""Model directories made to hang, crash or fill whoever loads them are refused in one line each."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.tiny_model import build_tiny_model
from tests.unit.model.checkpoints.rewriting import renew_checksums, rewrite_manifest

WEIGHTS = "model-00001-of-00001.safetensors"

# Loads a good directory, so that all is imported, and then each bad one with little more memory.
LOAD_ALL = """
import resource, sys
from pathlib import Path
from model.checkpoints.checkpoint import load_checkpoint
from model.errors import CheckpointError

good, *bad = map(Path, sys.argv[1:])
load_checkpoint(good)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for directory in bad:
    try:
        load_checkpoint(directory)
    except CheckpointError as error:
        print(f"{directory.name}: {error}", flush=True)
"""


def shape(**changes: Any) -> Callable[[Path], None]:
    return lambda directory: rewrite_manifest(
        directory, lambda values: values["model"].update(changes)
    )


def fields(**changes: Any) -> Callable[[Path], None]:
    return lambda directory: rewrite_manifest(directory, lambda values: values.update(changes))


def content(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def rewrite(directory: Path) -> None:
        (directory / name).write_bytes(change((directory / name).read_bytes()))
        renew_checksums(directory)

    return rewrite


def instead(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def replace(directory: Path) -> None:
        (directory / name).unlink()
        make(directory / name)

    return replace


def added(name: str, content: bytes) -> Callable[[Path], None]:
    def add(directory: Path) -> None:
        (directory / name).write_bytes(content)
        kind = "vocabulary" if name.endswith("json") else "sentencepiece"
        changes = {"tokenizer": {"kind": kind}, "shortlist": name.startswith("shortlist")}
        rewrite_manifest(directory, lambda values: values.update(changes))

    return add


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write((2).to_bytes(8, "little") + b"{}")
        file.truncate(2**40)


def sizes() -> Iterator[tuple[str, Callable[[Path], None]]]:
    names = (
        "src_vocab_size", "tgt_vocab_size", "d_model", "d_ff", "num_heads", "num_encoder_layers",
        "num_decoder_layers", "max_positions", "position_offset",
    )  # fmt: skip
    for name, size in itertools.product(names, (999, 10**9, 10**30)):
        if (name, size) not in {("max_positions", 999), ("position_offset", 999)}:
            yield f"{name}-{size:.0e}", shape(**{name: size})
    yield "vocabularies", shape(src_vocab_size=2**24, tgt_vocab_size=2**24)
    yield "layers", shape(num_encoder_layers=1000, num_decoder_layers=1000)
    yield "unshared", shape(tgt_vocab_size=10**7, shared_embeddings=False, tied_projection=False)


def others() -> Iterator[tuple[str, Callable[[Path], None]]]:
    for name in ("config.json", "SHA256SUMS", "tokenizer.model", WEIGHTS):
        yield f"fifo-{name}", instead(name, os.mkfifo)
        yield f"device-{name}", instead(name, lambda path: path.symlink_to("/dev/zero"))
        yield f"sparse-{name}", instead(name, sparse)
    nested = b"[" * 200_000
    yield "nested", content("config.json", lambda _: nested)
    yield "long-list", content("config.json", lambda _: json.dumps([1] * 100_000).encode())
    many = [f"l{number}" for number in range(3000)]
    yield "languages", fields(source_languages=many, target_languages=many)
    yield "name", fields(name="a\r\n\x1b[31m")
    yield "piece", content("tokenizer.model", lambda _: b"\x0a\xff\xff\xff\xff\x07")
    yield "zeros", content("tokenizer.model", lambda old: bytes(len(old)))
    yield "half", content("tokenizer.model", lambda old: old[: len(old) // 2])
    yield "pieces", content("tokenizer.model", lambda old: old + 10**6 * b"\x0a\x03\x0a\x01x")
    many_strings = b"[" + b'"",' * 400_000 + b'""]'
    yield "list", added("vocabulary.json", many_strings)
    yield "shortlist", added("shortlist.safetensors", bytes(2**20))
    yield "header", content(WEIGHTS, lambda old: (2**40).to_bytes(8, "little") + old[8:])


def test_each_is_refused_with_little_memory(tmp_path: Path) -> None:
    good = build_tiny_model(tmp_path / "good")
    bad = []
    for name, damage in (*sizes(), *others()):
        shutil.copytree(good, tmp_path / name)
        damage(tmp_path / name)
        bad.append(tmp_path / name)
    command = [sys.executable, "-c", LOAD_ALL, str(good), *map(str, bad)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.removesuffix("\n").split("\n")
    assert [line.split(":")[0] for line in lines] == [path.name for path in bad]
    assert all(line.isprintable() for line in lines)
