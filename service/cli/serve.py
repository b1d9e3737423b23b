"""`polyhead serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from service.cli.messages import fail
from service.cli.missing_packages import require
from service.cli.model_options import AUTO_DTYPE, DTYPES

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = ["serve"]


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every network of this machine.")
    ] = "127.0.0.1",
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Replicas of each model  [default: 1]")
    ] = None,
    max_replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Lets each model have up to so many replicas, as the load asks."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="Name of a model, or a model directory; any number of times  "
            "[default: en-de and de-en]",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda  [default: auto]")] = None,
    dtype: Annotated[str | None, typer.Option(help=f"{DTYPES}  [default: {AUTO_DTYPE}]")] = None,
    single_process: Annotated[
        bool, typer.Option(help="One process on the CPU, without Ray: for small machines.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve translations over HTTP from this machine, until Ctrl-C.

    Further settings come from the environment: POLYHEAD_LIMITS__MAX_TEXTS=64, for one.

    \b
    Examples:
      polyhead serve --open
      polyhead serve --port 9000 --replicas 2
      polyhead serve --single-process
      polyhead serve --model path/to/model --dtype float32
    """
    from service.settings import Settings

    given: dict[str, Any] = {}
    if replicas is not None:
        given["replicas"] = replicas
    if max_replicas is not None:
        given["autoscaling"] = {"min_replicas": replicas or 1, "max_replicas": max_replicas}
    if model:
        given["models"] = model
    if single_process:
        given["single_process"] = True
    engine = {"device": device, "dtype": dtype}
    given["engine"] = {name: value for name, value in engine.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValueError as error:  # pydantic's, or a variable that is not JSON
        fail(_first_problem(error))
    _run(settings, host, port, opens_browser=open_page)


def _run(settings: Settings, host: str, port: int, *, opens_browser: bool) -> NoReturn:
    """Serves in one process, or with Ray, which one process does not need."""
    from service.launcher.launch import Address

    address = Address(host=host, port=port)
    if settings.single_process:
        from service.launcher import single_process

        single_process.run(settings, address, opens_browser=opens_browser)
    require("ray")
    from service.launcher import launch

    launch.run(settings, address, opens_browser=opens_browser)


def _first_problem(error: Exception) -> str:
    """The first problem of a pydantic error, in one line."""
    from pydantic import ValidationError

    from service.errors import shown

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "value_error":  # one of our own validators
        return f"`{place}`: {first['ctx']['error']}"
    was = f", but is {shown(first['input'])}" if first["msg"].startswith("Input should") else ""
    return f"`{place}`: {first['msg']}{was}"
