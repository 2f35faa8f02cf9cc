"""The folder of a training run: what lies in it, whose it is, whether it may be continued or replaced.

``settings.json`` is written first and ``model.zip`` last; every file appears under its name only when it is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, OptionError, OutputError
from ..outputs import atomic_output

FORMAT = 1
"""Version of ``settings.json``."""

FILES = ("settings.json", "checkpoint.pt", "history.csv", "losses.png", "model.zip", "noise_correlation.png")
"""What a run writes; nothing else is ever removed."""

_MAY_CHANGE = ("device",)


def read_record(run: Path) -> dict[str, Any] | None:
    """Read ``settings.json`` of a run folder; None where the folder does not exist or holds nothing yet.

    Raises
    ------
    OutputError
        When `run` is a file, or a folder with files that are not of a run.
    InputError
        When ``settings.json`` is damaged.
    """
    if run.exists() and not run.is_dir():
        raise OutputError(f"{run} is a file; --out takes a folder for the run")
    path = run / "settings.json"
    if path.is_file():
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            record["method"], record["settings"], record["schedule"], record["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({type(error).__name__}); train into a new folder") from error
        return record
    if run.is_dir() and any(not item.name.startswith(".") for item in run.iterdir()):
        raise OutputError(f"{run} exists and is not the folder of a training run; choose another --out")
    return None


def check_run(run: Path, *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Check, before long work starts, that a run may be written to `run`.

    Returns
    -------
    dict or None
        The record of the run to continue; None for a new one.

    Raises
    ------
    OptionError
        When both `resume` and `overwrite` are asked for.
    OutputError
        When the folder holds a run and neither is asked for, or cannot be written.
    """
    if resume and overwrite:
        raise OptionError("--resume continues a run and --overwrite replaces it; give one of them")
    record = read_record(run)
    if record is not None and not (resume or overwrite):
        raise OutputError(f"{run} holds a run already; choose another --out, or add --resume or --overwrite")
    place = run if run.is_dir() else run.parent
    if not place.is_dir():
        raise OutputError(f"the folder {place} does not exist; make it first, or choose another place for {run.name}")
    if not os.access(place, os.W_OK):
        raise OutputError(f"the folder {place} is not writable; choose another place for {run.name}")
    return record if resume else None


def same_options(
    run: Path, kind: str, saved: Mapping[str, Any], given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of a run to continue: the saved ones; what was given and is no default must agree.

    Parameters
    ----------
    run, kind
        Folder, and what the options are, for messages.
    saved, given, defaults
        Option names and values.

    Raises
    ------
    OptionError
        When an option differs.
    """
    for name, value in given.items():
        if name not in saved:
            raise OptionError(f"{run} was written by another version (it knows no {kind} {name}); choose a new --out")
        if value not in (saved[name], defaults[name]) and name not in _MAY_CHANGE:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(f"{run} was started with {option} {saved[name]}; it cannot resume with {option} {value}")
    return {**given, **{name: saved[name] for name in given if name not in _MAY_CHANGE}}


def start_run(run: Path, record: Mapping[str, Any]) -> None:
    """Make the folder, take out what an older or killed run left there, and write ``settings.json``.

    Parameters
    ----------
    run
        Folder; its parent exists.
    record
        Plain values: ``method, settings, schedule, files, quietframe``.
    """
    try:
        run.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {run} cannot be made: {error.strerror}") from error
    for name in FILES[1:]:  # settings.json is replaced below, so that the folder is a run's at every moment
        (run / name).unlink(missing_ok=True)
    for log in (run / "tensorboard").glob("events.out.tfevents.*"):
        log.unlink(missing_ok=True)
    remove_partial(run)
    with atomic_output(run / "settings.json", overwrite=True) as partial:
        partial.write_text(json.dumps({"format": FORMAT, **record}, indent=2) + "\n", encoding="utf-8")


def remove_partial(run: Path) -> None:
    """Remove half-written files that a killed run left under temporary names."""
    for name in FILES:
        stem, _, suffix = name.rpartition(".")
        for partial in run.glob(f".{stem}.partial-*.{suffix}"):
            partial.unlink(missing_ok=True)


def adopt_pictures(run: Path, folder: Path) -> None:
    """Copy the pictures that a method has drawn of its data into a run folder.

    Parameters
    ----------
    run
        Run folder.
    folder
        Where they were drawn; only PNG files are taken.
    """
    for picture in sorted(folder.glob("*.png")):
        with atomic_output(run / picture.name, overwrite=True) as partial:
            partial.write_bytes(picture.read_bytes())
