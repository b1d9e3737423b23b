"""Texts of targets that are read more than once."""

from __future__ import annotations

from model.text.tokenizer import Tokenizer

__all__ = ["Detokenized"]


class Detokenized(dict[tuple[int, ...], str]):
    """The texts of targets by their ids, each made when it is first asked for. It is kept no longer
    than what is made of it.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, token_ids: tuple[int, ...]) -> str:
        text = self[token_ids] = self.tokenizer.detokenize(token_ids).strip()
        return text
