"""NDR Measure and NDR Montage in the real ImageJ: closed forms, Python's numbers, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, open_image, read_image, write_image
from quietframe.ndr.measure import COLUMNS, choose_regions, measure_frames
from quietframe.ndr.montage import Slices, contrast_limits, load_slices

MEASURE, MONTAGE = "Quietframe NDR Measure", "Quietframe NDR Montage"


def frames(n: int = 3, shift: float = 0.0) -> np.ndarray:
    """A bright square on a dark, noisy ground, float32."""
    rng = np.random.default_rng(4)
    stack = rng.normal(20 + shift, 3, (n, 50, 60))
    stack[:, 10:32, 30:52] += 200 + rng.normal(0, 2, (n, 22, 22))
    return np.asarray(stack.astype(np.float32))


@pytest.fixture
def table(imagej: Fiji) -> Any:
    from jpype import JClass

    results = JClass("ij.measure.ResultsTable").getResultsTable()
    results.reset()
    return results


@pytest.mark.parametrize(
    ("bright", "dark"), [("auto", "auto"), ("31,11,20,20", "0,0,15,30"), ("auto", "5,34,17,9"), ("30,10,2,2", "auto")]
)
def test_each_frame_has_pythons_figures(imagej: Fiji, table: Any, tmp_path: Path, bright: str, dark: str) -> None:
    path = write_image(tmp_path / "stack.tif", Image(frames(), "TYX"))
    made = imagej.run_command(MEASURE, Image(frames(), "TYX"), bright=bright, dark=dark)
    with open_image(path) as reader:
        regions = choose_regions(reader, None if bright == "auto" else bright, None if dark == "auto" else dark)
        rows = measure_frames(reader, regions)
    assert table.size() == 3
    for number, row in enumerate(rows):
        for name in COLUMNS[5:]:
            assert table.getValue(name, number) == pytest.approx(row[name], rel=1e-12), name
        assert table.getValue("frame", number) == number + 1
    for name in ("snr", "psnr_prime"):
        assert made[name] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-12)


def test_the_gain_of_a_restored_image_is_that_of_its_noise(imagej: Fiji, table: Any, tmp_path: Path) -> None:
    noisy = frames()
    # Half the noise in the dark region, at the same mean: the SNR doubles.
    restored = noisy.copy()
    restored[:, :10] = 20 + (noisy[:, :10] - 20) / 2
    for name, stack in (("noisy.tif", noisy), ("restored.tif", restored)):
        write_image(tmp_path / name, Image(stack, "TYX"))
    imagej.run_macro(f"""
        setBatchMode(true);
        open("{tmp_path}/restored.tif");
        open("{tmp_path}/noisy.tif");
        run("{MEASURE}", "restored=restored.tif bright=31,11,20,20 dark=0,0,60,10");
        close("*");
    """)
    before = [frame[11:31, 31:51].mean() / frame[:10].std(ddof=1) for frame in noisy.astype(float)]
    after = [frame[11:31, 31:51].mean() / frame[:10].std(ddof=1) for frame in restored.astype(float)]
    np.testing.assert_allclose([table.getValue("snr", row) for row in range(6)], before + after, rtol=1e-9)
    assert np.mean(after) / np.mean(before) == pytest.approx(2.0, abs=1e-4)
    assert [str(table.getStringValue("role", row)) for row in (0, 3)] == ["noisy", "restored"]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.full((30, 30), 5.0), {"bright": "0,0,5,5", "dark": "9,9,5,5"}, "dark region is constant"),
        (np.full((30, 30), np.nan), {"bright": "0,0,5,5", "dark": "9,9,5,5"}, "are NaN or infinite"),
        (np.ones((10, 10)), {}, "17 x 17 pixels does not fit"),
        (frames(1)[0], {"bright": "50,40,30,30"}, "bright region 50,40,30,30 .* does not lie inside"),
        (frames(1)[0], {"dark": "0,0,1,1"}, "has 1 pixel"),
        (frames(1)[0], {"restored": "no such.tif"}, "no image 'no such.tif' is open"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    imagej: Fiji, table: Any, array: np.ndarray, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(MEASURE, Image(array.astype(np.float32), "YX"), **options)
    assert "\n" not in str(error.value)


def ramp() -> np.ndarray:
    rng = np.random.default_rng(6)
    return np.asarray((100 + np.cumsum(rng.poisson(9, (13, 24, 40)), axis=0)).astype(np.uint16))


def expected_picture(rows: list[Slices], contrast: str) -> np.ndarray:
    limits = contrast_limits(rows, contrast)
    edges = rows[0].edges()
    pictures = []
    for row in rows:
        picture = row.sliced()
        for i, (low, high) in enumerate(limits):
            strip = slice(edges[i], edges[i + 1])
            picture[:, strip] = (picture[:, strip] - low) / (high - low)
        pictures.append(picture)
    return np.concatenate(pictures)


@pytest.mark.parametrize("contrast", ["common", "each"])
def test_the_sliced_picture_is_pythons(imagej: Fiji, tmp_path: Path, contrast: str) -> None:
    wanted = (12, 7, 1)
    path = write_image(tmp_path / "ramp.tif", Image(ramp(), "TYX", info={"ndr.gain_e_per_adu": "0.5"}), dtype="uint16")
    noisy = load_slices(str(path), wanted)
    clean = np.stack([np.full((24, 40), 9.0 * k, np.float32) + np.arange(40) for k in wanted]).astype(np.float32)
    info = {"ndr.unit": "adu", "ndr.gain_e_per_adu": "0.5"}
    restored = load_slices(str(write_image(tmp_path / "restored.tif", Image(clean, "TYX", info=info))), wanted)
    image = Image(ramp(), "TYX", info={"ndr.gain_e_per_adu": "0.5"})
    imagej.run_macro(f"""
        setBatchMode(true);
        open("{tmp_path}/restored.tif");
        open("{tmp_path}/ramp.tif");
        run("{MONTAGE}", "differences=12,7,1 restored=restored.tif contrast={contrast}");
        saveAs("Tiff", "{tmp_path}/montage.tif");
        close("*");
    """)
    made = read_image(tmp_path / "montage.tif")
    np.testing.assert_allclose(made.array, expected_picture([noisy, restored], contrast), rtol=1e-5, atol=1e-6)
    alone = imagej.run_command(MONTAGE, image, differences="12,7,1", contrast=contrast)["result"]
    np.testing.assert_allclose(alone.array, expected_picture([noisy], contrast), rtol=1e-5, atol=1e-6)
    assert made.info["quietframe.differences"] == "12,7,1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"differences": "12,a"}, "differences are whole numbers"),
        ({"differences": "12,0"}, "differences are 1 or more"),
        ({"differences": "13"}, "has 13 frames for 1 differences"),
        ({"differences": "12,7", "contrast": "most"}, "unknown contrast 'most': allowed: common, each"),
        ({"differences": "11,10,9,8,7,6,5,4,3,2,1"}, "narrower than 4 px"),
        ({"differences": "12,7", "restored": "none.tif"}, "no image 'none.tif' is open"),
    ],
)
def test_wrong_montages_are_refused(imagej: Fiji, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FijiError, match=message):
        imagej.run_command(MONTAGE, Image(ramp(), "TYX"), **options)
