"""A training recipe: everything that decides what comes out, read from one YAML file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from model.config import TransformerConfig
from model.errors import InvalidRequestError, RecipeError

__all__ = [
    "CorpusRecipe",
    "DataRecipe",
    "OptimizerRecipe",
    "Recipe",
    "TokenizerRecipe",
    "TrainingRecipe",
    "load_recipe",
]


@dataclass(frozen=True, kw_only=True)
class CorpusRecipe:
    """One file of parallel text: `source<TAB>target` lines, plain or .xz or .gz."""

    path: str
    weight: float = 1.0
    """Share of the file that an epoch draws: 0.5 is half of it, 2 is all of it twice."""
    until_epoch: int | None = None
    """Only epochs before this one (counted from 0) use the file; None is all of them."""


@dataclass(frozen=True, kw_only=True)
class DataRecipe:
    """Which text, and what is left out of it."""

    root: str = "."
    """Folder of the files below, relative to where the command is run."""
    train: tuple[CorpusRecipe, ...]
    valid: tuple[str, ...]
    valid_lines: int = 500
    """Most lines of each validation file that are translated at each validation."""
    max_tokens: int = 128
    """Pairs with a longer side are left out."""
    max_length_ratio: float = 3.0
    """Pairs of more than eight tokens whose sides differ by more than this factor are left out."""


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """The joint SentencePiece vocabulary (section 5.1 used a shared one of 37,000)."""

    vocab_size: int = 8000
    model_type: str = "unigram"
    byte_fallback: bool = True
    """Unknown characters become bytes instead of the unknown token."""
    split_digits: bool = True
    sample_lines: int = 400_000
    """Most lines (source and target together) to learn from."""


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """Adam (section 5.3)."""

    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-9
    weight_decay: float = 0.0
    schedule: str = "paper"
    """"paper": D^-0.5 * min(step^-0.5, step * warmup^-1.5). "linear": warm up to `peak_lr`, then
    fall in a straight line to zero at `max_steps`."""
    peak_lr: float = 1e-3
    """For the linear schedule."""
    scale: float = 1.0
    """Factor on the paper's schedule."""
    warmup_steps: int = 4000
    clip_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 is off."""


@dataclass(frozen=True, kw_only=True)
class TrainingRecipe:
    """How long and in what portions."""

    batch_tokens: int = 4096
    """Most tokens of the longer side in one batch, padding included."""
    accumulate: int = 1
    """Batches whose gradients are summed before one update."""
    max_steps: int = 100_000
    """Updates."""
    label_smoothing: float = 0.1
    precision: str = "auto"
    """"float32", "bfloat16" or "auto": bfloat16 where the hardware multiplies it natively."""
    validate_every: int = 1000
    """Updates."""
    patience: int = 10
    """Stop after so many validations without a better BLEU."""
    checkpoint_every_seconds: float = 120.0
    """What an interruption can cost."""
    average_checkpoints: int = 5
    """The model is the mean of the last so many validations' weights (section 6.1)."""
    seed: int = 1
    num_threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The whole recipe."""

    name: str
    version: str = "1"
    license: str
    source_language: str
    target_language: str
    data: DataRecipe
    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)
    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TransformerConfig; vocabulary sizes and special ids come from the tokenizer."""
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)

    def transformer_config(self, vocab_size: int) -> TransformerConfig:
        """The model's shape with the tokenizer's vocabulary.

        Raises:
            RecipeError: no model can have this shape, or none that is trained here.
        """
        if foreign := sorted(set(self.model) & _NOT_IN_A_RECIPE):
            raise RecipeError(f"model must leave {foreign} to the tokenizer and the trainer")
        try:
            config = TransformerConfig.from_dict(
                {**self.model, "src_vocab_size": vocab_size, "tgt_vocab_size": vocab_size}
            )
        except InvalidRequestError as error:
            raise RecipeError(f"model: {error}") from error
        if self.data.max_tokens > config.max_positions:
            raise RecipeError(
                f"data: `max_tokens` must be at most `max_positions` ({config.max_positions}), "
                f"but is {self.data.max_tokens}"
            )
        return config


_NOT_IN_A_RECIPE = {
    "src_vocab_size", "tgt_vocab_size", "pad_id", "bos_id", "eos_id", "unk_id", "projection_bias",
}  # fmt: skip
"""The first come from the tokenizer; the fused loss would not train the last."""

_RANGES: dict[str, tuple[float, float]] = {
    "weight": (0, math.inf), "until_epoch": (1, math.inf), "valid_lines": (1, math.inf),
    "max_tokens": (2, math.inf), "max_length_ratio": (1, math.inf), "vocab_size": (1, math.inf),
    "sample_lines": (1, math.inf), "beta1": (0, 1), "beta2": (0, 1), "epsilon": (0, 1),
    "weight_decay": (0, 1), "peak_lr": (0, math.inf), "scale": (0, math.inf),
    "warmup_steps": (1, math.inf), "clip_norm": (0, math.inf), "batch_tokens": (1, math.inf),
    "accumulate": (1, math.inf), "max_steps": (1, math.inf), "label_smoothing": (0, 1),
    "validate_every": (1, math.inf), "patience": (1, math.inf),
    "checkpoint_every_seconds": (0, math.inf), "average_checkpoints": (1, math.inf),
    "seed": (0, math.inf), "num_threads": (1, math.inf),
}  # fmt: skip
"""Of every number in a recipe: the least, and what it must stay below."""


def load_recipe(path: Path) -> Recipe:
    """Reads a recipe; an unknown, missing or mistyped field is a RecipeError that names it."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    recipe: Recipe = _build(Recipe, values, str(path))
    allowed = {
        "schedule": ("paper", "linear"),
        "precision": ("auto", "float32", "bfloat16"),
        "model_type": ("unigram", "bpe"),
    }
    for name, found in (
        ("schedule", recipe.optimizer.schedule),
        ("precision", recipe.training.precision),
        ("model_type", recipe.tokenizer.model_type),
    ):
        if found not in allowed[name]:
            raise RecipeError(f"{path}: `{name}` must be one of {allowed[name]}, but is {found!r}")
    return recipe


def _build(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where} must be a mapping, but is {type(values).__name__}")
    hints = get_type_hints(kind)
    if unknown := sorted(set(map(str, values)) - set(hints)):
        raise RecipeError(f"{where} has unknown fields {unknown}; it knows {sorted(hints)}")
    arguments = {
        name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()
    }
    for name, value in arguments.items():
        least, bound = _RANGES.get(name, (-math.inf, math.inf))
        if isinstance(value, int | float) and not least <= value < bound:
            raise RecipeError(f"{where}: `{name}` must be in [{least}, {bound}), but is {value}")
    try:
        return kind(**arguments)
    except TypeError as error:
        missing = [f.name for f in fields(kind) if f.name not in arguments]
        raise RecipeError(f"{where} is not complete ({error}); not given: {missing}") from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        return _build(kind, value, where)
    if kind in (tuple[CorpusRecipe, ...], tuple[str, ...]):
        if not isinstance(value, list) or not value:
            raise RecipeError(f"{where} must be a list with something in it, but is {value!r}")
        of = kind.__args__[0]
        return tuple(_convert(of, item, f"{where}[{i}]") for i, item in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain: dict[Any, tuple[type, ...]] = {
        int | None: (int, type(None)),
        Mapping[str, Any]: (dict,),
    }
    expected = plain.get(kind, (kind,))
    if not isinstance(value, expected) or (isinstance(value, bool) and kind is not bool):
        names = " or ".join(t.__name__ for t in expected)
        raise RecipeError(f"{where} must be {names}, but is {value!r}")
    return value
