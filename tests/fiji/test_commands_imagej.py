"""Every menu command and macro through the jar, as a user's macro calls it: defaults, each option, wrong values."""

from __future__ import annotations

import csv
import runpy
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.fiji import jar
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, read_image, write_image

onnx_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("onnx_models.py"))))

MACROS = jar.scripts_folder() / "macros"
NAMES = tuple(sorted(path.stem.replace("_", " ") for path in (jar.scripts_folder() / "menu").rglob("*.*")))
EACH_OPTION = {
    "Quietframe NDR Subtract": [
        "",
        "difference=3",
        "difference=3 first=2",
        "difference=3 spacing=abutting",
        "difference=3 spacing=rolling",
        "difference=3 spacing=single",
        "difference=3 unit=electrons gain_e_per_adu=0.5",
        "difference=3 unit=rate gain_e_per_adu=0.5 t_subframe_s=0.1",
    ],
    "Quietframe ROI SNR": ["", "bright=0,0,9,9", "dark=[0,0,9,9]", "bright=auto dark=20,20,8,8"],
    "Quietframe Doctor": [""],
    "Quietframe Model Info": ["model=[MODEL]"],
    "Quietframe Denoise": [
        "model=[MODEL] threads=1",
        "model=[MODEL]",
        "model=[MODEL] provider=cpu",
        "model=[MODEL] tile=16 provider=auto",
    ],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    return onnx_models.write_model(tmp_path_factory.mktemp("a model") / "tiny net.zip")


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reads = np.random.default_rng(2).poisson(30, (30, 40, 44)).cumsum(axis=0).astype(np.uint16)
    image = Image(reads, "TYX", {"Y": 0.2, "X": 0.2}, 0.1, {"ndr.exposure": "E0001"})
    return write_image(tmp_path_factory.mktemp("exposures") / "cells_E0001_NDR.tif", image, dtype="uint16")


def test_the_jar_holds_all_its_parts_and_imagej_runs_it(imagej: Fiji) -> None:
    from jpype import JClass

    place = str(JClass("org.quietframe.Tiles").class_.getProtectionDomain().getCodeSource().getLocation().getPath())
    assert Path(place).name == jar.jar_name()
    with zipfile.ZipFile(place) as packed:
        names = set(packed.namelist())
        assert packed.testzip() is None
    folder = jar.scripts_folder()
    for path in jar.source_files(folder):
        part, *rest = path.relative_to(folder).parts
        inside = {"menu": "scripts/", "jython": "", "macros": "macros/Quietframe/", "library": "", "worker": "worker/"}[
            part
        ] + "/".join(rest)
        assert (inside.replace(".groovy", ".class") if part == "library" else inside) in names
    assert "scripts/" in names  # without it no class loader answers Fiji's question for menu scripts
    assert imagej.commands == NAMES
    assert imagej.imagej_version == "1.54p"
    assert str(JClass("org.quietframe.Command").version()) == jar.jar_name().split("-")[-1].removesuffix(".jar")


@pytest.mark.parametrize(("name", "options"), [(name, text) for name, texts in EACH_OPTION.items() for text in texts])
def test_each_command_runs_from_a_macro_with_each_option(
    imagej: Fiji, model: Path, exposure: Path, name: str, options: str
) -> None:
    options = options.replace("MODEL", str(model))
    macro = f"""
        setBatchMode(true);
        open("{exposure}");
        before = nImages;
        rows = nResults;
        run("{name}", "{options}");
        return "" + (nImages - before) + " " + (nResults - rows) + " " + bitDepth() + " " + nSlices;
    """
    images, rows, depth, slices = imagej.run_macro(macro).split()
    if name in {"Quietframe Doctor", "Quietframe Model Info"}:
        assert (images, rows) == ("0", "0")
    elif name == "Quietframe ROI SNR":
        assert (images, rows) == ("0", "30")
    else:
        assert (images, rows, depth) == ("1", "0", "32")
        difference = 3 if "difference" in options else 20
        windows = {"abutting": 9, "rolling": 27, "single": 1}.get(
            options.rpartition("spacing=")[2], 28 // (difference + 1)
        )
        windows = 7 if "difference=3" in options and "spacing" not in options else windows
        assert int(slices) == (30 if "Denoise" in name else windows)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('run("Quietframe NDR Subtract", "difference=40");', "difference 40 from read 1 needs read 41"),
        ('run("Quietframe NDR Subtract", "difference=x");', "option difference must be a .* got 'x'"),
        ('run("Quietframe NDR Subtract", "spacing=gaurded");', "unknown spacing 'gaurded': allowed: guarded, abutting"),
        ('run("Quietframe NDR Subtract", "unit=electrons");', "unit electrons needs gain_e_per_adu"),
        ('run("Quietframe NDR Subtract", "unit=photons");', "unknown unit 'photons'"),
        ('run("Quietframe Denoise");', "no model is given"),
        ('run("Quietframe Denoise", "model=[/no/such model.zip]");', "/no/such model.zip does not exist"),
        ('run("Quietframe ROI SNR", "bright=50,0,9,9");', "bright region 50,0,9,9 .* does not lie inside"),
        ('close(); run("Quietframe ROI SNR");', "no image is open|no images open"),
        ('run("Quietframe Nothing");', "Unrecognized command"),
    ],
)
def test_a_wrong_option_stops_the_macro_with_one_line(imagej: Fiji, exposure: Path, line: str, message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_macro(f'setBatchMode(true); open("{exposure}");\n{line}\nreturn "went on";')
    assert "\n" not in str(error.value)


def test_denoise_folder_writes_what_python_computes(
    imagej: Fiji, model: Path, exposure: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    single = np.random.default_rng(4).poisson(200, (33, 47)).astype(np.float32)
    write_image(exposure.parent / "single.tif", Image(single, "YX"))
    (exposure.parent / "notes.txt").write_text("not a picture")
    out = tmp_path / "results here"
    out.mkdir()
    argument = f"input=[{exposure.parent}] output=[{out}] model=[{model}] difference=9 provider=cpu"
    assert imagej.run_macro(MACROS / "denoise_folder.ijm", argument) == "2"
    assert "denoise_folder: 2 files" in capfd.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == [
        "cells_E0001_NDR_DENOISED.tif",
        "single_DENOISED.tif",
        "snr.csv",
    ]
    reads = read_image(exposure).array.astype(np.float32)
    noisy = np.stack([reads[stop] - reads[stop - 9] for stop in (9, 19, 29)])
    network = onnx_models.write_model(tmp_path / "tiny.onnx")
    for name, expected in {
        "cells_E0001_NDR": onnx_models.run_model(network, noisy),
        "single": onnx_models.run_model(network, single),
    }.items():
        result = read_image(out / f"{name}_DENOISED.tif")
        assert np.abs(result.array - expected).max() <= 1e-5 * np.ptp(expected)
    cells = read_image(out / "cells_E0001_NDR_DENOISED.tif")
    assert cells.pixel_size_um == pytest.approx({"Y": 0.2, "X": 0.2})
    assert {"ndr.exposure", "ndr.reads_used", "quietframe.provider"} <= set(cells.info)
    with (out / "snr.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["file", "noisy", "blurred", "denoised"]
    assert len(lines) == 3
    for _, snr, blurred, _ in lines[1:]:
        assert float(blurred) > float(snr)  # averaging neighbours lowers the deviation of a flat region


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("input=[GONE] output=[HERE] model=[MODEL]", "the macro stopped before its end"),
        ("input=[IN] output=[HERE] model=[GONE.zip]", "GONE.zip does not exist"),
        ("input=[IN] output=[HERE] model=[MODEL] difference=99", "needs read 100"),
    ],
)
def test_denoise_folder_stops_at_the_first_error(
    imagej: Fiji, model: Path, exposure: Path, tmp_path: Path, argument: str, message: str
) -> None:
    (exposure.parent / "single.tif").unlink(missing_ok=True)
    for name, path in {"IN": exposure.parent, "HERE": tmp_path, "MODEL": model}.items():
        argument = argument.replace(f"[{name}]", f"[{path}]")
    with pytest.raises(FijiError, match=message):
        imagej.run_macro(MACROS / "denoise_folder.ijm", argument)
    assert not list(tmp_path.glob("*.tif"))


def test_imagejs_own_commands_run_on_all_planes(imagej: Fiji) -> None:
    scipy_ndimage: Any = pytest.importorskip("scipy.ndimage")
    pixels = np.random.default_rng(6).normal(100, 10, (3, 40, 50)).astype(np.float32)
    result = imagej.run_command("Gaussian Blur...", Image(pixels, "ZYX"), sigma=2, stack=True)["result"]
    expected = np.stack([scipy_ndimage.gaussian_filter(plane, 2, mode="nearest", truncate=6) for plane in pixels])
    # ImageJ cuts its kernel at 0.0002 of its height, so it is close to the ideal one and not equal.
    assert np.abs(result.array - expected).max() < 1e-3 * np.ptp(pixels)
    with pytest.raises(FijiError, match="no command 'Gaussian Blurr'"):
        imagej.run_command("Gaussian Blurr", pixels)
