"""CTranslate2's cuBLAS, where only a later one is installed."""

from __future__ import annotations

import glob
import os
import site
from pathlib import Path

__all__ = ["offer_cublas_12"]


def offer_cublas_12(directory: Path) -> bool:
    """Lets CTranslate2 find a cuBLAS where only a later one is installed.

    It opens `libcublas.so.12` by name, and the functions that it takes from there are in later ones
    too. Processes started from now on look into `directory`, and where PyTorch's libraries are.

    Returns:
        Whether there is a library to be found.
    """
    roots = [*site.getsitepackages(), "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"]
    patterns = ("nvidia/**/libcublas.so.1[0-9]", "libcublas.so.1[0-9]")
    found = [
        Path(path)
        for root in roots
        for pattern in patterns
        for path in sorted(glob.glob(f"{root}/{pattern}", recursive=True))
    ]
    if not found:
        return False
    exact = [path for path in found if path.name.endswith(".12")]
    library = (exact or found)[0]
    if not exact:
        (directory / "libcublas.so.12").symlink_to(library)
    before = os.environ.get("LD_LIBRARY_PATH")
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
        [str(directory), str(library.parent), *([before] if before else [])]
    )
    return True
