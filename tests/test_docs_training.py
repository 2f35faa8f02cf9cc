"""The pages about training: one per method, with everything a user must know; options and links that exist."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import imagecodecs
import pytest

from quietframe.cli import build_app
from quietframe.methods import method_names
from quietframe.training.schedule import Schedule
from quietframe.verbs.train_options import ReadingOptions, method_options

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = [DOCS / "training.md", *sorted((DOCS / "methods").glob("*.md"))]
OTHERS = {
    "out",
    "target",
    "resume",
    "overwrite",
    "methods",
    "minutes",
    "repeat",
    "halves",
    "model",
    "card",
    "tile",
    "unit",
}
OTHERS |= {"uncertainty", "deconvolved", "help", "nproc-per-node"}


def commands(page: Path) -> list[list[str]]:
    """Return the words of every command in an indented block."""
    lines = [line.partition("#")[0].split() for line in page.read_text().splitlines() if line.startswith("    ")]
    return [words[1:] for words in lines if words and words[0] == "quietframe"]


def test_every_method_has_its_page_and_every_page_its_method() -> None:
    assert sorted(page.stem for page in PAGES[1:]) == sorted(method_names())
    text = PAGES[0].read_text()
    assert [name for name in method_names() if f"(methods/{name}.md)" not in text] == []


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_a_page_has_picture_command_assumption_limits_and_paper(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}: ")
    for heading in ("## What it assumes", "## When not to use it", "## Options", "## Papers"):
        after = text.partition(heading + "\n")[2].partition("\n## ")[0].strip()
        assert after, heading
    command = f"train {page.stem.replace('_', '-')} "
    assert command in " ".join(commands(page)[0]) + " "
    assert re.search(r"^- .*(19|20)\d\d", text.partition("## Papers")[2], re.MULTILINE)
    picture = imagecodecs.png_decode((DOCS / "images" / "methods" / f"{page.stem}.png").read_bytes())
    assert picture.shape[0] == 176
    assert picture.std() > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_options_that_are_named_exist(page: Path) -> None:
    known = {field.name for field in (*fields(Schedule), *fields(ReadingOptions))}
    methods = method_names() if page.stem == "training" else [page.stem]
    known |= {field.name for name in methods for field in fields(method_options(name).settings)}
    named = set(re.findall(r"--([a-z]+(?:-[a-z]+)*)", page.read_text()))
    assert {name for name in named if name.replace("-", "_") not in known} <= OTHERS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_can_be_understood(page: Path) -> None:
    for words in commands(page):
        if "METHOD" not in words:
            build_app(words).parse_args(words, print_error=False, exit_on_error=False)
