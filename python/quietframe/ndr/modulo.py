"""Several exposures along T of one OME-TIFF: its ModuloAlongT says how many reads belong to one."""

from __future__ import annotations

import re
from pathlib import Path

_TAG = re.compile(r"<(?:\w+:)?ModuloAlongT\b([^>]*?)(/?)>(.*?)(?=</(?:\w+:)?ModuloAlongT>|$)", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)\s*=\s*"([^"]*)"')
_LABEL = re.compile(r"<(?:\w+:)?Label\b")


def reads_per_exposure(path: Path) -> int | None:
    """Return how many reads one exposure of an OME-TIFF has; None where nothing says so.

    T counts ``exposure * reads + read``. Start, End and Step of the annotation are taken, or its labels are counted.

    Parameters
    ----------
    path
        The file.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            text = tiff.ome_metadata if tiff.is_ome else None
    except (tifffile.TiffFileError, OSError, ValueError):
        return None
    return parse(text or "")


def parse(text: str) -> int | None:
    """Read the annotation out of OME-XML; pattern matching, since foreign XML is not to be trusted with a parser."""
    found = _TAG.search(text)
    if found is None:
        return None
    values = dict(_ATTRIBUTE.findall(found[1]))
    labels = 0 if found[2] else len(_LABEL.findall(found[3]))
    if labels:
        return labels
    try:
        start, end, step = (
            float(values.get(name, default)) for name, default in (("Start", "0"), ("End", ""), ("Step", "1"))
        )
        count = int((end - start) / step + 1e-6) + 1
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return count if count >= 2 else None
