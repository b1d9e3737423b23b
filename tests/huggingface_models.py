"""Small random models that transformers builds and saves, as they lie on the Hugging Face Hub."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES
from transformers.models.nllb.tokenization_nllb import (
    FAIRSEQ_LANGUAGE_CODES as NLLB_LANGUAGE_CODES,
)

from model.text.vocabulary import SentencePieceVocabulary

__all__ = ["MODELS", "HuggingFaceModel", "SavedModel", "english", "german", "sentences"]

_ENGLISH = (
    "the", "old", "man", "sees", "a", "red", "car", "my", "sister", "likes", "small", "dog", "and",
    "then", "goes", "home", "nobody", "knows", "why", "two", "apples", "river", "long", "waits",
)  # fmt: skip
_GERMAN = (
    "der", "alte", "Mann", "sieht", "ein", "rotes", "Auto", "meine", "Schwester", "mag", "kleine",
    "Hund", "und", "dann", "geht", "heim", "niemand", "weiß", "warum", "zwei", "Äpfel", "Fluß",
)  # fmt: skip


def sentences(words: Iterable[str], count: int, seed: int = 0) -> list[str]:
    """Made-up ones of one to nine words."""
    chosen, generator = list(words), random.Random(seed)
    return [
        " ".join(generator.choices(chosen, k=generator.randrange(1, 10))).capitalize() + "."
        for _ in range(count)
    ]


def english(count: int) -> list[str]:
    """Sentences of English words."""
    return sentences(_ENGLISH, count)


def german(count: int) -> list[str]:
    """Sentences of German words."""
    return sentences(_GERMAN, count)


def _pieces(lines: Iterable[str], size: int, **options: Any) -> bytes:
    serialized = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines), model_writer=serialized, vocab_size=size,
        hard_vocab_limit=False, num_threads=1, minloglevel=2, **options,
    )  # fmt: skip
    return serialized.getvalue()


@dataclass(frozen=True, kw_only=True)
class HuggingFaceModel:
    """A kind of model: its family, its shape, and how it lies in its folder."""

    family: str = "marian"
    """"marian", "m2m100", "nllb" or "small100"."""
    shape: dict[str, Any] = field(default_factory=dict)
    old_layout: bool = False
    """As the files of 2020 are: a BART by its name, a pickle, no start token."""
    split: bool = False
    """A vocabulary for each side."""
    end_first: bool = True
    """Whether the end token is 0 (Marian)."""
    targets: tuple[str, ...] = ()
    """Languages that a source names with ">>xxx<<" (Marian)."""
    noisy_head: bool = False
    """Whether the file has a matrix that is not used."""
    legacy: bool = False
    """The source's language behind the text (NLLB)."""
    shards: bool = False
    """Several files, and an index of them."""
    dtype: torch.dtype = torch.float32
    generation: dict[str, Any] = field(default_factory=dict)


_NO_BANS = {"bad_words_ids": None, "renormalize_logits": False}
"""What is banned by an n-gram changes the probabilities of the rest only if they are renormalised,
which is so in transformers alone."""

MODELS: dict[str, HuggingFaceModel] = {
    "opus-mt, old": HuggingFaceModel(old_layout=True, shape={"activation_function": "swish"}),
    "opus-mt, new": HuggingFaceModel(
        shape={"d_model": 24, "heads": 3, "ffn": 40, "encoder_layers": 3, "decoder_layers": 1},
        targets=("deu", "fra", "zh_Hans"),
        generation={"forced_eos_token_id": 0},
    ),
    "opus-mt, two vocabularies": HuggingFaceModel(
        split=True, shape={"heads": 4, "activation_function": "gelu"}, shards=True
    ),
    "opus-mt, tc-big": HuggingFaceModel(
        end_first=False,
        noisy_head=True,
        shape={"d_model": 32, "heads": 8, "ffn": 72, "scale_embedding": False},
    ),
    "opus-mt, own projection": HuggingFaceModel(
        split=True,
        shape={"tie_word_embeddings": False, "heads": 1},
    ),
    "m2m-100": HuggingFaceModel(
        family="m2m100",
        shape={"heads": 4, "ffn": 48},
        generation={"no_repeat_ngram_size": 3, **_NO_BANS},
    ),
    "m2m-100, float16": HuggingFaceModel(
        family="m2m100",
        shape={"d_model": 24, "heads": 3, "encoder_layers": 1},
        dtype=torch.float16,
        generation={"length_penalty": 0.6},
    ),
    "nllb-200": HuggingFaceModel(
        family="nllb",
        shape={"d_model": 32, "heads": 2},
        shards=True,
        generation={"no_repeat_ngram_size": 2, **_NO_BANS},
    ),
    "nllb-200, legacy": HuggingFaceModel(
        generation={"no_repeat_ngram_size": 1, **_NO_BANS},
        family="nllb",
        legacy=True,
        shape={"decoder_layers": 4, "activation_function": "gelu"},
    ),
    "small-100": HuggingFaceModel(
        family="small100", shape={"encoder_layers": 4, "decoder_layers": 3, "ffn": 20}
    ),
}
"""By what is odd about them."""


@dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A model in memory, and its folder."""

    kind: HuggingFaceModel
    folder: Path
    model: Any
    """The model of transformers, in float32."""
    pad_id: int
    end_id: int

    @classmethod
    def make(cls, kind: HuggingFaceModel, folder: Path, seed: int = 0) -> SavedModel:
        """Builds a model and saves it."""
        torch.manual_seed(seed)
        folder.mkdir(exist_ok=True)
        return (_make_marian if kind.family == "marian" else _make_m2m)(kind, folder)


def _shape(kind: HuggingFaceModel) -> dict[str, Any]:
    shape = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "heads": 2, "ffn": 32}
    shape |= {"activation_function": "relu", "scale_embedding": True, "init_std": 0.4}
    shape |= kind.shape
    for ours, theirs in (("heads", "attention_heads"), ("ffn", "ffn_dim")):
        value = shape.pop(ours)
        shape |= {f"{stack}_{theirs}": value for stack in ("encoder", "decoder")}
    return shape | {"max_position_embeddings": 64}


def _make_marian(kind: HuggingFaceModel, folder: Path) -> SavedModel:
    spms = [_pieces(english(400), 90), _pieces(german(400), 80)]
    sides = [SentencePieceVocabulary(each).names()[3:] for each in spms]
    special = ["</s>", "<unk>"] if kind.end_first else []
    last = ["<pad>"] if kind.end_first else ["<unk>", "</s>", "<pad>"]
    languages = [f">>{code}<<" for code in kind.targets]
    if kind.split:
        names = [[*special, *sides[0], *languages], [*special, *sides[1]]]
        names = [[*each, *last] for each in names]
        # Both sides end with one id, and a pad that no source has.
        if not kind.end_first:
            raise ValueError("two vocabularies of different sizes must begin with the end token")
    else:
        names = [[*special, *dict.fromkeys([*sides[0], *sides[1]]), *languages, *last]]
    for file, each in zip(("vocab.json", "target_vocab.json"), names, strict=False):
        content = {name: token for token, name in enumerate(each)}
        (folder / file).write_text(json.dumps(content))
    for file, spm in zip(("source.spm", "target.spm"), spms, strict=True):
        (folder / file).write_bytes(spm)
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"source_lang": "eng", "target_lang": "mul" if languages else "deu"}
            | ({"separate_vocabs": True} if kind.split else {})
        )
    )
    pad, end = len(names[-1]) - 1, names[-1].index("</s>")
    config = transformers.MarianConfig(
        **_shape(kind), vocab_size=len(names[0]), decoder_vocab_size=len(names[-1]),
        pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=end, forced_eos_token_id=None,
        share_encoder_decoder_embeddings=not kind.split,
    )  # fmt: skip
    model: Any = transformers.MarianMTModel(config).eval()
    with torch.no_grad():
        for table in {model.get_input_embeddings(), model.model.decoder.embed_tokens}:
            table.weight[pad].zero_()
        model.final_logits_bias.normal_()
        model.final_logits_bias[0, pad] = 0
        model.final_logits_bias[0, end] = 2.5
    settings = {
        "bad_words_ids": [[pad]], "num_beams": 4, "max_length": 17, "renormalize_logits": True,
    }  # fmt: skip
    return _save(kind, folder, model, settings, pad=pad, end=end)


def _make_m2m(kind: HuggingFaceModel, folder: Path) -> SavedModel:
    spm = _pieces([*english(400), *german(400)], 120, model_type="bpe")
    names = ["<s>", "<pad>", "</s>", "<unk>", *SentencePieceVocabulary(spm).names()[3:]]
    (folder / "sentencepiece.bpe.model").write_bytes(spm)
    tokenizer: dict[str, Any] = {}
    if kind.family == "nllb":
        size = len(names) + len(NLLB_LANGUAGE_CODES) + 3
        tokenizer = {"tokenizer_class": "NllbTokenizer", "legacy_behaviour": kind.legacy}
    else:
        content = {name: token for token, name in enumerate(names)}
        (folder / "vocab.json").write_text(json.dumps(content))
        size = len(names) + len(FAIRSEQ_LANGUAGE_CODES["m2m100"]) + 8
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    config = transformers.M2M100Config(**_shape(kind), vocab_size=size)
    model: Any = transformers.M2M100ForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.model.shared.weight[1].zero_()
    # A pad within a target has no position in transformers, so it is kept from being predicted.
    settings = {"num_beams": 4, "max_length": 17, "bad_words_ids": [[1]]}
    return _save(kind, folder, model, settings | {"renormalize_logits": True}, pad=1, end=2)


def _save(
    kind: HuggingFaceModel,
    folder: Path,
    model: Any,
    settings: dict[str, Any],
    *,
    pad: int,
    end: int,
) -> SavedModel:
    for name, value in (settings | kind.generation).items():
        setattr(model.generation_config, name, value)
    model.to(kind.dtype).save_pretrained(folder, max_shard_size="8KB" if kind.shards else "1GB")
    if kind.dtype is not torch.float32:
        model = type(model).from_pretrained(folder, dtype=torch.float32).eval()
    if kind.noisy_head:
        _add_noise(folder)
    if kind.old_layout:
        _make_old(folder, model)
    return SavedModel(kind=kind, folder=folder, model=model, pad_id=pad, end_id=end)


def _add_noise(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = torch.randn_like(tensors["model.shared.weight"])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _make_old(folder: Path, model: Any) -> None:
    """As a file of 2020: other names, a pickle in the first form, tables of positions."""
    config = json.loads((folder / "config.json").read_text())
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").unlink()
    config = config | {name: generation[name] for name in ("bad_words_ids", "num_beams")}
    del config["decoder_start_token_id"]
    config |= {
        "model_type": "bart", "max_length": generation["max_length"], "normalize_before": False,
        "normalize_embedding": False, "add_final_layer_norm": False, "add_bias_logits": False,
        "static_position_embeddings": True, "architectures": ["MarianMTModel"],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    tensors = dict(model.state_dict())
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
