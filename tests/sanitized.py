"""A plugin of pytest with which the engine is compiled to watch its own memory: `make sanitize`."""

from model.engine.native import build

build._FLAGS = (
    *(flag for flag in build._FLAGS if not flag.startswith("-O")), "-O1", "-g",
    "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
build._BUILD_SECONDS = 1800
