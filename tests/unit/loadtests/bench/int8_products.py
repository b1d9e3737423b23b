"""Whether CTranslate2's int8 products saturate on this processor, measured on a tiny one."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import torch

from loadtests.bench.ctranslate2_model import write_ctranslate2_model
from tests.tiny_model import tiny_transformer

__all__ = ["int8_products_saturate"]

_VOCAB = 60
_END = 2
_LOGIT = 10.0


def int8_products_saturate(folder: Path) -> bool:
    """Multiplies ones by equal weights: quantised, both are as large as int8 can be.

    Instructions that add two neighbouring products in 16 bits must then saturate, and the logit
    comes out near 0 instead of near 10.

    Args:
        folder: an existing, empty directory for the model.
    """
    weights = tiny_transformer(vocab_size=_VOCAB)
    with torch.no_grad():
        norm = weights.decoder_layers[-1].feed_forward_residual.norm
        norm.weight.zero_()
        norm.bias.fill_(1.0)
        rows = weights.projection.weight
        rows.zero_()
        rows[_END] = _LOGIT / rows.size(1)
    write_ctranslate2_model(weights, folder, "int8")
    translator = ctranslate2.Translator(str(folder), compute_type="int8", intra_threads=1)
    [scored] = translator.score_batch([["5", str(_END)]], [["6"]])
    # The score of the end token: 0 where its logit stands out, -log(V) where none does.
    return bool(scored.log_probs[-1] < -1.0)
