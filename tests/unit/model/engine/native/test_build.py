"""What is compiled, for which instruction set, where it goes, and what can go wrong."""

import fcntl
import os
import platform
import re
import subprocess
from pathlib import Path

import pytest

from model.engine.native import build as native_build
from model.engine.native.build import (
    INSTRUCTION_SET_VARIABLE,
    InstructionSet,
    NativeBuildError,
    build,
    build_portable,
    detect,
    find_compiler,
    instruction_sets,
    library_path,
    usable_sets,
)
from model.errors import BackendUnavailableError, InvalidRequestError

_AVX512 = "avx512f avx512bw avx512vl avx512dq avx512_vnni fma"


@pytest.fixture
def one_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Libraries are looked for, and put, in an empty directory."""
    directory = tmp_path / "build"
    monkeypatch.setattr(native_build, "_directories", lambda: [directory])
    return directory


def use_compiler(monkeypatch: pytest.MonkeyPatch, directory: Path, script: str) -> Path:
    """Compiles with `script`, which finds the path to write to in OUTPUT; each call adds a line to
    the file that is returned."""
    compiler, calls = directory / "compiler", directory / "calls"
    # The output is named last.
    compiler.write_text(
        f"#!/bin/sh\necho >> {calls}\nwhile [ $# -gt 1 ]; do shift; done\nOUTPUT=$1\n{script}\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setattr(native_build.shutil, "which", lambda name: str(compiler))
    return calls


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (f"{_AVX512} avx512_bf16 avx2", InstructionSet.AVX512_BF16),
        (f"{_AVX512} avx2", InstructionSet.AVX512_VNNI),
        ("avx512f avx2 fma", InstructionSet.AVX2),
        ("avx2 fma avx_vnni", InstructionSet.AVX_VNNI),
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


@pytest.fixture
def avx2_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The /proc/cpuinfo of a machine with AVX2 and nothing better."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu avx2 fma\n")
    return cpuinfo


def test_the_environment_names_a_lesser_one(
    avx2_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, "baseline")
    assert detect(avx2_machine) is InstructionSet.BASELINE
    monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, "")
    assert detect(avx2_machine) is InstructionSet.AVX2


@pytest.mark.parametrize("named", ["avx512-vnni", "AVX2", "neon"])
def test_what_the_machine_lacks_is_refused(
    avx2_machine: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, named)
    problem = f"INSTRUCTION_SET must be one of avx2, baseline, which .* has, but is '{named}'"
    with pytest.raises(InvalidRequestError, match=problem):
        detect(avx2_machine)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("asimd asimddp sve i8mm", InstructionSet.NEON_I8MM),
        ("asimd asimddp", InstructionSet.NEON_DOTPROD),
        ("asimd i8mm", InstructionSet.BASELINE),
    ],
)
def test_the_best_of_an_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: str, expected: InstructionSet
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nFeatures\t: fp {features}\n")
    assert detect(cpuinfo) is expected


def test_other_architectures_take_what_the_compiler_assumes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert detect() is InstructionSet.BASELINE


def test_an_x86_without_the_best_may_have_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has AVX512-VNNI need not have AVX-VNNI."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags\t\t: fpu {_AVX512} avx2\n")
    assert usable_sets(cpuinfo) == [
        InstructionSet.AVX512_VNNI, InstructionSet.AVX2, InstructionSet.BASELINE,
    ]  # fmt: skip


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
    """With all that it started, as compilers start their passes: those hold the pipe of errors."""
    use_compiler(monkeypatch, tmp_path, "tail -f /dev/null\nexit 0")
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
    use_compiler(monkeypatch, tmp_path, "echo ours > $OUTPUT")
    assert build().parent == tmp_path / "b"


# ---- For other machines --------------------------------------------------------------------------


def test_a_portable_library_is_found_whatever_the_c_library(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = use_compiler(monkeypatch, tmp_path, "echo whole > $OUTPUT")
    libraries = build_portable(platform.machine(), one_directory)
    assert len(libraries) == len(instruction_sets())
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    asked = calls.read_text()
    assert [build(each) for each in instruction_sets()] == libraries
    assert calls.read_text() == asked, "nothing must be compiled"
    libraries[0].chmod(0o666)
    assert library_path(instruction_sets()[0]) is None
    libraries[-1].unlink()
    assert library_path(instruction_sets()[-1]) is None


def test_sources_that_were_changed_do_not_take_a_portable_library(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_compiler(monkeypatch, tmp_path, "echo theirs > $OUTPUT")
    build_portable(platform.machine(), one_directory)
    changed = tmp_path / "changed.h"
    changed.write_text("// another")
    sources = [*native_build._sources(), changed]
    monkeypatch.setattr(native_build, "_sources", lambda: sources)
    assert library_path(detect()) is None


def test_what_is_too_new_for_other_machines_has_a_replacement() -> None:
    """portable.h has one for whatever is younger than glibc 2.28 and GCC 8; auditwheel refuses it
    in a wheel."""
    symbols = subprocess.run(
        ["objdump", "--dynamic-syms", build()], capture_output=True, text=True, check=True
    ).stdout
    newest = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11)}
    needed = re.findall(rf"\(({'|'.join(newest)})_([\d.]+)\) (\w+)", symbols)
    assert needed
    too_new = {
        symbol
        for library, version, symbol in needed
        if tuple(map(int, version.split("."))) > newest[library]
    }
    replaced = (native_build._SOURCE_DIRECTORY / "portable.h").read_text(encoding="utf-8")
    for symbol in too_new:
        name = re.sub(r"_ZSt\d+|v$", "", symbol)
        assert re.search(rf"\.symver {name},|\b{name}(\(\)| =)", replaced), symbol


def test_the_compiler_of_another_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(native_build.shutil, "which", asked.append)
    with pytest.raises(NativeBuildError, match="looked for riscv64-linux-gnu-g"):
        find_compiler("riscv64")
    assert asked == ["riscv64-linux-gnu-g++"]


# ---- What a library contains is run --------------------------------------------------------------


def test_what_one_compiled_others_find(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = use_compiler(monkeypatch, tmp_path, "echo whole > $OUTPUT; chmod 777 $OUTPUT")
    assert build() == build() == library_path(detect())
    assert calls.read_text() == "\n", "it must be compiled once"
    assert build().read_text() == "whole\n"
    assert sorted(path.name for path in one_directory.iterdir()) == ["lock", build().name]
    assert one_directory.stat().st_mode & 0o777 == 0o700
    assert build().stat().st_mode & 0o022 == 0


def test_a_directory_that_others_may_write_to_is_not_used(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_compiler(monkeypatch, tmp_path, "echo ours > $OUTPUT")
    build()
    one_directory.chmod(0o777)
    assert library_path(detect()) is None
    with pytest.raises(NativeBuildError, match="build: others may write to it, so what it holds"):
        build()


@pytest.mark.parametrize(("mode", "used"), [(0o755, True), (0o1777, True), (0o777, False)])
def test_a_directory_that_others_may_replace_is_not_used(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int, used: bool
) -> None:
    use_compiler(monkeypatch, tmp_path, "echo ours > $OUTPUT")
    library = build()
    one_directory.parent.chmod(mode)
    try:
        assert library_path(detect()) == (library if used else None)
    finally:
        one_directory.parent.chmod(0o700)


@pytest.mark.parametrize("how", ["others may write to it", "a link", "a directory"])
def test_a_file_that_may_be_somebody_elses_is_not_loaded(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    use_compiler(monkeypatch, tmp_path, "echo ours > $OUTPUT")
    library = build()
    if how == "others may write to it":
        library.write_text("theirs")
        library.chmod(0o666)
    elif how == "a link":
        planted = tmp_path / "planted"
        planted.write_text("theirs")
        library.unlink()
        library.symlink_to(planted)
    else:
        library.unlink()
        library.mkdir()
    assert library_path(detect()) is None
    if how == "a directory":
        with pytest.raises(NativeBuildError, match="Is a directory"):
            build()
    else:
        assert build().read_text() == "ours\n"
        assert not library.is_symlink()


@pytest.mark.parametrize(
    ("owner", "mode", "trusted"),
    [
        ("root", 0o755, True),
        ("us", 0o700, True),
        ("us", 0o757, False),
        ("another", 0o700, False),
        ("another", 0o755, False),
    ],
)
def test_who_is_trusted(owner: str, mode: int, trusted: bool) -> None:
    ours = os.geteuid()
    users = {
        "root": 0,
        "us": ours,
        "another": ours + native_build._SOURCE_DIRECTORY.stat().st_uid + 1,
    }
    no_group_of_ours = native_build._SOURCE_DIRECTORY.stat().st_gid + 1
    info = os.stat_result((0o40000 | mode, 1, 1, 1, users[owner], no_group_of_ours, 0, 0, 0, 0))
    assert native_build._is_trusted(info) is trusted


def test_who_may_write_to_the_sources_may_write_the_library(tmp_path: Path) -> None:
    """A checkout that a group shares is shared whole; for another group that says nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_build, "_SOURCE_DIRECTORY", tmp_path)
        tmp_path.chmod(0o775)
        shared = tmp_path / "build"
        shared.mkdir()
        shared.chmod(0o775)
        info = shared.stat()
        assert native_build._is_trusted(info)
        strangers = os.stat_result((*info[:5], info.st_gid + 1, *info[6:]))
        assert not native_build._is_trusted(strangers)
        tmp_path.chmod(0o755)
        assert not native_build._is_trusted(info)


def test_a_lock_that_is_not_given_up_is_not_waited_for_for_ever(
    one_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = use_compiler(monkeypatch, tmp_path, "echo ours > $OUTPUT")
    monkeypatch.setattr(native_build, "_BUILD_SECONDS", 0)
    one_directory.mkdir(mode=0o700)
    with (one_directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NativeBuildError, match="another process has been compiling for 0 s"):
            build()
    assert not calls.exists()
