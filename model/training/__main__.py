"""`python -m model.training RECIPE`: `polyhead train` for torchrun, and where no service is.

torchrun --nproc-per-node 8 -m model.training recipe.yaml --data-root FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.errors import PolyheadError
from model.training.processes import started_by_torchrun
from model.training.trainer import train

__all__ = ["main"]


def main() -> int:
    """Trains; 75 (EX_TEMPFAIL) says that the run was interrupted and can be resumed.

    To torchrun it says 0 then too: anything else is a failure there, after which it starts again.
    """
    parser = argparse.ArgumentParser(prog="python -m model.training", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run-dir", type=Path, help="default: runs/ and the recipe's name")
    parser.add_argument("--data-root", type=Path, help="takes the place of the recipe's data.root")
    parser.add_argument(
        "--stop-after", type=float, metavar="SECONDS", help="put the run aside then"
    )
    parser.add_argument(
        "--usable-every",
        type=float,
        metavar="SECONDS",
        help="keep the best weights so far as a model directory, RUN_DIR/usable",
    )
    options = parser.parse_args()
    try:
        directory = train(
            options.recipe,
            run_dir=options.run_dir or Path("runs") / options.recipe.stem,
            data_root=options.data_root,
            stop_after=options.stop_after,
            usable_every=options.usable_every,
        )
    except PolyheadError as error:
        print(error, file=sys.stderr)
        return 2
    if directory is None:
        return 0 if started_by_torchrun() else 75
    print(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
