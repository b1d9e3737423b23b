"""SHA256SUMS lists each file of a model once, and nothing else."""

from pathlib import Path

import pytest

from model.checkpoints.checksums import read_checksums, write_checksums
from model.errors import CheckpointError

WEIGHTS = "model-00001-of-00001.safetensors"
OTHER = f"{'0' * 64}  "


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("config.json", "tokenizer.model", WEIGHTS):
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, OTHER + WEIGHTS], f"lists {WEIGHTS} twice"),
        (lambda lines: [lines[0], *lines], "lists config.json twice"),
        (lambda lines: lines[1:], "must list config.json, but does not"),
        (lambda lines: [each for each in lines if WEIGHTS not in each], "but lists none"),
        (lambda lines: [*lines, OTHER + "../other.safetensors"], r"lists '../other.safetensors'"),
        (lambda lines: [*lines, OTHER + "/etc/passwd"], "lists '/etc/passwd'"),
        (lambda lines: [*lines, OTHER + "a\x1b[31m.safetensors"], r"has '0+  a\\x1b\[31m"),
        (lambda lines: [*lines, OTHER], "must have lines of a SHA-256"),
        (lambda lines: [*lines, ""], "file name, but has ''"),
        (lambda lines: [each.upper() for each in lines], "in small letters"),
        (lambda lines: [each.replace("  ", " *") for each in lines], "two spaces"),
        (lambda lines: [], "but has ''"),
    ],
)
def test_another_list_is_refused(directory: Path, change, message: str) -> None:
    path = directory / "SHA256SUMS"
    lines = change(path.read_text().splitlines())
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(CheckpointError, match=message) as refused:
        read_checksums(directory)
    assert str(refused.value).isprintable()


def test_other_text_is_refused(directory: Path) -> None:
    (directory / "SHA256SUMS").write_bytes(b"\xff\n")
    with pytest.raises(CheckpointError, match="must be UTF-8"):
        read_checksums(directory)
