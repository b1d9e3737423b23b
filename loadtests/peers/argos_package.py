"""A model of ours as a package of Argos Translate, which is what LibreTranslate serves.

    python -m loadtests.peers.argos_package embedded FOLDER

writes FOLDER/en_de, to be used with ARGOS_PACKAGES_DIR=FOLDER. CTranslate2's own library computes
with these weights there, in int8 unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from babel import Locale
from sentencepiece import SentencePieceProcessor

from loadtests.bench.contender import BenchError
from loadtests.bench.ctranslate2_model import write_ctranslate2_model
from loadtests.bench.models import BenchModel
from model.checkpoints.manifest import read_manifest
from model.errors import PolyheadError
from model.text.tokenizer_config import PIECES_FILE

__all__ = ["write_argos_package"]

_SPECIAL = ("unk_token", "bos_token", "eos_token", "decoder_start_token")


def write_argos_package(name: str, folder: Path, *, dtype: str = "int8") -> Path:
    """Writes a package into `folder`, in the form of an installed one.

    Args:
        name: "embedded", or a model directory.

    Returns:
        The directory of the package.

    Raises:
        PolyheadError: there is no such model, or CTranslate2 has none of its kind.
    """
    found = BenchModel.named(name, seed=0)
    if found.directory is None:
        raise BenchError(f"`model` must be embedded or a model directory, but is {name!r}")
    source, target = read_manifest(found.directory).metadata.pairs[0]
    package = folder / f"{source}_{target}"
    converted = package / "model"
    converted.mkdir(parents=True)
    write_ctranslate2_model(found.load(), converted, dtype)
    tokenizer = shutil.copy(found.directory / PIECES_FILE, package / "sentencepiece.model")
    _name_tokens(converted, SentencePieceProcessor(model_file=str(tokenizer)))
    metadata = {
        "package_version": "1.0",
        "argos_version": "1.9",
        "from_code": source,
        "from_name": Locale.parse(source).get_display_name("en"),
        "to_code": target,
        "to_name": Locale.parse(target).get_display_name("en"),
    }
    (package / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return package


def _name_tokens(converted: Path, tokenizer: SentencePieceProcessor) -> None:
    """Gives tokens the names of their pieces, where the benchmark has numbers."""
    pieces = [tokenizer.IdToPiece(token) for token in range(tokenizer.GetPieceSize())]
    for path in converted.glob("*vocabulary.json"):
        numbers = json.loads(path.read_text(encoding="utf-8"))
        named = [pieces[int(number)] for number in numbers]
        path.write_text(json.dumps(named, ensure_ascii=False), encoding="utf-8")
    path = converted / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config |= {special: pieces[int(config[special])] for special in _SPECIAL}
    # Argos Translate sends pieces alone; ours are trained with an end behind each source.
    path.write_text(json.dumps(config | {"add_source_eos": True}), encoding="utf-8")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", help="embedded, or a model directory")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="int8", help="as CTranslate2 names it")
    options = parser.parse_args()
    try:
        print(write_argos_package(options.model, options.folder, dtype=options.dtype))
    except (PolyheadError, OSError) as error:
        sys.exit(f"argos_package: {error}")


if __name__ == "__main__":
    _main()
