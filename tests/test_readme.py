"""What the README shows is true: its commands run, its code runs, its macro lines name commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from quietframe import cli
from quietframe.images import Image, write_image
from quietframe.ndr import SimulatedCamera, simulate_exposure

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return the text under a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with an ``exposure.tif``: 45 reads of a bright disc, which give two differences of 20."""
    y, x = np.mgrid[:96, :96]
    scene = (1.0 + 8.0 * (np.hypot(y - 48, x - 40) < 25)).astype(np.float32)
    reads, _ = simulate_exposure(scene, SimulatedCamera(reads=45, hot_fraction=0.0), np.random.default_rng(3))
    info = {"ndr.gain_e_per_adu": "0.46", "ndr.read_noise_e": "3.0"}
    write_image(tmp_path / "exposure.tif", Image(reads, "TYX", {}, 1e-3, info), dtype="uint16")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_five_commands_run_one_after_the_other(folder: Path) -> None:
    lines = re.findall(r"^    quietframe (.+)$", section("Command line"), flags=re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        # Three steps instead of the usual number: the test is of the words, not of the network.
        few = ["--steps", "3"] if line.startswith("train") else []
        assert cli.run([*shlex.split(line), *few]) == 0, line
    assert (folder / "report.html").is_file()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_python_code_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", section("Python"), flags=re.DOTALL)
    assert len(code) == 1
    exec(compile(code[0], "README.md", "exec"), {})
    assert "[[" in capsys.readouterr().out
    (verb_line,) = re.findall(r"`(from quietframe\.verbs import .+?)`", section("Python"))
    exec(compile(verb_line, "README.md", "exec"), {})
    assert (folder / "rate.tif").is_file()


def test_the_macro_lines_name_commands_and_keys_that_exist() -> None:
    menu = REPOSITORY / "fiji_scripts" / "menu" / "Plugins" / "Quietframe"
    headers = {path.stem.replace("_", " "): path.read_text(encoding="utf-8") for path in menu.iterdir()}
    calls = re.findall(r'run\("(Quietframe [^"]+)", "([^"]*)"\);', section("Fiji and ImageJ macros"))
    assert len(calls) == 3
    for name, options in calls:
        for key in re.findall(r"(\w+)=", re.sub(r"\[[^\]]*\]", "x", options)):
            assert re.search(rf"^#@ .*\) {key}$", headers[name], flags=re.MULTILINE), (name, key)


def test_every_file_that_is_named_exists() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)|`(fiji_scripts/[^`]+)`", README):
        assert (REPOSITORY / (name[0] or name[1])).exists(), name
