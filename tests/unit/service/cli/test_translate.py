"""Lines in, lines out, and what a terminal sees of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.config import EngineConfig
from model.errors import InvalidRequestError
from model.text_options import TextFormat, TextOptions
from service.cli.translate import print_stream, print_translations, read_document, read_lines
from tests.tiny_model import build_tiny_model


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Keyboard(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize(("progress", "drawn"), [(_Terminal(), True), (io.StringIO(), False)])
def test_progress_is_drawn_on_a_terminal_only(
    model: Path, progress: io.StringIO, drawn: bool
) -> None:
    output = io.StringIO()
    texts = ["The red house.", "Old bread."]
    print_translations(
        texts, model, engine=EngineConfig(num_threads=1), output=output, progress=progress
    )
    assert ("2 lines" in progress.getvalue()) is drawn
    assert "lines [" not in output.getvalue()


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_document_is_read_and_written_as_a_whole(model: Path, end: str) -> None:
    page = f"<p>12</p>\n<pre>The red\nhouse.</pre>{end}"
    assert read_document(io.BytesIO(page.encode()), hint=io.StringIO()) == page
    output = io.StringIO()
    print_translations(
        [page], model, engine=EngineConfig(num_threads=1), output=output, progress=io.StringIO(),
        options=TextOptions(format=TextFormat.HTML),
    )  # fmt: skip
    assert output.getvalue() == page.removesuffix("\n") + "\n"


def test_a_document_must_be_utf_8() -> None:
    hint = io.StringIO()
    with pytest.raises(InvalidRequestError, match="the input must be UTF-8, but is not"):
        read_document(_Keyboard(b"\xff"), hint=hint)
    assert "Ctrl-D" in hint.getvalue()


def test_one_by_one_answers_before_it_reads_on(model: Path) -> None:
    output = io.StringIO()
    seen = []

    def texts() -> Iterator[str]:
        for text in ("The red house.", "Old bread.", "A cold street."):
            seen.append(output.getvalue().count("\n"))
            yield text

    print_translations(
        texts(), model, engine=EngineConfig(num_threads=1), output=output, one_by_one=True,
        one_line_each=True, progress=io.StringIO(),
    )  # fmt: skip
    assert seen == [0, 1, 2]
    assert output.getvalue().count("\n") == 3


@pytest.mark.parametrize(
    ("stream", "hinted"), [(_Keyboard(b"a\n"), True), (io.BytesIO(b"a\n"), False)]
)
def test_a_person_is_told_what_is_waited_for(stream: io.BytesIO, hinted: bool) -> None:
    hint = io.StringIO()
    assert list(read_lines(stream, hint=hint)) == ["a"]
    assert bool(hint.getvalue()) is hinted


@pytest.mark.parametrize("as_json", [False, True])
def test_alignments_are_printed_below_their_line(model: Path, as_json: bool) -> None:
    output = io.StringIO()
    print_translations(
        ["The red house.", "Old bread. 12"], model, engine=EngineConfig(num_threads=1),
        alignments=True, as_json=as_json, output=output, progress=io.StringIO(),
    )  # fmt: skip
    lines = output.getvalue().splitlines()
    if as_json:
        answer = json.loads(lines[1])
        end = len(answer["text"])
        assert answer["alignments"][-1] == {"source": [11, 13], "target": [end - 2, end]}
    else:
        assert lines[3].startswith("    ")
        assert lines[3].endswith(" 12:12")


class _Written(io.StringIO):
    """Takes note of what is there whenever it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def flush(self) -> None:
        self.shown.append(self.getvalue())


def test_a_stream_is_written_as_it_is_decided(model: Path) -> None:
    texts = ["The red house. Old bread.\n\nA street.", "", "Old bread."]
    plain, output = io.StringIO(), _Written()
    config = EngineConfig(num_threads=1)
    print_translations(
        texts, model, engine=config, output=plain, one_line_each=True, progress=io.StringIO()
    )
    print_stream(texts, model, engine=config, output=output, one_line_each=True)
    assert output.getvalue() == plain.getvalue()
    assert len(output.shown) > len(texts)
    assert all(plain.getvalue().startswith(shown) for shown in output.shown)
