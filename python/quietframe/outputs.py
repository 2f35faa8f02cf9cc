"""Write results so that a final name never holds half a file.

Everything is written beside its final name and renamed when complete; what is interrupted (an error, Ctrl-C) is
removed, and what is killed leaves only a file named ``.NAME.partial-PID`` that no reader takes for a result.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Check, before long work starts, that `path` can be written at its end.

    Parameters
    ----------
    path
        The final name of a file to come.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        When `path` exists and `overwrite` is false, is a folder, or its folder is missing or not writable.
    """
    path = Path(path)
    try:
        is_folder, exists, has_folder = path.is_dir(), path.exists(), path.parent.is_dir()
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another place or name") from None
    if is_folder:
        raise OutputError(f"{path} is a folder; give the name of a file to write")
    if exists and not overwrite:
        raise OutputError(f"{path} exists; choose another name or add --overwrite")
    if not has_folder:
        raise OutputError(
            f"the folder {path.parent} does not exist; make it first, or choose another place for {path.name}"
        )
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} is not writable; choose another place for {path.name}")
    return path


@contextmanager
def atomic_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block ends without an error.

    The temporary name keeps the suffix of `path`, for writers that choose their format by it.

    Parameters
    ----------
    path
        The final name.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        As `check_output`; and when the disk is full or writing fails, with the system's reason.
    """
    path = check_output(path, overwrite=overwrite)
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        _explain(error, path, partial)
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str], *, overwrite: bool = False, marks: Sequence[str] = ()
) -> Iterator[Path]:
    """Give a temporary folder beside `path`, empty; rename it to `path` when the block ends without an error.

    Parameters
    ----------
    path
        The final name of a folder.
    overwrite
        Whether an existing folder may be replaced.
    marks
        Names of which an existing folder must hold one to be replaced: nothing else is ever removed.

    Raises
    ------
    OutputError
        As `check_folder`; and when the disk is full or writing fails, with the system's reason.
    """
    path = check_folder(path, overwrite=overwrite, marks=marks)
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        partial.mkdir()
        yield partial
        if path.exists():
            old = path.with_name(f".{path.stem}.old-{os.getpid()}{path.suffix}")
            os.replace(path, old)
            os.replace(partial, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(partial, path)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        _explain(error, path, partial)
        raise
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def check_folder(path: str | os.PathLike[str], *, overwrite: bool = False, marks: Sequence[str] = ()) -> Path:
    """Check, before long work starts, that the folder `path` can be written at its end.

    Parameters
    ----------
    path, overwrite, marks
        As in `atomic_folder`.

    Raises
    ------
    OutputError
        When `path` is a file, is a folder that is not to be or must not be replaced, or cannot be made.
    """
    path = Path(path)
    if not path.is_dir():
        return check_output(path, overwrite=False)
    if not overwrite:
        raise OutputError(f"{path} exists; choose another name or add --overwrite")
    if not any((path / mark).exists() for mark in marks):
        raise OutputError(f"{path} is a folder of something else, which is not replaced; choose another name")
    return path


def _explain(error: OSError, path: Path, partial: Path) -> None:
    """Raise an `OutputError` where the place, and not the program, is the reason."""
    # NumPy raises without a number when the disk takes only a part of an array.
    if error.errno in {errno.ENOSPC, errno.EDQUOT} or (error.errno is None and "requested and" in str(error)):
        raise OutputError(f"the disk is full: {path} was not written; free some space and run again") from error
    # Whatever else stops the temporary file itself (/proc, a share that went away) is a matter of the place.
    of_partial = isinstance(error.filename, str | os.PathLike) and Path(error.filename).name == partial.name
    if of_partial or error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG}:
        reason = error.strerror or str(error)
        raise OutputError(f"{path} was not written: {reason}; choose another place or name") from error
