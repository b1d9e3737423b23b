"""A plugin of pytest with which the engine is compiled to watch its own memory: `make sanitize`.

Run as a program it compiles all libraries that this machine can run: with the sanitizer's own
library loaded before all others, as the tests need it, compilers are slow.
"""

from model.engine.native import build

build._FLAGS = (
    *(flag for flag in build._FLAGS if not flag.startswith("-O")), "-O1", "-g",
    "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
build._BUILD_SECONDS = 1800

if __name__ == "__main__":
    for each in build.usable_sets():
        print(build.build(each), flush=True)
