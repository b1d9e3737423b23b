"""Products, attention and functions in C++, each alone, on every instruction set that is here."""

import ctypes
import hashlib
import math
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.engine.native import build as native_build
from model.engine.native.binding import PRECISIONS
from model.engine.native.build import InstructionSet, find_compiler, instruction_sets, usable_sets

Floats = NDArray[np.float32]
ACTIVATIONS = {"none": 0, "relu": 1, "gelu": 2, "silu": 3, "gelu_tanh": 4, "gelu_sigmoid": 5}
ROWS = (1, 2, 3, 4, 5, 6, 7, 12, 13, 33, 50, 101)
"""Every tile, even and uneven blocks, few and many of them."""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[InstructionSet], Path]:
    """Compiles kernels.cc, once for each instruction set."""
    directory = tmp_path_factory.mktemp("kernels")

    def library(instruction_set: InstructionSet) -> Path:
        path = directory / f"{instruction_set}.so"
        if not path.exists():
            flags = (*native_build._FLAGS, *native_build._MACHINE_FLAGS[instruction_set])
            include = f"-I{native_build._SOURCE_DIRECTORY}"
            source = Path(__file__).parent / "kernels.cc"
            native_build._run([find_compiler(), *flags, include, str(source), "-o", str(path)])
        return path

    return library


class Kernels:
    """The functions of kernels.cc on arrays."""

    def __init__(self, library: Path, instruction_set: InstructionSet) -> None:
        self._library = ctypes.CDLL(str(library))
        self.instruction_set = instruction_set
        self.fused = bool(self._library.has_fused_multiply_add())

    def product(
        self,
        precision: str,
        x: Floats,
        weight: Floats,
        *,
        bias: Floats | None = None,
        activation: str = "none",
        residual: Floats | None = None,
    ) -> Floats:
        """(rows, inputs) and (outputs, inputs) -> (rows, outputs)."""
        shape = (len(x), len(weight))
        y = np.zeros(shape, np.float32) if residual is None else residual.copy()
        self._library.product_of(
            PRECISIONS[precision], len(x), x.shape[1], len(weight), _pointer(x), _pointer(weight),
            None if bias is None else _pointer(bias), ACTIVATIONS[activation],
            int(residual is not None), _pointer(y),
        )  # fmt: skip
        return y

    def attention(self, query: Floats, keys: Floats, values: Floats, *, narrow: bool) -> Floats:
        """(K), (positions, K), (positions, K) -> (K)."""
        out = np.zeros_like(query)
        self._library.attention_of(
            int(narrow), len(query), len(keys), *map(_pointer, (query, keys, values, out))
        )
        return out

    def function(self, name: str, x: Floats) -> Floats:
        """A function of all numbers, 16 at a time."""
        y = np.zeros_like(x)
        for at in range(0, len(x), 16):
            kind = 0 if name == "exponential" else ACTIVATIONS[name]
            self._library.function_of(kind, _pointer(x[at:]), _pointer(y[at:]))
        return y


def _pointer(array: Floats) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


@pytest.fixture(scope="module", params=usable_sets())
def kernels(request: pytest.FixtureRequest, compiled: Callable[[InstructionSet], Path]) -> Kernels:
    return Kernels(compiled(request.param), request.param)


def whole_numbers(shape: tuple[int, int], seed: int) -> Floats:
    """From -127 to 127, each row with one of those two: their own int8, with a scale of 1."""
    generator = np.random.default_rng(seed)
    numbers = generator.integers(-127, 128, shape)
    numbers[:, 0] = generator.choice([-127, 127], shape[0])
    return numbers.astype(np.float32)


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# ---- Products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [1, 15, 16, 17, 100, 1030])
@pytest.mark.parametrize("inputs", [1, 3, 4, 5, 16, 31, 100, 256])
def test_int8_products_are_exact(kernels: Kernels, inputs: int, outputs: int) -> None:
    weight = whole_numbers((outputs, inputs), seed=1)
    for rows in ROWS if inputs * outputs < 40_000 else (4, 50):
        x = whole_numbers((rows, inputs), seed=rows)
        expected = x.astype(np.int64) @ weight.astype(np.int64).T
        assert np.array_equal(kernels.product("int8", x, weight), expected.astype(np.float32))


def test_int8_products_of_numbers_large_together_are_exact(kernels: Kernels) -> None:
    """AVX2 splits words where two of them do not fit 16 bits: none, some or all of a row's."""
    weight = whole_numbers((100, 550), seed=1)
    weight[3], weight[4] = 127.0, -127.0
    small = np.clip(whole_numbers((1, 550), seed=2)[0], -63, 63)
    for rows in ROWS:
        x = np.repeat(small[None], rows, axis=0)
        x[:, 0] = 127.0
        generator = np.random.default_rng(rows)
        for row in x[::2]:
            large = generator.choice(550, generator.integers(0, 551), replace=False)
            row[large] = generator.choice([-127, -65, 64, 65, 127], len(large))
        expected = x.astype(np.int64) @ weight.astype(np.int64).T
        assert np.array_equal(kernels.product("int8", x, weight), expected.astype(np.float32))


@pytest.mark.parametrize("sign", [-127.0, 127.0])
def test_the_largest_int8_products_do_not_overflow(kernels: Kernels, sign: float) -> None:
    """So many inputs, all of the largest size and of one sign, are what 32 bits hold."""
    inputs = 1 << 16
    weight = np.full((17, inputs), 127.0, np.float32)
    weight[1] *= -1
    weight[2, ::2] *= -1
    weight[3, ::4] = 0.0
    for rows in (1, 2, 3, 4, 6):
        x = np.full((rows, inputs), sign, np.float32)
        expected = x.astype(np.int64) @ weight.astype(np.int64).T
        assert np.array_equal(kernels.product("int8", x, weight), expected.astype(np.float32))


def test_int8_rounds_half_to_even(kernels: Kernels) -> None:
    x = np.array([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 0.49999997]], np.float32)
    weight = np.full((8, 8), 0.0, np.float32)
    np.fill_diagonal(weight, 127.0)
    rounded = np.array([[127, 0, 2, 2, 0, -2, 126, 0]], np.float32)
    assert np.array_equal(kernels.product("int8", x, weight), rounded * 127)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (24, 40), (250, 100), (512, 50)])
def test_products_are_near_what_they_must_be(
    kernels: Kernels, precision: str, inputs: int, outputs: int
) -> None:
    x, weight, bias = normal(7, inputs), normal(outputs, inputs, seed=1), normal(outputs, seed=2)
    exact = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    tolerance = {"float32": 1e-5, "bfloat16": 1e-2, "int8": 6e-2}[precision] * math.sqrt(inputs)
    result = kernels.product(precision, x, weight, bias=bias)
    assert np.abs(result - exact).max() < tolerance
    relu = kernels.product(precision, x, weight, bias=bias, activation="relu")
    assert np.array_equal(relu, np.maximum(result, 0.0))
    residual = normal(7, outputs, seed=3)
    added = kernels.product(precision, x, weight, bias=bias, residual=residual)
    assert np.array_equal(added, result + residual)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_does_not_depend_on_its_neighbours(kernels: Kernels, precision: str) -> None:
    weight = normal(130, 100, seed=1)
    for rows in ROWS:
        x = normal(rows, 100, seed=rows)
        together = kernels.product(precision, x, weight)
        alone = [kernels.product(precision, x[i : i + 1], weight)[0] for i in range(rows)]
        assert np.array_equal(together, alone)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_stay_so_and_harm_no_other(
    kernels: Kernels, precision: str, poison: float
) -> None:
    x, weight = normal(6, 100), np.abs(normal(40, 100, seed=1))
    expected = kernels.product(precision, x, weight)
    for place in (0, 17, 99):
        poisoned = x.copy()
        poisoned[3, place] = poison
        result = kernels.product(precision, poisoned, weight)
        assert not np.isfinite(result[3]).any()
        assert np.array_equal(np.delete(result, 3, axis=0), np.delete(expected, 3, axis=0))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_of_zeros_give_the_bias(kernels: Kernels, precision: str) -> None:
    bias = normal(40, seed=2)
    result = kernels.product(
        precision, np.zeros((3, 20), np.float32), normal(40, 20, seed=1), bias=bias
    )
    assert np.array_equal(result, [bias] * 3)


# ---- Attention and functions ---------------------------------------------------------------------


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("head_dim", [8, 16, 32, 40, 64, 128])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 50])
def test_attention_is_near_what_it_must_be(
    kernels: Kernels, narrow: bool, head_dim: int, count: int
) -> None:
    query = normal(head_dim) / math.sqrt(head_dim)
    keys, values = normal(count, head_dim, seed=1), normal(count, head_dim, seed=2)
    scores = keys.astype(np.float64) @ query
    weights = np.exp(scores - scores.max())
    expected = weights / weights.sum() @ values
    result = kernels.attention(query, keys, values, narrow=narrow)
    assert np.abs(result - expected).max() < (2e-2 if narrow else 2e-6)


def test_functions_are_as_exact_as_they_say(kernels: Kernels) -> None:
    x = np.concatenate([np.linspace(-87, 88, 4000), np.linspace(-6, 6, 4000)]).astype(np.float32)
    wide = x.astype(np.float64)
    exponential = kernels.function("exponential", x)
    assert np.abs(exponential / np.exp(wide) - 1).max() < 3e-7
    gelu = wide * np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in wide])
    error = np.abs(kernels.function("gelu", x) - gelu)
    assert (error <= np.maximum(3e-7 * np.abs(wide), 1e-6)).all()
    assert np.abs(kernels.function("silu", x) - wide / (1 + np.exp(-wide))).max() < 2e-5
    by_tanh = wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))) / 2
    assert np.abs(kernels.function("gelu_tanh", x) - by_tanh).max() < 2e-5
    by_sigmoid = wide / (1 + np.exp(-1.702 * wide))
    assert np.abs(kernels.function("gelu_sigmoid", x) - by_sigmoid).max() < 2e-5


def test_functions_of_what_is_not_finite(kernels: Kernels) -> None:
    x = np.array([math.nan, math.inf, -math.inf, -100.0] * 4, np.float32)
    with np.errstate(invalid="ignore"):
        assert np.isnan(kernels.function("exponential", x)[0])
        assert kernels.function("exponential", x)[2:4].tolist() == [0.0, 0.0]
        assert np.isnan(kernels.function("gelu", x)[0])
        assert kernels.function("gelu", x)[1] == math.inf


# ---- The same everywhere -------------------------------------------------------------------------


def digest(arrays: Iterator[Floats]) -> str:
    summed = hashlib.sha256()
    for array in arrays:
        summed.update(array.tobytes())
    return summed.hexdigest()[:16]


def exact_floats(*shape: int, seed: int) -> Floats:
    """Numbers from -2 to 2 that look random and are the same on every machine."""
    places = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(1_000_003 * seed + 1)
    mixed = places * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)  # 24 bits
    return ((mixed.astype(np.float64) - 2**23) / 2**22).astype(np.float32).reshape(shape)


DIGESTS = {
    "float32": "ad1b11dfd1a879dd",
    "bfloat16": "4e0731dafbf88c36",
    "int8": "f7e4a273f43272fe",
    "attention": "052486d5113f0ecf",
    "functions": "eca83eea656665d3",
}
"""Digests of results, as computed by instruction sets with fused multiply-adds, on x86 and ARM."""
WITHOUT_FUSED = {InstructionSet.BASELINE} if platform.machine() in ("x86_64", "AMD64") else set()
"""Instruction sets without fused multiply-adds: last bits differ."""
OWN_ROUNDING = (InstructionSet.AVX512_BF16, "bfloat16")
"""An instruction that adds and rounds in its own way."""
SAME_BITS = [
    (each, what)
    for each in usable_sets()
    for what in DIGESTS
    if each not in WITHOUT_FUSED and (each, what) != OWN_ROUNDING
]


@pytest.mark.parametrize(("kernels", "what"), SAME_BITS, indirect=["kernels"])
def test_every_instruction_set_gives_the_same_bits(kernels: Kernels, what: str) -> None:
    assert kernels.fused

    def results() -> Iterator[Floats]:
        weight, bias = exact_floats(100, 250, seed=1), exact_floats(100, seed=2)
        for size in (1, 7, 40):
            x = exact_floats(size, 250, seed=size)
            if what in PRECISIONS:
                yield kernels.product(what, x, weight, bias=bias)
            elif what == "functions":
                for name in ("exponential", "gelu", "silu"):
                    yield kernels.function(name, x[0, :240])
            else:
                for head_dim in (16, 40, 64, 128):
                    keys, values = (exact_floats(size, head_dim, seed=seed) for seed in (3, 4))
                    for narrow in (False, True):
                        yield kernels.attention(x[0, :head_dim].copy(), keys, values, narrow=narrow)

    assert digest(results()) == DIGESTS[what]


# ---- What the compiler made of it ----------------------------------------------------------------


@dataclass(frozen=True)
class Instruction:
    address: int
    name: str
    operands: str


MULTIPLY = re.compile("vfmadd|mulps|vpdp|vdpbf16|pmaddwd")
VECTOR = re.compile("%[xyz]mm")
STORED = re.compile(r"^%[xyz]mm\d+,[^%]*\(")
ON_STACK = re.compile(r"\(%rsp|-0x[0-9a-f]+\(%rbp\)")


def inner_loops(library: Path) -> list[tuple[str, list[Instruction]]]:
    """All inner loops that multiply, each with the name of its tile."""
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", str(library)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = []
    for function in text.split("\n\n"):
        tile = re.match(r"[0-9a-f]+ <.*\btile<polyhead::(\w+, \d+, \d+)>", function)
        if tile is None:
            continue
        lines = re.findall(r"^ *([0-9a-f]+):\s+(?:\{\w+\} )?(\S+) *(.*)$", function, re.MULTILINE)
        code = [Instruction(int(address, 16), *rest) for address, *rest in lines]
        places = {each.address: place for place, each in enumerate(code)}
        loops: list[range] = []
        for end, each in enumerate(code):
            target = re.match("[0-9a-f]+", each.operands) if each.name.startswith("j") else None
            begin = places.get(int(target[0], 16), end + 1) if target else end + 1
            if any(MULTIPLY.match(step.name.removeprefix("v")) or MULTIPLY.match(step.name)
                   for step in code[begin : end + 1]):  # fmt: skip
                loops.append(range(begin, end + 1))
        inner = [loop for loop in loops if not any(e != loop and e.start in loop for e in loops)]
        found += [(tile[1], [code[place] for place in loop]) for loop in inner]
    return found


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86 alone")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
@pytest.mark.parametrize("instruction_set", instruction_sets())
def test_inner_loops_of_products_stay_in_registers(
    compiled: Callable[[InstructionSet], Path], instruction_set: InstructionSet
) -> None:
    """A compiler that runs out of registers keeps sums on the stack: three times slower."""
    loops = inner_loops(compiled(instruction_set))
    tiles = {tile for tile, _ in loops}
    assert len(tiles) >= 9
    kinds = {tile.split(",")[0] for tile in tiles}
    assert kinds == {"Float32Dot", "Bfloat16Dot", "Int8Dot"}
    spilled = [
        f"{tile}: {step.name} {step.operands}"
        for tile, loop in loops
        for step in loop
        if VECTOR.search(step.operands)
        and (STORED.search(step.operands) or ON_STACK.search(step.operands))
    ]
    assert not spilled


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86 alone")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
def test_inner_loops_of_products_begin_a_cache_line(
    compiled: Callable[[InstructionSet], Path],
) -> None:
    """Else what is changed elsewhere moves them, and makes them up to a tenth slower."""
    loops = inner_loops(compiled(InstructionSet.AVX2))
    assert [(tile, loop[0].address % 64) for tile, loop in loops if loop[0].address % 64] == []
