"""What the files of the filters say of themselves, read without importing them, and so without numba."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..filters import filter_names

_CONSTANTS = {"AXES", "NOISE", "IMAGEJ", "WINDOW"}


@dataclass(frozen=True)
class FilterFacts:
    """What a filter's file says of it.

    Parameters
    ----------
    name
        As it is typed, with hyphens.
    summary
        First paragraph of its docstring: what it does.
    use
        Second paragraph: when to use it, and what it loses.
    papers
        Its references, one each.
    axes
        What it works on: YX (planes), ZYX (volumes), TYX (time series); both where an option chooses.
    noise
        ``gaussian`` where it assumes noise of one sigma everywhere, else ``any``.
    imagej
        The ImageJ macro call that gives the same pixels; empty where there is none.
    """

    name: str
    summary: str
    use: str
    papers: tuple[str, ...]
    axes: str
    noise: str
    imagej: str


def filter_facts(name: str) -> FilterFacts:
    """Read the facts of a filter from its file.

    Parameters
    ----------
    name
        One of `quietframe.filters.filter_names`.
    """
    tree = ast.parse(filter_file(name).read_text(encoding="utf-8"))
    text = ast.get_docstring(tree) or ""
    told = text.partition("\nReferences\n")
    paragraphs = [" ".join(part.split()) for part in told[0].split("\n\n")]
    use = next((part for part in paragraphs if part.startswith("Use it")), "")
    constants = _constants(tree)
    axes = constants.get("AXES", "YX")
    if axes == "YX" and _has_dimensions(tree):
        axes = "YX or ZYX"
    return FilterFacts(
        name.replace("_", "-"), paragraphs[0], use, _papers(told[2]), axes, constants.get("NOISE", "any"),
        constants.get("IMAGEJ", ""),
    )  # fmt: skip


def all_facts() -> list[FilterFacts]:
    """Return the facts of all filters, by name."""
    return [filter_facts(name) for name in filter_names()]


def as_table(facts: Sequence[FilterFacts]) -> str:
    """Write the facts as a Markdown table, for ``docs/filters.md``."""
    head = ("filter", "works on", "what it does", "when to use it", "same pixels as ImageJ's")
    rows = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for fact in facts:
        imagej = f"`{fact.imagej}`" if fact.imagej else ""
        rows.append(f"| `{fact.name}` | {fact.axes} | {fact.summary} | {fact.use} | {imagej} |")
    return "\n".join(rows) + "\n"


def filter_file(name: str) -> Path:
    """Return the file of a filter."""
    found = find_spec("quietframe.filters")
    return Path(str(found.origin)).with_name(f"{name}.py") if found else Path(f"{name}.py")


def _constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts among the constants that the contract of filters names."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in _CONSTANTS:
            value = ast.literal_eval(node.value)
            if isinstance(value, str):
                found[node.targets[0].id] = value
    return found


def _has_dimensions(tree: ast.Module) -> bool:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    fields = [node.target for owner in classes for node in owner.body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(field, ast.Name) and field.id == "dimensions" for field in fields)


def _papers(section: str) -> tuple[str, ...]:
    """Split a References section: every paper begins at the margin, what is indented belongs to the one above."""
    lines = textwrap.dedent(section.strip("\n")).splitlines()
    papers: list[str] = []
    for line in lines[1:] if lines and set(lines[0].strip()) <= {"-"} else lines:
        text = re.sub(r"^(\.\. \[\d+\] |[-*] )", "", line.strip())
        if not text:
            papers.append("")
        elif papers and papers[-1] and (line.startswith(" ") or not papers[-1].endswith(".")):
            papers[-1] += " " + text
        else:
            papers.append(text)
    return tuple(paper for paper in papers if paper)
