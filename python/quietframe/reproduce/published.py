"""Figures that others published, put in by whoever has the publication: a CSV file beside ours.

Columns ``scene, filter, psnr, nrmse, ssim``, one row per figure, a field that was not published left empty. Nothing is
filled in here: a number that nobody gave is not shown.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from ..errors import InputError

COLUMNS = ("scene", "filter", "psnr", "nrmse", "ssim")
"""Columns of the file."""

Published = dict[tuple[str, str], dict[str, float]]


def read_published(path: Path | None) -> Published:
    """Read published figures.

    Parameters
    ----------
    path
        CSV file with the columns of `COLUMNS`; None for no figures.

    Returns
    -------
    dict
        (scene, filter) -> measure -> figure; measures that were not published are left out.

    Raises
    ------
    InputError
        When the file cannot be read, lacks a column, or holds what is no number.
    """
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}; give a CSV file with {', '.join(COLUMNS)}") from None
    found: Published = {}
    for number, row in enumerate(rows, 2):
        if not set(COLUMNS) <= set(row):
            raise InputError(f"{path} needs the columns {', '.join(COLUMNS)}; got {', '.join(map(str, row))}")
        key = str(row["scene"]).strip(), str(row["filter"]).strip()
        found[key] = {name: _number(path, number, row[name]) for name in COLUMNS[2:] if (row[name] or "").strip()}
    return found


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {line}: {text!r} is no number; leave unknown figures empty")
    return value
