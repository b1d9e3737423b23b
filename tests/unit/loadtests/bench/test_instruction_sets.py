"""What holds everybody to one instruction set."""

from __future__ import annotations

import platform

import pytest

from loadtests.bench import instruction_sets
from loadtests.bench.contender import BenchError
from loadtests.bench.instruction_sets import environment, forced_set
from model.engine.native.build import INSTRUCTION_SET_VARIABLE, InstructionSet
from model.engine.native.build import instruction_sets as instruction_sets_of


@pytest.fixture(autouse=True)
def avx2_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(INSTRUCTION_SET_VARIABLE, raising=False)
    usable = [InstructionSet.AVX2, InstructionSet.BASELINE]
    monkeypatch.setattr(instruction_sets, "usable_sets", lambda: usable)


def test_nothing_is_forced() -> None:
    assert forced_set(None) is None
    assert environment(None) == {}


def test_an_option_forces_ours_and_theirs() -> None:
    assert forced_set("avx2") is InstructionSet.AVX2
    assert environment(InstructionSet.AVX2) == {
        "POLYHEAD_INSTRUCTION_SET": "avx2",
        "CT2_FORCE_CPU_ISA": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    }


@pytest.mark.parametrize("forced", instruction_sets_of("aarch64"))
def test_on_arm_others_are_held_to_neon(
    monkeypatch: pytest.MonkeyPatch, forced: InstructionSet
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert environment(forced) == {
        "POLYHEAD_INSTRUCTION_SET": forced,
        "CT2_FORCE_CPU_ISA": "NEON",
        "ONEDNN_MAX_CPU_ISA": "ADVANCED_SIMD",
        "ATEN_CPU_CAPABILITY": "default",
    }


def test_so_does_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INSTRUCTION_SET_VARIABLE, "baseline")
    assert forced_set(None) is InstructionSet.BASELINE


def test_what_the_machine_lacks() -> None:
    with pytest.raises(BenchError, match=r"must be one of avx2, baseline, .* but is 'avx512-vnni'"):
        forced_set("avx512-vnni")


def test_a_set_that_others_have_no_word_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruction_sets, "_VALUES", {"avx2": ("AVX2",) * 4})
    with pytest.raises(BenchError, match="others cannot be held to baseline, only to avx2"):
        environment(InstructionSet.BASELINE)
