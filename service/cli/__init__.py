"""The `polyhead` command. Subcommands import what they need when they run: help is quick.

serve       `polyhead serve`
translate   `polyhead translate`
attention   `polyhead attention`
models      `polyhead models import`, `list`, `show`, `remove`, `add`, `reload`
training    `polyhead train`, `polyhead evaluate`
measuring   `polyhead bench`, `polyhead loadtest`
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from service import version as installed_version
from service.cli import attention, keys, measuring, models, serve, stored, training, translate
from service.cli.messages import fail
from service.cli.missing_packages import explained
from service.cli.utf8_mode import require_utf8

__all__ = ["app", "main"]

_OLDEST_PYTHON = (3, 11)

app = typer.Typer(
    name="polyhead",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> NoReturn:
    """Runs the command line; a PolyheadError becomes one line on stderr and status 1, and so does
    a package that this installation leaves out."""
    require_utf8()
    if sys.version_info < _OLDEST_PYTHON:
        fail(f"Python must be 3.11 or newer, but is {sys.version.split()[0]}")
    from model.errors import PolyheadError

    try:
        app()
    except PolyheadError as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        if (told := explained(error)) is None:
            raise
        fail(str(told))
    sys.exit(0)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"polyhead {installed_version() or 'from a checkout that is not installed'}")
        raise typer.Exit


@app.callback()
def polyhead(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """A translation service to run yourself, on a Transformer of its own.

    \b
    Examples:
      polyhead serve
      polyhead translate "Good morning!"
      polyhead models import firefox:en-fr
      polyhead train recipe.yaml
    """


# `polyhead --help` lists them in this order.
for _command in (
    serve.serve,
    translate.translate,
    attention.attention,
    training.train,
    training.evaluate,
    measuring.bench,
    measuring.loadtest,
    stored.suggestions,
):
    app.command()(_command)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(stored.app, name="store")
