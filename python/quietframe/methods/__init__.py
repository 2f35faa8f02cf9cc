"""Learned denoisers, one per file. The folder listing is the registry."""

from __future__ import annotations

import ast
from pathlib import Path

_FOLDER = Path(__file__).parent


def method_names() -> list[str]:
    """Return the names of all learned methods: the files of this folder."""
    return sorted(file.stem for file in _FOLDER.glob("*.py") if not file.stem.startswith("_"))


def method_summary(name: str) -> str:
    """Return the first paragraph of a method's docstring without importing its file, and so without torch."""
    docstring = ast.get_docstring(ast.parse((_FOLDER / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())
