"""What is carried to a machine with a GPU and back, within bounds."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from loadtests.gpu.carry import Bounds, TooMuchError, copy_tree, pack
from loadtests.gpu.kernel_cache import KernelCache


def contents(parts: list[Path]) -> dict[str, bytes]:
    whole = b"".join(part.read_bytes() for part in parts)
    with tarfile.open(fileobj=io.BytesIO(whole)) as file:
        return {
            member.name: file.extractfile(member).read()  # type: ignore[union-attr]
            for member in file
            if member.isfile()
        }


def test_a_folder_comes_back_in_parts_and_newer_ones_take_their_place(tmp_path: Path) -> None:
    folder, output = tmp_path / "en-de", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    (folder / "weights").write_bytes(b"w" * 300_000)
    bounds = Bounds(mib=1, files=5, file_mib=0.1)
    parts = pack(folder, output, bounds=bounds)
    assert [part.name for part in parts] == [f"en-de.tar.a{c}" for c in "abcd"[: len(parts)]]
    assert contents(parts) == {"en-de/weights": b"w" * 300_000}
    (folder / "weights").write_bytes(b"v")
    assert contents(pack(folder, output, bounds=bounds)) == {"en-de/weights": b"v"}
    assert [path.name for path in output.iterdir()] == ["en-de.tar.aa"]


def test_parts_of_before_stay_until_all_new_ones_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = tmp_path / "en-de", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    (folder / "weights").write_bytes(b"w" * 300_000)
    bounds = Bounds(mib=1, files=4, file_mib=0.1)
    before = contents(pack(folder, output, bounds=bounds))
    (folder / "weights").write_bytes(b"v" * 300_000)
    write = Path.write_bytes

    def only_the_first(path: Path, data: bytes) -> int:
        if ".ab" in path.name:
            raise KeyboardInterrupt
        return write(path, data)

    with monkeypatch.context() as ended:
        ended.setattr(Path, "write_bytes", only_the_first)
        with pytest.raises(KeyboardInterrupt):
            pack(folder, output, bounds=bounds)
    assert contents(sorted(output.glob("en-de.tar.??"))) == before
    assert contents(pack(folder, output, bounds=bounds)) == {"en-de/weights": b"v" * 300_000}
    assert len([*output.iterdir()]) == 3


@pytest.mark.parametrize("bounds", [Bounds(mib=0.2), Bounds(files=3, file_mib=0.1)])
def test_what_does_not_fit_leaves_what_was_there(tmp_path: Path, bounds: Bounds) -> None:
    folder, output = tmp_path / "en-de", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    (folder / "weights").write_bytes(b"small")
    before = contents(pack(folder, output, bounds=bounds))
    (output / "metrics.jsonl").write_text("{}")
    (folder / "weights").write_bytes(b"w" * 300_000)
    with pytest.raises(TooMuchError, match="must have at most"):
        pack(folder, output, bounds=bounds)
    assert contents(sorted(output.glob("en-de.tar.*"))) == before


def test_a_tree_has_what_its_purpose_needs_and_no_more(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    (text / "train.tsv").write_text("a\tb\n")
    for purpose, there, not_there in (
        ("check", "model/pretrained/en-de/config.json", "model/pretrained/de-en"),
        ("train", "model/training/recipes/en-de-gpu.yaml", "model/pretrained"),
    ):
        target = tmp_path / purpose
        sizes = copy_tree(purpose, target, [text])
        assert sum(sizes.values()) < 40 * 2**20
        assert (target / there).is_file()
        assert not (target / not_there).exists()
        assert not (target / "service").exists()
        assert (target / "text/train.tsv").read_text() == "a\tb\n"
    with pytest.raises(TooMuchError, match="must be at most 1 MiB, but is"):
        copy_tree("check", tmp_path / "small", bounds=Bounds(mib=1))
    assert not (tmp_path / "small").exists()
    with pytest.raises(FileNotFoundError, match="wheels"):
        copy_tree("train", tmp_path / "small", [text, tmp_path / "wheels"])
    assert not (tmp_path / "small").exists()


def test_kernels_are_carried_from_one_call_to_the_next(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    archive = tmp_path / "kernels.tar.gz"
    before = KernelCache(first)
    assert not before.pack(archive)  # nothing was compiled
    (first / "kernel").mkdir(parents=True)
    (first / "kernel" / "linear.cubin").write_bytes(b"code")
    assert before.pack(archive)
    assert not before.pack(archive)  # nothing new
    after = KernelCache(second)
    assert after.unpack(archive)
    assert (second / "kernel" / "linear.cubin").read_bytes() == b"code"
    assert not after.pack(tmp_path / "again.tar.gz")
    (second / "other.cubin").write_bytes(bytes(1000))
    assert not after.pack(tmp_path / "again.tar.gz", most_bytes=10)
    assert not (tmp_path / "again.tar.gz").exists()


def test_a_damaged_file_of_kernels_is_done_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kernels.tar.gz").write_text("no archive")
    assert not KernelCache(tmp_path / "cache").unpack(tmp_path / "kernels.tar.gz")
    assert "cannot be used" in capsys.readouterr().err
