"""Everything that knows HTTP or Ray. Holds no tensor."""


def version() -> str | None:
    """The installed version; None in a checkout that is not installed."""
    from importlib import metadata

    try:
        return metadata.version("polyhead")
    except metadata.PackageNotFoundError:
        return None
