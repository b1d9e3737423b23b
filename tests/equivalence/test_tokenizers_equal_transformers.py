"""Tokenizers in the layouts of the Hugging Face Hub: their ids and texts are those of transformers.

The SentencePiece models are made here; files and special tokens are as the real ones have them.
"""

from __future__ import annotations

import io
import json
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import transformers
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES
from transformers.models.nllb.tokenization_nllb import (
    FAIRSEQ_LANGUAGE_CODES as NLLB_LANGUAGE_CODES,
)

from model.text.languages import Pair
from model.text.tokenizer import Tokenizer, vocabulary_list
from model.text.tokenizer_config import TokenizerConfig, TokenizerKind
from model.text.vocabulary import SentencePieceVocabulary, SpecialIds
from tests.unit.model.text.tiny_tokenizer import OBJECTS, SUBJECTS, VERBS

ENGLISH = [f"{a} {b} {c}." for a in SUBJECTS for b in VERBS for c in OBJECTS]
GERMAN = [
    f"{a} {b} {c}."
    for a in ("Der alte Mann", "Ein kleiner Hund", "Meine Schwester", "Jedes Kind")
    for b in ("sieht", "mag", "trägt", "sucht", "wartet auf")
    for c in ("das rote Auto", "einen Brief", "die Straße", "zwei Äpfel", "den Fluß")
]
TEXTS = [
    "",
    " ",
    "the old man sees the red car.",
    "  spaces   at both   ends  ",
    "Der Hund sucht die Straße, zwei Äpfel!",
    unicodedata.normalize("NFD", "die Straße über Köln, zwei Äpfel"),
    "tabs\tand\nbreaks\u00a0and\u3000wide\u200bones",
    "a dog 🐕 and a flag 🇩🇪, a family 👨‍👩‍👧‍👦",
    "日本語 и кириллица, ελληνικά, العربية, ไทย",
    "ﬁne ½ ① Ｆｕｌｌ ｗｉｄｔｈ ㎏ ™",
    "▁ the ▁ old▁man",
    "1234567890 1.000,50 % § ~ ^ \\ | {}[]<>",
    "don't “quote” ‘me’ — or… «else»",
    "A" * 200,
    "x" + "\u0301" * 20,
    "\u202eright to left\u202c \ufeffmark",
    "&lt;b&gt;HTML&lt;/b&gt; <b>tags</b> https://example.org/?q=1#a",
    "< s > <pad > ⁇",
    "soft\u00adhyphen and \u0000 nothing \u007f here",
]


def pieces(sentences: Iterable[str], **options: Any) -> bytes:
    """A SentencePiece model with SentencePiece's own special ids, as all of these have."""
    serialized = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences), model_writer=serialized, hard_vocab_limit=False,
        num_threads=1, minloglevel=2, **({"vocab_size": 150} | options),
    )  # fmt: skip
    return serialized.getvalue()


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
        yield


class TestMarian:
    """Two SentencePiece models and one list of pieces, or two; languages are in the list."""

    def layout(self, folder: Path, *, split: bool = False) -> Any:
        source, target = pieces(ENGLISH), pieces(GERMAN)
        (folder / "source.spm").write_bytes(source)
        (folder / "target.spm").write_bytes(target)
        sides = [SentencePieceVocabulary(each).names() for each in (source, target)]
        if split:
            names = [["</s>", "<unk>", *side[3:], "<pad>"] for side in sides]
        else:
            both = dict.fromkeys([*sides[0][3:], *sides[1][3:]])
            names = [["</s>", "<unk>", *both, ">>deu<<", ">>fra<<", "<pad>"]]
        for file, each in zip(("vocab.json", "target_vocab.json"), names, strict=False):
            content = json.dumps({name: token for token, name in enumerate(each)})
            (folder / file).write_text(content)
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"source_lang": "eng", "target_lang": "deu", "separate_vocabs": split})
        )
        return names

    def ours(self, folder: Path, names: list[list[str]], **config: Any) -> Tokenizer:
        files = {
            "source.model": (folder / "source.spm").read_bytes(),
            "target.model": (folder / "target.spm").read_bytes(),
        }
        if len(names) == 1:
            files["vocabulary.json"] = vocabulary_list(names[0])
        else:
            files["source_vocabulary.json"] = vocabulary_list(names[0])
            files["target_vocabulary.json"] = vocabulary_list(names[1])
        special = SpecialIds(pad=len(names[0]) - 1, bos=len(names[0]) - 1, eos=0, unk=1)
        return Tokenizer.from_files(
            files, TokenizerConfig(kind=TokenizerKind.VOCABULARY, **config), special
        )

    @pytest.mark.parametrize("split", [False, True])
    def test_one_pair(self, tmp_path: Path, split: bool) -> None:
        names = self.layout(tmp_path, split=split)
        theirs = transformers.MarianTokenizer.from_pretrained(tmp_path)
        ours = self.ours(tmp_path, names)
        for text in TEXTS:
            assert ours.encode_source(text, Pair("en", "de")) == tuple(theirs(text).input_ids)
        for text in [*TEXTS, *GERMAN[:20]]:
            ids = theirs(text_target=text).input_ids
            assert ours.detokenize(ids).strip() == theirs.decode(ids, skip_special_tokens=True)

    def test_many_targets(self, tmp_path: Path) -> None:
        names = self.layout(tmp_path)
        theirs = transformers.MarianTokenizer.from_pretrained(tmp_path)
        ours = self.ours(
            tmp_path,
            names,
            source_template=("{target}", "{text}", "</s>"),
            language_tokens={"de": ">>deu<<", "fr": ">>fra<<"},
        )
        for text in TEXTS:
            for code, token in (("de", ">>deu<<"), ("fr", ">>fra<<")):
                ids = theirs(f"{token}{text}").input_ids
                assert ours.encode_source(text, Pair("en", code)) == tuple(ids)
        # What looks like a language is text; only the pair says which it is.
        token = names[0].index(">>fra<<")
        assert token not in ours.encode_source(">>fra<< the old man", Pair("en", "de"))


class TestM2M:
    """One SentencePiece model and a list; languages come behind the list, in a fixed order."""

    def layout(self, folder: Path) -> list[str]:
        model = pieces([*ENGLISH, *GERMAN], model_type="bpe", character_coverage=1.0)
        (folder / "sentencepiece.bpe.model").write_bytes(model)
        names = ["<s>", "<pad>", "</s>", "<unk>", *SentencePieceVocabulary(model).names()[3:]]
        content = json.dumps({name: token for token, name in enumerate(names)})
        (folder / "vocab.json").write_text(content)
        (folder / "tokenizer_config.json").write_text("{}")
        languages = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
        return [*names, *languages, *(f"madeupword{number:04d}" for number in range(8))]

    def ours(self, folder: Path, names: list[str], **config: Any) -> Tokenizer:
        files = {
            "tokenizer.model": (folder / "sentencepiece.bpe.model").read_bytes(),
            "vocabulary.json": vocabulary_list(names),
        }
        codes = FAIRSEQ_LANGUAGE_CODES["m2m100"]
        config = TokenizerConfig(
            kind=TokenizerKind.VOCABULARY,
            language_tokens={code: f"__{code}__" for code in codes},
            **config,
        )
        return Tokenizer.from_files(files, config, SpecialIds(pad=1, bos=2, eos=2, unk=3))

    def test_m2m_100(self, tmp_path: Path) -> None:
        names = self.layout(tmp_path)
        theirs = transformers.M2M100Tokenizer.from_pretrained(tmp_path)
        ours = self.ours(
            tmp_path,
            names,
            source_template=("{source}", "{text}", "</s>"),
            target_prefix=("{target}",),
        )
        for code in ("en", "de", "zu"):
            theirs.src_lang = code
            for text in TEXTS:
                assert ours.encode_source(text, Pair(code, "fr")) == tuple(theirs(text).input_ids)
        assert ours.target_prefix(Pair("en", "ro")) == (theirs.get_lang_id("ro"),)
        for text in [*TEXTS, *GERMAN[:20]]:
            ids = theirs(text).input_ids[1:]
            assert ours.detokenize(ids).strip() == theirs.decode(ids, skip_special_tokens=True)

    def test_small_100(self, tmp_path: Path) -> None:
        """SMaLL-100 reads the language of the translation, and writes without one."""
        names = self.layout(tmp_path)
        theirs = transformers.M2M100Tokenizer.from_pretrained(tmp_path)
        ours = self.ours(tmp_path, names, source_template=("{target}", "{text}", "</s>"))
        for code in ("en", "de", "zu"):
            theirs.src_lang = code
            for text in TEXTS:
                assert ours.encode_source(text, Pair("en", code)) == tuple(theirs(text).input_ids)
        assert ours.target_prefix(Pair("en", "ro")) == ()


@pytest.mark.parametrize("legacy", [False, True])
def test_nllb(tmp_path: Path, legacy: bool) -> None:
    model = pieces([*ENGLISH, *GERMAN], model_type="bpe", character_coverage=1.0)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(model)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"legacy_behaviour": legacy, "tokenizer_class": "NllbTokenizer"})
    )
    theirs = transformers.NllbTokenizer.from_pretrained(
        tmp_path, legacy_behaviour=legacy, extra_special_tokens=NLLB_LANGUAGE_CODES
    )
    # Where transformers makes up the ids, "<mask>" comes first; in published files, it comes last.
    names = [
        *("<s>", "<pad>", "</s>", "<unk>"), *SentencePieceVocabulary(model).names()[3:],
        "<mask>", *NLLB_LANGUAGE_CODES,
    ]  # fmt: skip
    config = TokenizerConfig(
        kind=TokenizerKind.VOCABULARY,
        source_template=("{text}", "</s>", "{source}")
        if legacy
        else ("{source}", "{text}", "</s>"),
        target_prefix=("{target}",),
        language_tokens={code: code for code in NLLB_LANGUAGE_CODES},
    )
    files = {"tokenizer.model": model, "vocabulary.json": vocabulary_list(names)}
    ours = Tokenizer.from_files(files, config, SpecialIds(pad=1, bos=2, eos=2, unk=3))
    for code in ("eng_Latn", "deu_Latn", "zul_Latn"):
        theirs.src_lang = code
        for text in filter(None, map(str.strip, TEXTS)):  # theirs keeps spaces at the ends
            found = ours.encode_source(text, Pair(code, "fra_Latn"))
            assert found == tuple(theirs(text).input_ids), text
    fra = theirs.convert_tokens_to_ids("fra_Latn")
    assert ours.target_prefix(Pair("eng_Latn", "fra_Latn")) == (fra,)
    for text in GERMAN[:20]:
        ids = theirs(text).input_ids
        assert ours.detokenize(ids).strip() == theirs.decode(ids, skip_special_tokens=True)
