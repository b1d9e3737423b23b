"""What is compiled, for which instruction set, where it goes, and what can go wrong."""

import platform
from pathlib import Path

import pytest

from model.errors import BackendUnavailableError
from model.native import build as native_build
from model.native.build import InstructionSet, NativeBuildError, build, detect, library_path

_AVX512 = "avx512f avx512bw avx512vl avx512dq avx512_vnni fma"


@pytest.fixture
def one_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Libraries are looked for, and put, in an empty directory."""
    directory = tmp_path / "build"
    monkeypatch.setattr(native_build, "_directories", lambda: [directory])
    return directory


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (f"{_AVX512} avx512_bf16 avx2", InstructionSet.AVX512_BF16),
        (f"{_AVX512} avx2", InstructionSet.AVX512_VNNI),
        ("avx512f avx2 fma", InstructionSet.AVX2),
        ("sse4_2 avx", InstructionSet.BASELINE),
    ],
)
def test_the_best_of_what_the_kernel_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, expected: InstructionSet
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n\nprocessor\t: 1\n")
    assert detect(cpuinfo) is expected


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_other_architectures_take_what_the_compiler_assumes(
    monkeypatch: pytest.MonkeyPatch, machine: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert detect() is InstructionSet.BASELINE


def test_no_list_of_flags_means_no_special_instructions(tmp_path: Path) -> None:
    assert detect(tmp_path / "missing") is InstructionSet.BASELINE


def test_what_was_compiled_is_found_again() -> None:
    library = build()
    assert library == build() == library_path(detect())
    assert library.stat().st_size > 10_000


def test_other_sources_or_flags_make_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    before = native_build._file_name(InstructionSet.AVX2)
    monkeypatch.setattr(native_build, "_FLAGS", (*native_build._FLAGS, "-g"))
    assert native_build._file_name(InstructionSet.AVX2) != before


def test_no_compiler(one_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_build.shutil, "which", lambda name: None)
    with pytest.raises(NativeBuildError, match=r"no C\+\+ compiler was found \(looked for c\+\+"):
        build()
    assert issubclass(NativeBuildError, BackendUnavailableError)


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_build, "_FLAGS", ("-no-such-flag",))
    with pytest.raises(NativeBuildError, match=r"the C\+\+ compiler failed: .*no-such-flag"):
        build()
    assert [path.name for path in one_directory.iterdir()] == ["lock"]


def test_a_compiler_that_hangs_is_stopped(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    endless.chmod(0o755)
    monkeypatch.setattr(native_build.shutil, "which", lambda name: str(endless))
    monkeypatch.setattr(native_build, "_BUILD_SECONDS", 0.1)
    with pytest.raises(NativeBuildError, match=r"must be done within 0.1 s, but was not"):
        build()


def test_nowhere_to_write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(native_build, "_directories", lambda: [file / "a", file / "b"])
    with pytest.raises(NativeBuildError, match=r"needs a directory to write to: .*/a: .*; .*/b: "):
        build()


def test_the_next_directory_serves_when_the_first_cannot_be_written_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(native_build, "_directories", lambda: [file / "a", tmp_path / "b"])
    # The baseline compiles fastest.
    assert build(InstructionSet.BASELINE).parent == tmp_path / "b"
