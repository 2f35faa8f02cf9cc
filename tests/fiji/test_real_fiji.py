"""A real, whole Fiji (FIJI_DIR, Quietframe installed in it): menu discovery, the recorder, --headless --run.

Each test starts the Fiji in a process of its own. How to run them stands in CONTRIBUTING.md.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from quietframe.fiji import install
from quietframe.fiji.commands import read_commands
from quietframe.images import Image, read_image, write_image

pytestmark = [pytest.mark.fiji, pytest.mark.slow]
START_TIMEOUT_S = 120
PROGRAMS = ("fiji", "fiji-linux-x64", "ImageJ-linux64", "Contents/MacOS/fiji-macos", "fiji-windows-x64.exe")


@pytest.fixture(scope="module")
def fiji() -> Path:
    named = os.environ.get("FIJI_DIR")
    if not named:
        pytest.skip("no Fiji: set FIJI_DIR to the folder of one in which Quietframe is installed")
    folder = install.fiji_folder(named)
    if not install.recorded(folder):
        pytest.skip(f"Quietframe is not installed in {folder}: run quietframe fiji install --fiji {folder}")
    return folder


def run(fiji: Path, script: Path, *arguments: str) -> str:
    program = next((fiji / name for name in PROGRAMS if (fiji / name).is_file()), None)
    assert program is not None, f"{fiji} has none of the programs {', '.join(PROGRAMS)}"
    command = [str(program), "--headless", "--run", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    return done.stdout + done.stderr


def test_the_menu_has_every_command(fiji: Path, tmp_path: Path) -> None:
    script = tmp_path / "menu.groovy"
    script.write_text('ij.Menus.commands.each { name, work -> println("command: " + name) }\n')
    said = run(fiji, script)
    for command in read_commands():
        assert f"command: {command.label}\n" in said


def test_a_menu_script_runs_headless_with_its_options(fiji: Path, tmp_path: Path) -> None:
    reads = np.random.default_rng(1).poisson(30, (30, 20, 22)).cumsum(axis=0).astype(np.uint16)
    source, out = tmp_path / "reads.tif", tmp_path / "differences.tif"
    write_image(source, Image(reads, "TYX"), dtype="uint16")
    script = tmp_path / "subtract.ijm"
    script.write_text(
        f'open("{source}");\nrun("Quietframe NDR Subtract", "difference=9 spacing=guarded");\n'
        f'saveAs("Tiff", "{out}");\n'
    )
    said = run(fiji, script)
    assert out.is_file(), said
    expected = np.stack([reads[stop].astype(np.float32) - reads[stop - 9] for stop in (9, 19, 29)])
    np.testing.assert_array_equal(read_image(out).array, expected)


@pytest.mark.parametrize(
    "label", [command.label for command in read_commands() if not command.label.endswith("Doctor")]
)
def test_the_recorder_writes_the_documented_line(fiji: Path, tmp_path: Path, label: str) -> None:
    # Fiji records through the postprocessor that gets the inputs of the module; here it is given the defaults.
    (command,) = (found for found in read_commands() if found.label == label)
    script = tmp_path / "record.groovy"
    script.write_text(
        "#@ org.scijava.module.ModuleService modules\n"
        f"info = modules.modules.find {{ it.menuPath.leaf?.name == '{label}' }}\n"
        "words = info.inputs().findAll { it.type != ij.ImagePlus }.collect {\n"
        "    text = String.valueOf(it.defaultValue == null ? '' : it.defaultValue)\n"
        "    it.name + '=' + (text.contains(' ') ? '[' + text + ']' : text)\n"
        "}\n"
        "println('recorded: ' + words.join(' '))\n"
    )
    said = run(fiji, script)
    expected = command.recorded().partition(', "')[2].removesuffix('");')
    assert f"recorded: {expected}\n" in said


def test_doctor_finds_nothing_to_mend(fiji: Path, tmp_path: Path) -> None:
    script = tmp_path / "doctor.ijm"
    script.write_text('run("Quietframe Doctor");\nprint(getInfo("quietframe.doctor"));\n')
    said = run(fiji, script)
    assert "ONNX Runtime: 1." in said
    assert "to mend" not in said
