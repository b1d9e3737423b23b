"""`polyhead serve`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.cli.messages import fail
from service.cli.model_options import AUTO_DTYPE, DTYPES

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
) -> None:
    """Serve translations over HTTP from this machine, until Ctrl-C.

    Further settings come from the environment: POLYHEAD_LIMITS__MAX_TEXTS=64, for one.

    \b
    Examples:
      polyhead serve
      polyhead serve --port 9000 --replicas 2
      polyhead serve --model path/to/model --dtype float32
    """
    from service.launcher.launch import Address, run
    from service.settings import Settings

    given: dict[str, Any] = {}
    if replicas is not None:
        given["replicas"] = replicas
    if max_replicas is not None:
        given["autoscaling"] = {"min_replicas": replicas or 1, "max_replicas": max_replicas}
    if model:
        given["models"] = model
    engine = {"device": device, "dtype": dtype}
    given["engine"] = {name: value for name, value in engine.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValueError as error:  # pydantic's, or a variable that is not JSON
        fail(_first_problem(error))
    run(settings, Address(host=host, port=port))


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
