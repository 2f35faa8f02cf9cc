"""ROI SNR (Jython) in the real ImageJ: the shared vectors, Python's numbers, ImageJ's own Measure, wrong regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.metrics.single import brightest_block, darkest_block, psnr_prime, report_snr

VECTORS = Path(__file__).parent.parent / "vectors"
COMMAND = "Quietframe ROI SNR"
RELATIVE = 1e-6
"""Promised; both compute in double precision, so what remains is the order of a sum."""

ALL_VECTORS = """#@ String path
#@output String rows
import json

from ij import ImagePlus
from ij.process import FloatProcessor
from jarray import array
from org.quietframe import RoiStatistics
from quietframe_fiji import regions

found = []
for case in json.load(open(path))["cases"]:
    values = [float(value) for row in case["image"] for value in row]
    image = ImagePlus(case["name"], FloatProcessor(len(case["image"][0]), len(case["image"]), array(values, "f")))
    rois = [RoiStatistics.find(image, ",".join(map(str, case[name])), name) for name in ("bright", "dark")]
    found.append(regions._row(image, 1, rois))
rows = json.dumps(found)
"""


def picture(*shape: int) -> np.ndarray[Any, Any]:
    image = np.random.default_rng(5).poisson(50, shape).astype(np.float32)
    image[..., 20:40, 25:50] += 300
    return image


def text(rectangle: list[int]) -> str:
    return ",".join(map(str, rectangle))


def test_jython_gives_the_vectors_numbers(imagej: Fiji, vectors: Any, tmp_path: Path) -> None:
    # One script for all cases, because Jython takes a second to start and the menu script starts it anew each time.
    cases = vectors("roi_statistics.json")["cases"]
    script = tmp_path / "vectors.py"
    script.write_text(ALL_VECTORS)
    outputs = imagej.run_script(script, path=str(VECTORS / "roi_statistics.json"))
    rows = json.loads(outputs["rows"])
    assert len(rows) == len(cases) > 0
    for case, row in zip(cases, rows, strict=True):
        for name in ("snr", "psnr_prime", "mean_bright", "mean_dark", "std_dark"):
            assert row[name] == pytest.approx(case["expected"][name], rel=RELATIVE), (case["name"], name)


def test_the_menu_script_gives_the_vectors_numbers(imagej: Fiji, vectors: Any) -> None:
    case = next(case for case in vectors("roi_statistics.json")["cases"] if case["dtype"] == "uint16")
    image = np.array(case["image"], dtype=np.uint16)
    found = imagej.run_command(COMMAND, image, bright=text(case["bright"]), dark=text(case["dark"]))
    for name in ("snr", "psnr_prime"):
        assert found[name] == pytest.approx(case["expected"][name], rel=RELATIVE)


def test_automatic_regions_and_numbers_equal_pythons(imagej: Fiji) -> None:
    image = picture(70, 90)
    found = imagej.run_command(COMMAND, image)
    bright, dark = (block(image).mask(image.shape) for block in (brightest_block, darkest_block))
    assert found["snr"] == pytest.approx(report_snr(image, bright, dark), rel=RELATIVE)
    assert found["psnr_prime"] == pytest.approx(psnr_prime(image), rel=RELATIVE)


def test_an_ellipse_gives_the_mean_and_deviation_of_imagej_measure(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    image = picture(70, 90)
    oval = tmp_path / "cell one.roi"
    JClass("ij.io.RoiEncoder").save(JClass("ij.gui.OvalRoi")(26, 21, 20, 17), str(oval))
    found = imagej.run_command(COMMAND, image, bright=oval, dark="0,0,15,15")
    imageplus = imagej.to_imageplus(image)
    imageplus.setRoi(JClass("ij.gui.OvalRoi")(26, 21, 20, 17))
    bright = imageplus.getStatistics().mean
    imageplus.setRoi(0, 0, 15, 15)
    assert found["snr"] == pytest.approx(float(bright) / float(imageplus.getStatistics().stdDev), rel=RELATIVE)


def test_selection_and_overlay_names_are_regions(imagej: Fiji) -> None:
    from jpype import JClass

    imageplus = imagej.to_imageplus(picture(70, 90))
    roi = JClass("ij.gui.Roi")(0, 0, 15, 15)
    roi.setName("background")
    overlay = JClass("ij.gui.Overlay")(roi)
    imageplus.setOverlay(overlay)
    imageplus.setRoi(26, 21, 20, 17)
    named = imagej.run_command(COMMAND, imageplus, bright="selection", dark="background")
    assert named == imagej.run_command(COMMAND, imageplus, bright="26,21,20,17", dark="0,0,15,15")


def test_every_plane_gets_a_row_with_the_same_regions(imagej: Fiji) -> None:
    from jpype import JClass

    table = JClass("ij.measure.ResultsTable").getResultsTable()
    table.reset()
    image = picture(3, 70, 90)
    image[1] *= 2
    imagej.run_command(COMMAND, image, bright="26,21,20,17", dark="0,0,15,15")
    assert table.size() == 3
    expected = [plane[21:38, 26:46].mean() / plane[:15, :15].std(ddof=1) for plane in image.astype(np.float64)]
    assert [table.getValue("snr", row) for row in range(3)] == pytest.approx(expected, rel=RELATIVE)
    assert {str(table.getStringValue("dark", row)) for row in range(3)} == {"0,0,15,15"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bright": "80,0,20,20"}, r"bright region 80,0,20,20 .* does not lie inside an image of 90 x 70"),
        ({"dark": "-1,0,5,5"}, "dark region -1,0,5,5"),
        ({"dark": "3,3,0,5"}, r"dark region 3,3,0,5 \(x,y,width,height\) is empty"),
        ({"dark": "3,3,1,1"}, "dark region has 1 pixel; a standard deviation needs at least 2"),
        ({"dark": "cell 7"}, "dark: no region 'cell 7'"),
        ({"bright": "gone.roi"}, "bright: no region 'gone.roi'"),
        ({"bright": "selection"}, "the image has no selection"),
        ({"brite": "auto"}, "unknown option 'brite'"),
    ],
)
def test_wrong_regions_are_named(imagej: Fiji, options: dict[str, str], message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(COMMAND, picture(70, 90), **options)
    assert "\n" not in str(error.value)


def test_images_that_show_no_noise_or_hold_nan_are_refused(imagej: Fiji) -> None:
    damaged = picture(70, 90)
    damaged[0, 0] = np.inf
    for image, message in [
        (np.full((30, 30), 7, np.uint8), r"dark region is constant \(all 289 pixels are 7"),
        (damaged, "1 of 6300 pixels of the image are NaN or infinite"),
        (picture(70, 90)[:10], "a block of 17 x 17 pixels does not fit into an image of 90 x 10"),
    ]:
        with pytest.raises(FijiError, match=message):
            imagej.run_command(COMMAND, image)
