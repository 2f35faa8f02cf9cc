"""The macros that come with Quietframe, run as a user runs them; the recorder's line of every command, run too."""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from quietframe.fiji import jar
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.commands import Command, read_commands
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, read_image, write_image

pytest.importorskip("onnx")
onnx_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("onnx_models.py"))))
MACROS = jar.scripts_folder() / "macros"
COMMANDS = read_commands()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.write_model(tmp_path_factory.mktemp("a model") / "tiny net.zip")


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-five reads of a bright square on a darker ground, on an offset."""
    flux = np.full((40, 44), 5.0)
    flux[10:30, 12:32] = 40.0
    reads = 500 + np.random.default_rng(2).poisson(flux, (45, 40, 44)).cumsum(axis=0)
    info = {"ndr.exposure": "E0001", "ndr.gain_e_per_adu": "1.0", "ndr.read_noise_e": "3.0", "ndr.t_subframe_s": "0.1"}
    image = Image(reads.astype(np.uint16), "TYX", {"Y": 0.2, "X": 0.2}, 0.1, info)
    return write_image(tmp_path_factory.mktemp("exposures") / "cells_E0001_NDR.tif", image, dtype="uint16")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flux = np.full((48, 50), 60.0)
    flux[10:30, 12:32] = 200.0
    pixels = np.random.default_rng(3).poisson(flux).astype(np.float32)
    return write_image(tmp_path_factory.mktemp("images") / "one image.tif", Image(pixels, "YX"))


def snr(plane: np.ndarray) -> float:
    """SNR of the squares that the macros are given: 14,12,16,16 against 0,32,12,8 (x, y, width, height)."""
    plane = plane.astype(np.float64)
    return float(plane[12:28, 14:30].mean() / plane[32:40, 0:12].std(ddof=1))


REGIONS = "bright=14,12,16,16 dark=0,32,12,8"


def test_ndr_montage_shows_every_difference_with_its_snr(
    imagej: Fiji, exposure: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "montage of it.png"
    argument = f"input=[{exposure}] output=[{out}] differences=20,5,1 first=2 {REGIONS}"
    assert imagej.run_macro(MACROS / "ndr_montage.ijm", argument) == "3"
    assert "ndr_montage: 3 differences" in capfd.readouterr().out
    picture = read_image(out).array
    assert picture.shape == (40, 3 * 44)
    # Every tile shows its own difference: brighter in the square than beside it, above the label at the bottom.
    for tile in range(3):
        part = picture[:, 44 * tile : 44 * (tile + 1)].astype(float)
        assert part[12:26, 14:30].mean() > part[2:26, 3:10].mean() + 30


def test_snr_table_holds_what_python_computes(imagej: Fiji, single: Path, tmp_path: Path) -> None:
    out = tmp_path / "snr.csv"
    argument = f"input=[{single}] output=[{out}] regions=[14,12,16,16;0,0,10,10] dark=0,32,12,8"
    assert imagej.run_macro(MACROS / "snr_table.ijm", argument) == "2"
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    plane = read_image(single).array.astype(np.float64)
    assert [row["region"] for row in rows] == ["14,12,16,16", "0,0,10,10"]
    # A macro writes numbers with four decimals.
    assert float(rows[0]["snr"]) == pytest.approx(snr(plane), abs=5e-5)
    assert float(rows[1]["mean_bright"]) == pytest.approx(plane[:10, :10].mean(), abs=5e-5)


def test_snr_table_of_a_stack_has_a_row_per_plane(imagej: Fiji, exposure: Path, tmp_path: Path) -> None:
    out = tmp_path / "snr.csv"
    assert imagej.run_macro(MACROS / "snr_table.ijm", f"input=[{exposure}] output=[{out}] regions=14,12,16,16") == "45"
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["plane"] for row in csv.DictReader(file)] == [str(number) for number in range(1, 46)]


def test_classical_against_learned_measures_and_shows_all_methods(
    imagej: Fiji, single: Path, model: Path, tmp_path: Path
) -> None:
    argument = f"input=[{single}] model=[{model}] output=[{tmp_path}] sigmas=1.5 radii=2 provider=cpu {REGIONS}"
    assert imagej.run_macro(MACROS / "classical_against_learned.ijm", argument) == "4"
    with (tmp_path / "snr.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["method"]: float(row["snr"]) for row in csv.DictReader(file)}
    noisy = read_image(single).array
    blurred = imagej.run_command("Gaussian Blur...", noisy, sigma=1.5)["result"].array
    median = imagej.run_command("Median...", noisy, radius=2)["result"].array
    learned = onnx_models.run_model(onnx_models.write_model(tmp_path / "tiny.onnx"), noisy)
    expected = {
        "noisy": snr(noisy),
        "Gaussian sigma 1.5": snr(blurred),
        "Median radius 2": snr(median),
        "learned": snr(learned),
    }
    assert list(rows) == list(expected)
    for name, value in expected.items():
        assert rows[name] == pytest.approx(value, abs=1e-4), name
    assert read_image(tmp_path / "montage.png").array.shape == (48, 4 * 50)


def test_gpu_check_tells_what_runs(imagej: Fiji, model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert imagej.run_macro(MACROS / "gpu_check.ijm", f"model=[{model}] size=64 runs=1") == "cpu"
    said = capfd.readouterr().out
    assert "gpu_check: cpu, CPU, onnxruntime 1.26.0; not CUDA: the ONNX Runtime jar here is the one for CPUs" in said
    assert "pixels differ by at most 0 % of the range" in said or "at most 0.0000 % of the range" in said


@pytest.mark.parametrize(
    ("macro", "argument", "message"),
    [
        ("ndr_montage", "input=[/no/such.tif] output=a.png", "stopped before its end"),
        ("snr_table", "input=IMAGE", "stopped before its end"),
        ("classical_against_learned", "input=IMAGE output=[/no/folder]", "stopped before its end"),
        ("classical_against_learned", "input=IMAGE output=[FOLDER]", "no model is given"),
        ("gpu_check", "model=[/no/such.zip]", "the model /no/such.zip does not exist"),
    ],
)
def test_a_macro_that_cannot_work_stops(
    imagej: Fiji, single: Path, tmp_path: Path, macro: str, argument: str, message: str
) -> None:
    argument = argument.replace("IMAGE", f"[{single}]").replace("FOLDER", str(tmp_path))
    with pytest.raises(FijiError, match=message):
        imagej.run_macro(MACROS / f"{macro}.ijm", argument)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.label)
def test_the_documented_line_is_what_imagejs_recorder_writes(imagej: Fiji, command: Command) -> None:
    from jpype import JClass

    recorder = JClass("ij.plugin.frame.Recorder")
    types = {"Integer": "java.lang.Integer", "Double": "java.lang.Double", "Boolean": "java.lang.Boolean"}
    before = str(recorder.getCommandOptions() or "")  # without its window the recorder never starts anew
    for option in command.options:
        value = option.text("value")
        kind = types.get(option.type)
        # The recorder of Fiji gives it every input as Java writes it.
        recorder.recordOption(option.name, str(JClass(kind).valueOf(value).toString()) if kind else value)
    words = str(recorder.getCommandOptions() or "")[len(before) :].strip()
    line = f'run("{command.label}", "{words}");' if words else f'run("{command.label}");'
    assert line == command.recorded()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.label)
def test_the_recorded_line_runs(imagej: Fiji, command: Command, exposure: Path, model: Path, tmp_path: Path) -> None:
    from jpype import JClass

    JClass("java.lang.System").setProperty("quietframe.models", str(tmp_path))  # what Train makes is put there
    given = {"model=": f"model=[{model}]", '"result= ': '"result=cells_E0001_NDR.tif '}
    if command.label == "Quietframe Train":  # as recorded it trains for minutes, in the Python of the path
        small = ("steps=0", "steps=2"), ("filters=32", "filters=2"), ("patch_px=64", "patch_px=16")
        given |= {**dict(small), "out=": f"out=[{tmp_path / 'run'}]", "python=": f"python=[{sys.executable}]"}
    line = command.recorded()
    for words, value in given.items():
        line = line.replace(words, value)
    assert imagej.run_macro(f'setBatchMode(true); open("{exposure}"); {line} return "went on";') == "went on"
    titled = line.replace('", "', '", "image=cells_E0001_NDR.tif ').replace("/run]", "/another run]")
    if any(item.name == "image" for item in command.parameters):
        assert imagej.run_macro(f'setBatchMode(true); open("{exposure}"); {titled} return "went on";') == "went on"
        with pytest.raises(FijiError, match=r"no image with the title 'gone\.tif' is open"):
            imagej.run_macro(f'setBatchMode(true); open("{exposure}"); {titled.replace("cells_E0001_NDR", "gone")}')
