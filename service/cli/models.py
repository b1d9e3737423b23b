"""`polyhead models`: the user's own models, imported from those of other projects; and which of
them a running service has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.messages import fail, remark

if TYPE_CHECKING:
    from model.checkpoints.importers.imported import ImportOptions, ImportReport
    from model.checkpoints.manifest import ModelMetadata
    from model.config import TransformerConfig

__all__ = ["app"]

_MOST_LISTED = 4
"""Languages that are told one by one."""
_NAMES = "Name of the model, as `polyhead models list` has it."

app = typer.Typer(
    no_args_is_help=True,
    help="Import models of other projects; list, show and remove them; change a running service's.",
)


_Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder or file, hf:OWNER/NAME[@REVISION], firefox:en-fr[@ARCHITECTURE], "
        "argos:en-fr, or https://... of a zip archive, perhaps with #sha256=...",
    ),
]
_Name = Annotated[
    str | None, typer.Option(help="What the model is called here  [default: as its source]")
]
_To = Annotated[
    Path | None,
    typer.Option(help="Write the model directory here, and not among the user's models."),
]
_Kept = Annotated[
    str | None,
    typer.Option(
        metavar="CODES",
        help="Of a model of many languages, keep these, as in en,de,fr: a smaller vocabulary.",
    ),
]
_Reads = Annotated[
    str | None,
    typer.Option("--source", metavar="CODES", help="What it reads, if its files do not say."),
]
_Writes = Annotated[
    str | None,
    typer.Option("--target", metavar="CODES", help="What it writes, if its files do not say."),
]
_Tokenizer = Annotated[
    list[Path] | None,
    typer.Option(help="Its SentencePiece model, or that of each side, if it lies elsewhere."),
]
_Text = Annotated[
    Path | None,
    typer.Option(help="Lines on which it is shown that `--languages` changes nothing."),
]
_TargetInSource = Annotated[
    bool | None,
    typer.Option(
        "--target-in-source/--no-target-in-source",
        help="Whether sources name the target's language, as SMaLL-100's do, if its files err.",
    ),
]
_License = Annotated[str | None, typer.Option(help="Its licence, if its files err.")]
_IDS = "Id of the model, as the service's /v1/models has it."
_DEFAULT_URL = "http://127.0.0.1:8000"
_Url = Annotated[str, typer.Option(help="The running service.")]
_WAIT_SECONDS = 600.0
_Seconds = Annotated[
    float, typer.Option("--timeout", min=1, help="Seconds to wait until it is done.")
]
_Replace = Annotated[
    bool, typer.Option("--replace", help="Replace a model that has the name already.")
]


@app.command("import")
def import_(
    source: _Source,
    name: _Name = None,
    to: _To = None,
    languages: _Kept = None,
    source_language: _Reads = None,
    target_language: _Writes = None,
    tokenizer: _Tokenizer = None,
    text: _Text = None,
    target_in_source: _TargetInSource = None,
    license: _License = None,
    replace: _Replace = False,
) -> None:
    """Import a model of OPUS-MT, M2M-100, NLLB, Firefox, Marian, CTranslate2 or Argos Translate.

    Downloads are kept in the cache of the user. POLYHEAD_OFFLINE=1 takes only what is there.

    \b
    Examples:
      polyhead models import hf:Helsinki-NLP/opus-mt-en-fr
      polyhead models import firefox:en-fr
      polyhead models import argos:en-fr --name argos
      polyhead models import hf:facebook/nllb-200-distilled-600M --languages en,de,fr
      polyhead models import ~/.local/share/argos-translate/packages
    """
    from model.checkpoints.hub.sources import fetch
    from model.checkpoints.importers.imported import ImportOptions
    from model.checkpoints.importers.registry import models_in
    from model.checkpoints.installed import require_model_name

    if name is not None:
        require_model_name(name)
    fetched = fetch(source)
    found = models_in(fetched.path)
    if len(found) > 1 and (name is not None or to is not None):
        fail(f"`--name` and `--to` must not be given for {len(found)} models at once")
    options = ImportOptions(
        name=name or (fetched.name if len(found) == 1 else None),
        source_languages=_codes(source_language) or fetched.source_languages,
        target_languages=_codes(target_language) or fetched.target_languages,
        license=license,
        tokenizer=tuple(tokenizer or ()),
        languages=_codes(languages),
        texts=() if text is None else _lines(text),
        target_in_source=target_in_source,
        origin=None if fetched.source is None else (fetched.source, fetched.revision),
    )
    _import_all(found, options, to, replace=replace)


@app.command("list")
def list_() -> None:
    """List the models that can be named: the user's own, and those that come with the project.

    \b
    Examples:
      polyhead models list
    """
    from model.checkpoints.embedded import EMBEDDED
    from model.checkpoints.installed import installed_models
    from model.checkpoints.manifest import read_manifest
    from model.errors import CheckpointError

    rows = [("NAME", "LANGUAGES", "SIZE", "LICENCE", "SOURCE")]
    for directory in (*EMBEDDED.values(), *installed_models()):
        size = _mebibytes(_size(directory))
        try:
            metadata = read_manifest(directory).metadata
        except CheckpointError as error:
            remark(str(error))
            rows.append((directory.name, "damaged", size, "", ""))
            continue
        source = "comes with polyhead" if directory.name in EMBEDDED else _origin(metadata)
        rows.append((directory.name, _languages_of(metadata), size, metadata.license, source))
    _print_table(rows)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_NAMES)],
    gpu: Annotated[bool, typer.Option("--gpu", help="The memory that it takes on a GPU.")] = False,
) -> None:
    """Show a model: what it is, where it is from, its licence, and the memory that it takes.

    The memory is of one process on a CPU, beside some 100 MB for the process itself: loaded and
    idle, and what is added by work. A hypothesis takes a slot, of which there are 64 for each
    thread, or 32 where models share a process. NAME may be a directory, too.

    \b
    Examples:
      polyhead models show en-de
      polyhead models show nllb-200-3.3B --gpu
    """
    from model.checkpoints.embedded import model_directory
    from model.checkpoints.manifest import read_manifest
    from model.network.shapes import num_parameters

    directory = model_directory(name)
    manifest = read_manifest(directory)
    config, metadata = manifest.config, manifest.metadata
    sizes = f"{config.src_vocab_size:,}"
    if not config.shared_embeddings:
        sizes += f" of the source, {config.tgt_vocab_size:,} of the target"
    rows = [
        ("name", metadata.name),
        ("version", metadata.version),
        ("directory", str(directory)),
        ("languages", _languages_of(metadata, most=1000)),
        ("licence", metadata.license),
        ("origin", _origin(metadata)),
        ("parameters", f"{num_parameters(config):,}"),
        ("layers", f"{config.num_encoder_layers} of the encoder, {config.num_decoder_layers} of "
         f"the decoder ({config.decoder_kind})"),
        ("width", f"{config.d_model}, in {config.num_heads} heads; {config.d_ff} within "
         f"({config.activation}, {config.norm_order}-norm)"),
        ("vocabulary", f"{sizes} ({metadata.tokenizer.kind})"),
        ("tokens", f"{config.max_positions} at most"),
        ("search", f"a beam of {manifest.generation.beam_size}"),
    ]  # fmt: skip
    if metadata.origin is not None:
        rows += [("format", metadata.origin.format), ("revision", metadata.origin.revision or "-")]
    _print_table(rows)
    print()
    if gpu:
        _print_gpu_memory(config)
    else:
        _print_memory(directory)
    if metadata.origin is not None and metadata.origin.sha256:
        print("\nSHA-256 of the files that it was imported from")
        _print_table([(digest, name) for name, digest in metadata.origin.sha256.items()])


@app.command("add")
def add(
    model: Annotated[
        str, typer.Argument(metavar="NAME", help=f"{_NAMES[:-1]}, or a model directory.")
    ],
    id: Annotated[
        str | None, typer.Option(help="What it is called there  [default: as its directory]")
    ] = None,
    url: _Url = _DEFAULT_URL,
    seconds: _Seconds = _WAIT_SECONDS,
) -> None:
    """Add a model to a running service, while it serves the others.

    The service must be this user's own on this machine, or POLYHEAD_ADMIN_TOKEN its token.

    \b
    Examples:
      polyhead models add opus-mt-en-fr
      polyhead models add path/to/model --id news --url http://127.0.0.1:9000
    """
    from service.cli.running_service import RunningService

    service = RunningService(url)
    # The service may have been started in another folder.
    given = str(Path(model).absolute()) if os.path.sep in model else model
    name = service.add({"model": given} | ({} if id is None else {"id": id}))
    service.wait(name, seconds)
    print(f"{name} is served")


@app.command("reload")
def reload(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_IDS)],
    url: _Url = _DEFAULT_URL,
    seconds: _Seconds = _WAIT_SECONDS,
) -> None:
    """Load a model of a running service anew from its directory, without a gap.

    What cannot be loaded is refused, and the old one goes on.

    \b
    Examples:
      polyhead models reload opus-mt-en-fr
    """
    from service.cli.running_service import RunningService

    service = RunningService(url)
    service.reload(name)
    service.wait(name, seconds)
    print(f"{name} is loaded anew")


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help=_NAMES)],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Annotated[
        str | None,
        typer.Option(help="Remove it from the running service there, and delete nothing."),
    ] = None,
    seconds: _Seconds = _WAIT_SECONDS,
) -> None:
    """Delete a model of the user's; with --url, end its service and keep its files.

    \b
    Examples:
      polyhead models remove opus-mt-en-fr
      polyhead models remove opus-mt-en-fr --url http://127.0.0.1:8000
    """
    if url is not None:
        from service.cli.running_service import RunningService

        service = RunningService(url)
        service.remove(name)
        service.wait(name, seconds, until="gone")
        print(f"{name} is not served any more")
        return
    from model.checkpoints.embedded import EMBEDDED
    from model.checkpoints.installed import installed_model, models_folder, remove_model

    if name in EMBEDDED:
        fail(f"{name} comes with the project, and stays")
    if (directory := installed_model(name)) is None:
        fail(f"there must be a model {name!r} in {models_folder()}, but there is none")
    if not yes:
        typer.confirm(f"Delete {directory}?", abort=True)
    remove_model(directory)
    print(f"{name} is deleted")


def _languages_of(metadata: ModelMetadata, most: int = _MOST_LISTED) -> str:
    """What a model translates, in a few words."""
    return " -> ".join(
        ",".join(codes) if len(codes) <= most else f"{len(codes)} languages"
        for codes in (metadata.source_languages, metadata.target_languages)
    )


def _import_all(
    found: Sequence[Path], options: ImportOptions, to: Path | None, *, replace: bool
) -> None:
    from model.errors import CheckpointError

    errors = []
    for path in found:
        try:
            _print_report(_import(path, options, to, replace=replace))
        except CheckpointError as error:
            if len(found) == 1:
                raise
            remark(str(error))
            errors.append(error)
    if errors:
        fail(f"{len(errors)} of {len(found)} models have not been imported")


def _import(path: Path, options: ImportOptions, to: Path | None, *, replace: bool) -> ImportReport:
    """Imports a model under the name that it is given, or has."""
    from model.checkpoints.embedded import EMBEDDED
    from model.checkpoints.files import CONFIG_FILE
    from model.checkpoints.importers.registry import read_model, write_model
    from model.checkpoints.installed import models_folder, require_model_name
    from model.errors import CheckpointError

    imported = read_model(path, options)
    if to is None:
        name = imported.metadata.name
        require_model_name(name)
        if name in EMBEDDED:
            raise CheckpointError(
                f"{name} is a model that comes with the project: give another `--name`"
            )
        to = models_folder() / name
    if not replace and os.path.exists(to / CONFIG_FILE):
        raise CheckpointError(
            f"{to} is there already: give another `--name`, or `--replace` to replace it"
        )
    try:
        return write_model(imported, to, replace_model=replace)
    except OSError as error:
        raise CheckpointError(f"cannot write {to}: {error}") from error


def _print_report(report: ImportReport) -> None:
    metadata = report.metadata
    print(
        f"{metadata.name}: {_languages_of(metadata)}, {report.num_parameters:,} parameters, "
        f"licence {metadata.license}\n  in {report.directory}"
    )
    for note in report.notes:
        print(f"  {note}")


def _print_memory(directory: Path) -> None:
    from model.config import EngineConfig
    from model.memory import model_memory

    rows = [("MEMORY (MiB)", "WEIGHTS", "LOADED", "A SLOT", "AT WORK", "TOGETHER")]
    for dtype in ("int8", "bfloat16", "float32"):
        engine = EngineConfig(device="cpu", dtype=dtype, num_threads=1, max_slots=64)
        need = model_memory(directory, engine)
        sizes = (need.weights, need.loaded, need.slot, need.working, need.loaded + need.working)
        rows.append((dtype, *(f"{size / 2**20:.1f}" for size in sizes)))  # type: ignore[arg-type]
    _print_table(rows)


_GPU_GIB = (16, 24, 40, 80)
"""Memory of usual GPUs."""


def _print_gpu_memory(config: TransformerConfig) -> None:
    """What an engine would take, and how many hypotheses there would be room for at a time."""
    from model.engine.cuda.memory import gpu_budget, gpu_slots

    rooms = [f"SLOTS IN {size} GiB" for size in _GPU_GIB]
    rows = [("MEMORY (MiB)", "WEIGHTS", "A SLOT", "64 SLOTS", "A STEP OF 64", *rooms)]
    for dtype in ("bfloat16", "float32"):
        one, many = gpu_budget(config, dtype, 1), gpu_budget(config, dtype, 64)
        a_slot = gpu_budget(config, dtype, 2).slots - one.slots
        sizes = (many.weights, a_slot, many.slots, many.scratch)
        slots = [gpu_slots(config, dtype, size * 2**30) for size in _GPU_GIB]
        rows.append((
            dtype,
            *(f"{size / 2**20:.1f}" for size in sizes),
            *("none" if found is None else str(found) for found in slots),
        ))  # fmt: skip
    _print_table(rows)


def _origin(metadata: ModelMetadata) -> str:
    return "trained here" if metadata.origin is None else metadata.origin.source


def _size(directory: Path) -> int:
    """Bytes of the files of a directory, as far as they can be seen: links may lead nowhere."""
    total = 0
    with suppress(OSError):
        for path in directory.iterdir():
            with suppress(OSError):
                total += path.stat().st_size
    return total


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _codes(text: str | None) -> tuple[str, ...]:
    return tuple(code for part in (text or "").split(",") if (code := part.strip()))


def _lines(path: Path) -> tuple[str, ...]:
    """The lines of a file of at most a mebibyte: a proof takes each of them in two ways."""
    from model.errors import InvalidRequestError

    try:
        with path.open("rb") as file:
            content = file.read(2**20 + 1)
        if len(content) > 2**20:
            raise InvalidRequestError(f"{path} must have at most {2**20} bytes, but has more")
        return tuple(content.decode().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"cannot read {path}: {error}") from error


def _print_table(rows: Iterable[tuple[str, ...]]) -> None:
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
