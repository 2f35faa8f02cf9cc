"""Classical filters, one per file. The folder listing is the registry."""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import unknown

_FOLDER = Path(__file__).parent


@cache
def filter_names() -> tuple[str, ...]:
    """Return the names of all filters: the files of this folder."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.py") if not file.stem.startswith("_")))


def filter_docstring(name: str) -> str:
    """Return the docstring of a filter's file without importing it."""
    return ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""


def filter_summary(name: str) -> str:
    """Return the first paragraph of a filter's docstring without importing its file."""
    return " ".join(filter_docstring(name).partition("\n\n")[0].split())


def load_filter(name: str) -> Any:
    """Import a filter's file: ``AXES``, ``NOISE``, ``Settings``, ``halo`` and ``apply``.

    Parameters
    ----------
    name
        As `filter_names` lists it; a hyphen stands for an underscore.

    Raises
    ------
    OptionError
        When there is no such filter, with the nearest names.
    """
    wanted = name.strip().lower().replace("-", "_")
    if wanted not in filter_names():
        raise unknown("filter", name, [known.replace("_", "-") for known in filter_names()])
    return import_module(f"{__name__}.{wanted}")
