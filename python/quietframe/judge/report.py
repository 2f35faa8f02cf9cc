"""Write ONE self-contained HTML page: title, lead, the lines that matter, sections, provenance.

Style and pictures are inside the file; it has no script and refers to nothing outside, which a content security policy
in its head enforces. It reads on a screen (light or dark), on paper and without pictures (every figure needs a text
that stands for it).

>>> section = Section("What was measured", "One paragraph.", tables=(Table(("quantity", "value"), (("SNR", 12.5),)),))
>>> page = render_report("A report", "What it is about.", [section], key_lines=["SNR: 12.5"])
>>> page.startswith("<!doctype html>")
True
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtraError
from ..outputs import atomic_output

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Figure:
    """A picture with its caption.

    Parameters
    ----------
    png
        The file's bytes.
    caption
        What is seen and what to look for, plain text.
    alt
        What stands for the picture where it cannot be seen; required.
    """

    png: bytes
    caption: str
    alt: str

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n") or len(self.png) < 24:
            raise InputError(f"a figure needs the bytes of a PNG file; got {self.png[:8]!r}")
        if not self.alt.strip():
            raise InputError(f"the figure {self.caption[:60]!r} needs an alternative text")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height [px]."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def address(self) -> str:
        """The picture as a data address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table; numbers are shown with four significant digits, None as a dash, texts as they are.

    Parameters
    ----------
    header
        One text per column.
    rows
        Rows of as many cells.
    caption
        What the table holds, plain text; may be empty.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise InputError(f"a table with {len(self.header)} columns got a row of {len(row)} cells: {row}")

    def is_number_column(self, index: int) -> bool:
        """Whether a column holds numbers only, which are set at the right, its heading with them."""
        return bool(self.rows) and all(is_number(row[index]) for row in self.rows)


@dataclass(frozen=True)
class Section:
    """One part of the page, in this order: text, figures, tables, notes.

    Parameters
    ----------
    title
        Heading, plain text.
    text
        One paragraph, or several; plain text.
    figures, tables
        What is shown.
    notes
        Limits and warnings, set apart.
    """

    title: str
    text: str | Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()

    @property
    def paragraphs(self) -> Sequence[str]:
        """The text as paragraphs."""
        return (self.text,) if isinstance(self.text, str) else self.text


def render_report(
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    key_lines: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
) -> str:
    """Return the page as text. Parameters as `write_report`."""
    template = _environment().get_template(TEMPLATE)
    page: str = template.render(
        title=title,
        lead=lead,
        key_lines=[_label_and_rest(line) for line in key_lines],
        sections=sections,
        provenance=dict(provenance or {}),
    )
    return page


def write_report(
    path: str | os.PathLike[str],
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    key_lines: Sequence[str] = (),
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a self-contained HTML page.

    Parameters
    ----------
    path
        Final name, ``.html``.
    title
        Heading of the page.
    lead
        The sentence that a reader in a hurry reads.
    sections
        Parts of the page in order.
    key_lines
        The few lines that matter; what stands before the first ": " is set bold.
    provenance
        Names and values for the foot of the page: files, versions, settings, date.
    overwrite
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputError
        As `quietframe.outputs.atomic_output`.
    MissingExtraError
        When jinja2 is not installed.
    """
    page = render_report(title, lead, sections, key_lines=key_lines, provenance=provenance)
    with atomic_output(path, overwrite=overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    return Path(path)


def format_cell(value: object) -> str:
    """Return a table cell as text: numbers with four significant digits, None and NaN as a dash."""
    if value is None or value != value:  # NaN alone differs from itself
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return f"{value:.4g}"


def is_number(value: object) -> bool:
    """Whether a cell is set at the right."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _label_and_rest(line: str) -> tuple[str, str]:
    label, mark, rest = line.partition(": ")
    return (label, rest) if mark and len(label) <= 60 else ("", line)


def _environment() -> Any:
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("a report", "jinja2", "report") from None
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("quietframe", "judge"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = format_cell
    environment.tests["a_number"] = is_number
    return environment
