"""What the NDR chapter says is true: its commands exist, its Python runs, its numbers are the benchmark's."""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from quietframe.cli import COMMANDS

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "docs" / "ndr.md").read_text(encoding="utf-8")


def test_every_command_and_option_of_the_chapter_exists() -> None:
    calls = re.findall(r"^ {4}quietframe (\w+ [\w-]+)((?:.*\\\n)*.*)$", TEXT, re.MULTILINE)
    assert len(calls) >= 14
    assert {"ndr simulate", "ndr calibrate", "ndr fit", "ndr subtract", "ndr split", "ndr measure"} <= dict(
        calls
    ).keys()
    for command, rest in calls:
        module, _, name = COMMANDS[command].partition(":")
        parameters = inspect.signature(getattr(import_module(f"quietframe.verbs.{module}"), name)).parameters
        known = {word.replace("_", "-") for word in parameters}
        for parameter in parameters.values():
            known |= {word.replace("_", "-") for word in getattr(parameter.default, "__dataclass_fields__", ())}
        assert set(re.findall(r"--([\w-]+)", rest)) <= known, command


def test_the_python_of_the_chapter_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 1
    exec(blocks[0], {})
    printed = capsys.readouterr().out
    assert re.fullmatch(r"0\.\d{3} e-/px/sub-frame, from reads 51 to 100\n", printed)


def test_the_numbers_of_the_chapter_are_the_benchmarks() -> None:
    made = json.loads((REPOSITORY / "benchmarks" / "results" / "ndr_pairs.json").read_text(encoding="utf-8"))
    text = TEXT.replace("−", "-")
    for row in made["windows"]:
        if row["s"] == 5 and row["f"] in (0.2, 2, 20):
            line = next(line for line in text.splitlines() if f"5 e⁻, {row['f']:g} e⁻" in line)
            place = (5, 20, 50, 250).index(row["k"])
            assert float(line.split("×")[place + 1].split("|")[0]) == pytest.approx(row["measured"], abs=0.0101)
    names = {"none": "identity", "Gaussian, 0.8 px": "gaussian 0.8", "12 invented spots": "12 invented spots"}
    for shown, name in names.items():
        row = next(row for row in made["halves"] if row["denoiser"] == name)
        cells = [cell.strip() for cell in next(x for x in text.splitlines() if x.startswith(f"| {shown} |")).split("|")]
        assert float(cells[2]) == pytest.approx(row["true"], rel=0.005)
        assert float(cells[3]) == pytest.approx(row["from the other half"], rel=0.005)
    measured = {row["parts"]: row["measured"] for row in made["correlations"] if (row["k"], row["f"]) == (20, 0.2)}
    for shown, name in (("one guard", "guard 1"), ("abutting", "abutting"), ("half of", "half overlap")):
        line = next(line for line in text.splitlines() if line.startswith(f"| {shown}"))
        assert float(line.split("|")[2]) == pytest.approx(measured[name], abs=0.0006)


def test_its_pictures_exist_and_are_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXT)
    assert len(pictures) == 3
    for name in pictures:
        assert 10_000 < (REPOSITORY / "docs" / name).stat().st_size < 300_000
