"""Images and labels on disk: what a sample is, how files are decoded safely, and one module per data set format."""

from importlib import metadata as _metadata


def _refuse_foreign_distribution() -> None:
    """Raise if the distribution named `datasets` is installed: its files and ours would overwrite each other."""
    try:
        _metadata.distribution("datasets")
    except _metadata.PackageNotFoundError:
        return
    raise ImportError(
        "the distribution 'datasets' is installed in this environment and hides Pixelsieve's package of the same name. "
        "Remove it (pip uninstall datasets) or give Pixelsieve an environment of its own (make install)."
    )


_refuse_foreign_distribution()
