"""What ctypes believes of interface.h is what the compiler makes of it."""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

from model.engine.native import c_interface
from model.engine.native.build import find_compiler

HEADER = Path(c_interface.__file__).with_name("interface.h")
_STRUCT = re.compile(r"struct (Ph\w+) \{(.*?)\};", re.DOTALL)


def _declared() -> dict[str, list[str]]:
    """The fields of each structure, in order; what macros stand for is written out."""
    expanded = subprocess.run(
        [find_compiler(), "-std=c++20", "-E", "-P", "-x", "c++", str(HEADER)],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    found = {}
    for name, body in _STRUCT.findall(expanded):
        # The first name follows a type, the others a comma.
        found[name] = re.findall(r"(\w+)\s*(?=[,;])", body)
    return found


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, int, int]]]:
    """Each structure as the compiler lays it out: its size, then its fields' names, offsets and
    sizes."""
    folder = tmp_path_factory.mktemp("layouts")
    lines = []
    for name, fields in _declared().items():
        lines.append(f'std::printf("{name} . 0 %zu\\n", sizeof({name}));')
        for field in fields:
            at, size = f"offsetof({name}, {field})", f"sizeof({name}::{field})"
            lines.append(f'std::printf("{name} {field} %zu %zu\\n", {at}, {size});')
    source = folder / "layouts.cc"
    source.write_text(
        f'#include <cstddef>\n#include <cstdio>\n#include "{HEADER}"\n'
        f"int main() {{ {' '.join(lines)} }}\n"
    )
    program = folder / "layouts"
    subprocess.run(
        [find_compiler(), "-std=c++20", str(source), "-o", str(program)], timeout=60, check=True
    )
    printed = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, list[tuple[str, int, int]]] = {}
    for line in printed.stdout.splitlines():
        name, field, offset, size = line.split()
        found.setdefault(name, []).append((field, int(offset), int(size)))
    return found


def _layout(structure: type[ctypes.Structure]) -> list[tuple[str, int, int]]:
    fields = [(name, getattr(structure, name)) for name, *_ in structure._fields_]
    return [
        (".", 0, ctypes.sizeof(structure)),
        *((name, field.offset, field.size) for name, field in fields),
    ]


def test_every_structure_is_laid_out_as_in_c(
    layouts: dict[str, list[tuple[str, int, int]]],
) -> None:
    structures = {
        name: value
        for name, value in vars(c_interface).items()
        if isinstance(value, type) and issubclass(value, ctypes.Structure)
    }
    assert structures
    # CModelConfig is PhModelConfig, and so on.
    assert {f"Ph{name[1:]}": _layout(value) for name, value in structures.items()} == layouts


def test_every_status_has_its_number() -> None:
    text = HEADER.read_text(encoding="utf-8")
    listed = re.search(r"enum PhStatus[^{]*\{(.*?)\}", text, re.DOTALL)
    assert listed
    numbers = {name: int(number) for name, number in re.findall(r"kPh(\w+) = (\d+)", listed[1])}
    ours = {status.name.title().replace("_", ""): status.value for status in c_interface.Status}
    assert numbers == ours


def test_every_function_has_as_many_arguments_as_in_c() -> None:
    text = HEADER.with_name("interface.cc").read_text(encoding="utf-8")
    found = dict(re.findall(r"PH_EXPORT [\w:*\s]*?(ph_\w+)\(([^)]*)\)", text))
    counts = {name: len(arguments.split(",")) for name, arguments in found.items()}
    ours = {name: len(types) - 1 for name, types in c_interface._SIGNATURES.items()}
    assert counts == ours
