"""Writes CTranslate2's files, right ones and others."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.tiny_model import learn_pieces

__all__ = ["NAMES", "ctranslate2_binary", "small_model", "write_folder"]

_CODES = {"<f4": 0, "|i1": 1, "<i2": 2, "<i4": 3, "<f2": 4, "<u2": 5}
"""Codes of NumPy's types; bfloat16 is written as whole numbers."""
_WIDTH, _FFN = 8, 12

_Arrays = Mapping[str, npt.NDArray[Any]]


def ctranslate2_binary(
    variables: _Arrays,
    *,
    version: int = 6,
    kind: str = "TransformerSpec",
    revision: int = 7,
    aliases: Mapping[str, str] | None = None,
) -> bytes:
    """The content of a `model.bin`."""
    parts = [struct.pack("<I", version)]
    if version >= 2:
        parts += [_string(kind), struct.pack("<I", revision)]
    parts.append(struct.pack("<I", len(variables)))
    for name, array in variables.items():
        array = np.asarray(array)
        parts += [_string(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        code = _CODES[array.dtype.str] if version >= 4 else array.itemsize
        size = array.nbytes if version >= 4 else array.size
        parts += [struct.pack("<BI", code, size), array.tobytes()]
    if version >= 3:
        parts.append(struct.pack("<I", len(aliases or {})))
        parts += [_string(each) for pair in (aliases or {}).items() for each in pair]
    return b"".join(parts)


def _string(text: str) -> bytes:
    stored = text.encode() + b"\0"
    return struct.pack("<H", len(stored)) + stored


def small_model(source: int, target: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """The variables of a model of one layer on each side, with so many tokens."""
    generator = np.random.default_rng(seed)
    numbers = {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in _shapes(source, target)
    }
    attributes: dict[str, npt.NDArray[Any]] = {}
    for stack in ("encoder", "decoder"):
        attributes |= {
            f"{stack}/num_heads": np.array(2, np.int16),
            f"{stack}/pre_norm": np.array(1, np.int8),
            f"{stack}/activation": np.array(0, np.int8),
            f"{stack}/scale_embeddings": np.array(1, np.int8),
        }
    return numbers | attributes


def _shapes(source: int, target: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "encoder/embeddings_0/weight", (source, _WIDTH)
    yield "decoder/embeddings/weight", (target, _WIDTH)
    yield from _linear("decoder/projection", target, _WIDTH)
    for stack in ("encoder", "decoder"):
        yield from _norm(f"{stack}/layer_norm")
        layer = f"{stack}/layer_0"
        blocks = {"self_attention": (3, 1)}
        if stack == "decoder":
            blocks["attention"] = (1, 2, 1)  # type: ignore[assignment]
        for block, parts in blocks.items():
            yield from _norm(f"{layer}/{block}/layer_norm")
            for place, times in enumerate(parts):
                yield from _linear(f"{layer}/{block}/linear_{place}", times * _WIDTH, _WIDTH)
        yield from _norm(f"{layer}/ffn/layer_norm")
        yield from _linear(f"{layer}/ffn/linear_0", _FFN, _WIDTH)
        yield from _linear(f"{layer}/ffn/linear_1", _WIDTH, _FFN)


def _linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/weight", (outputs, inputs)
    yield f"{name}/bias", (outputs,)


def _norm(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/gamma", (_WIDTH,)
    yield f"{name}/beta", (_WIDTH,)


PIECES = learn_pieces(["the old man sees a red car", "my sister likes it"], vocab_size=40,
                      byte_fallback=False)  # fmt: skip
"""A small SentencePiece vocabulary."""
NAMES = tuple(PIECES.source.names())  # type: ignore[attr-defined]


def write_folder(
    folder: Path,
    variables: _Arrays,
    *,
    names: Sequence[Sequence[str]] = (NAMES,),
    config: Mapping[str, Any] | None = None,
    pieces: str | None = "sentencepiece.model",
    **options: Any,
) -> Path:
    """Writes a folder.

    Args:
        folder: is made.
        variables: of model.bin.
        names: the vocabulary, or that of the source and that of the target.
        config: of config.json, beside what it usually has.
        pieces: the name of the SentencePiece model; None: there is none.
        options: of `ctranslate2_binary`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(ctranslate2_binary(variables, **options))
    sides = ("shared",) if len(names) == 1 else ("source", "target")
    for side, each in zip(sides, names, strict=True):
        (folder / f"{side}_vocabulary.json").write_text(json.dumps(list(each)))
    settings: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings |= {"decoder_start_token": "<s>", "add_source_eos": True} | dict(config or {})
    (folder / "config.json").write_text(json.dumps(settings))
    if pieces is not None:
        (folder / pieces).write_bytes(PIECES.files["tokenizer.model"])
    return folder
