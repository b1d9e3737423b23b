"""Importer of models in the form of the Hugging Face Hub: which they are, and which cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.checkpoints.importers.huggingface_options import read_object
from model.checkpoints.importers.huggingface_source import HuggingFaceSource
from model.checkpoints.importers.imported import ImportedModel, ImportOptions
from model.checkpoints.importers.m2m100 import read_m2m100
from model.checkpoints.importers.marian_mt import read_marian_mt
from model.checkpoints.importers.problems import Problems
from model.checkpoints.importers.source_files import SourceFiles
from model.checkpoints.importers.vocabulary_trim import NOT_TRIMMED
from model.errors import CheckpointError, ImportRefusedError

__all__ = ["is_huggingface", "read_huggingface"]

_CONFIG = "config.json"
_READERS: Mapping[str, Callable[[HuggingFaceSource], ImportedModel]] = {
    "marian": read_marian_mt,
    "m2m_100": read_m2m100,
}
_RELATIVE_POSITIONS = (
    "it has relative positions, gated networks and norms of another kind, which are not supported"
)
_EXPERTS = "it is a mixture of experts, which is not supported: take one of the dense models"
_TRAINED_POSITIONS = (
    "it has trained positions and norms of embeddings, which are not supported in this form: take "
    "a model of the M2M-100, NLLB-200 or OPUS-MT family"
)
_REFUSED = {
    **dict.fromkeys(("t5", "mt5", "umt5", "longt5", "byt5", "t5gemma"), _RELATIVE_POSITIONS),
    **dict.fromkeys(("switch_transformers", "nllb-moe", "nllb_moe"), _EXPERTS),
    **dict.fromkeys(("mbart", "bart", "pegasus", "plbart"), _TRAINED_POSITIONS),
    "fsmt": "its source and target are fairseq's of WMT 2019, which are not supported",
    **dict.fromkeys(
        ("seamless_m4t", "seamless_m4t_v2", "whisper", "speech_to_text"),
        "it reads speech, which is not supported",
    ),
}
"""What models of a type are, as far as people try to translate with them."""
_DECODER_ONLY = (
    "it is a language model without an encoder, which is not supported: serve it with a server "
    "for such models, such as vLLM or llama.cpp"
)


def is_huggingface(source: Path) -> bool:
    """Whether a folder, or that of a file, has a config.json of transformers."""
    try:
        values = read_object(SourceFiles(_folder(source)), _CONFIG)
    except CheckpointError:
        return False
    return "format_version" not in values and ("model_type" in values or "architectures" in values)


def read_huggingface(source: Path, options: ImportOptions) -> ImportedModel:
    """Reads a model, of which everything but the values of its weights is checked.

    Args:
        source: a folder, or one of its files.
        options: what the user says of it.

    Raises:
        CheckpointError: with all that stands against it.
    """
    problems = Problems(source)
    folder = HuggingFaceSource(SourceFiles(_folder(source)), options, problems)
    model_type = _model_type(folder.config)
    if (quantized := folder.config.get("quantization_config")) is not None:
        method = quantized.get("quant_method") if isinstance(quantized, Mapping) else None
        problems.add(
            f"its weights are quantised ({str(method or 'by a method of its own')[:50]}), which is "
            "not supported: import the model that it was made of, and run it with int8 here"
        )
    reader = _READERS.get(model_type)
    if reader is None:
        problems.add(_refusal(folder.config, model_type))
    if options.languages and model_type != "m2m_100":
        problems.add(NOT_TRIMMED)
    problems.raise_any()
    assert reader is not None
    try:
        return reader(folder)
    except ImportRefusedError:
        raise
    except CheckpointError as error:
        problems.add(str(error))
        problems.raise_any()
        raise


def _folder(source: Path) -> Path:
    return source if source.is_dir() else source.parent


def _model_type(config: Mapping[str, Any]) -> str:
    """What a model is; the first ones of OPUS-MT call themselves BART."""
    model_type = str(config.get("model_type"))[:100]
    architectures = config.get("architectures")
    is_marian = isinstance(architectures, list) and "MarianMTModel" in architectures
    if model_type == "bart" and (is_marian or config.get("static_position_embeddings") is True):
        return "marian"
    return model_type


def _refusal(config: Mapping[str, Any], model_type: str) -> str:
    architectures = config.get("architectures")
    names = [str(each)[:100] for each in architectures] if isinstance(architectures, list) else []
    meaning = _REFUSED.get(model_type)
    if meaning is None and (
        any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names)
        or config.get("is_encoder_decoder") is False
    ):
        meaning = _DECODER_ONLY
    known = " or ".join(_READERS)
    return f"its `model_type` must be {known}, but is {model_type}: " + (
        meaning or f"{', '.join(names[:3]) or 'models of this type'} are not supported"
    )
