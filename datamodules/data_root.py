"""Finding the files of a data set, and fetching them from the Hugging Face hub where they are absent."""

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_unlearn.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a data set lies and where it comes from.

    Attributes:
        folder: its folder inside `data_root`.
        missing: names of the files that a folder lacks.
        page: where a person gets the files.
        repository: data set of the hub that `write` can turn into these files; None where there is none.
        write: writes the files from a `datasets.DatasetDict` into a folder; from one by name where there are
            `configurations`.
        configurations: of the repository, if it has several.
    """

    folder: str
    missing: Callable[[Path], list[str]]
    page: str
    repository: str | None = None
    write: Callable[[Any, Path], None] | None = None
    configurations: tuple[str, ...] = ()


def locate(data_root: str, source: Source) -> Path:
    """The folder of a data set with all its files in it.

    An absent folder is downloaded; one that is there is never written to, so that a file of the user's is never lost.

    Args:
        data_root: folder of all data sets; `~` is expanded.
        source: the data set.

    Raises:
        UserError: files are missing and could not be downloaded.
    """
    path = Path(data_root).expanduser() / source.folder
    attempt = ""
    if source.repository is not None and not path.exists():
        try:
            _download(source, path)
        except Exception as error:  # whatever the hub's libraries raise: it is told in the line below
            attempt = f" (not downloaded: {_first_line(error)})"
    missing = source.missing(path)
    if missing:
        what = f"no folder {path} with" if not path.is_dir() else f"folder {path} lacks"
        raise UserError(
            f"data_root={data_root}: {what} {', '.join(missing)}{attempt}; get them from {source.page}, "
            f"or set data_root (or LIT_UNLEARN_DATA) to the folder that holds {source.folder}"
        )
    return path


def _download(source: Source, path: Path) -> None:
    """Writes a data set's files beside their folder and renames that into place when they are complete."""
    for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if os.environ.get(switch, "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise ConnectionError(f"{switch} is set")
    import datasets  # only where a download is due
    from huggingface_hub import HfApi

    assert source.repository is not None and source.write is not None
    HfApi().dataset_info(source.repository, timeout=5)  # fails at once without network; `load_dataset` tries for 20 s
    log.info(f"data: downloading {source.repository} from the Hugging Face hub into {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        complete = Path(scratch) / path.name
        complete.mkdir()
        cache = f"{scratch}/hub"
        if source.configurations:
            named = source.configurations
            source.write({n: datasets.load_dataset(source.repository, n, cache_dir=cache) for n in named}, complete)
        else:
            source.write(datasets.load_dataset(source.repository, cache_dir=cache), complete)
        if not path.exists():  # another process of the same job may have been faster
            complete.rename(path)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
