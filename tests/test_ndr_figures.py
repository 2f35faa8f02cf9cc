"""The sliced montage and the profile figure: which pixels and numbers they show, formats, what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr import montage as room
from quietframe.verbs.ndr import subtract
from quietframe.verbs.ndr_figures import montage, profile

WANTED = (20, 10, 5, 1)


@pytest.fixture
def exposure(tmp_path: Path) -> Path:
    """Make 41 reads of 40 x 48, gain 0.5, 0.01 s, first valid read 2; brighter to the right."""
    rng = np.random.default_rng(3)
    flux = np.broadcast_to(np.linspace(1.0, 20.0, 48), (40, 48)).copy()
    flux[25, :] += 100.0
    reads = np.rint(np.cumsum(rng.poisson(flux, (41, 40, 48)), axis=0) / 0.5 + 300)
    info = {"ndr.gain_e_per_adu": "0.5", "ndr.first_valid": "2"}
    return write_image(tmp_path / "e_NDR.tif", Image(reads, "TYX", {"Y": 0.5, "X": 0.5}, 0.01, info), dtype="uint16")


def differences(exposure: Path, unit: str = "adu") -> str:
    for k in WANTED:
        subtract(exposure, exposure.with_name(f"d_{unit}_{k}.tif"), difference=k, spacing="single", unit=unit)
    return str(exposure.with_name(f"d_{unit}_*.tif"))


def test_each_slice_shows_its_own_difference_per_sub_frame(exposure: Path) -> None:
    slices = room.load_slices(str(exposure), WANTED)
    reads = read_image(exposure).array.astype(np.float64)
    picture = slices.sliced()
    assert slices.edges() == [0, 12, 24, 36, 48]
    assert slices.unit == "e-"
    for i, k in enumerate(WANTED):
        expected = 0.5 * (reads[1 + k] - reads[1]) / k
        np.testing.assert_allclose(picture[:, 12 * i : 12 * i + 12], expected[:, 12 * i : 12 * i + 12], rtol=1e-5)


@pytest.mark.parametrize("unit", ["adu", "electrons", "rate"])
def test_an_exposure_its_files_and_a_stack_show_the_same_in_every_unit(exposure: Path, unit: str) -> None:
    direct = room.load_slices(str(exposure), WANTED)
    pattern = differences(exposure, unit)
    files = room.load_slices(pattern, WANTED)
    np.testing.assert_allclose(files.images, direct.images, rtol=1e-5)
    assert files.unit == "e-"
    stack = exposure.with_name("stack.tif")
    planes = np.stack([read_image(exposure.with_name(f"d_{unit}_{k}.tif")).array for k in WANTED]).reshape(4, 40, 48)
    info = read_image(exposure.with_name(f"d_{unit}_1.tif")).info
    write_image(stack, Image(planes, "TYX", {}, None, info))
    np.testing.assert_allclose(room.load_slices(str(stack), WANTED).images, direct.images, rtol=1e-5)


def test_a_crop_shows_that_part(exposure: Path) -> None:
    slices = room.load_slices(str(exposure), WANTED)
    np.testing.assert_array_equal(slices.cropped("8,4,32,20").images, slices.images[:, 4:24, 8:40])


def test_common_contrast_is_that_of_the_longest_difference(exposure: Path) -> None:
    slices = room.load_slices(str(exposure), WANTED)
    limits = room.contrast_limits((slices, slices), "common")
    assert set(limits) == {tuple(float(value) for value in np.percentile(slices.images[0], (0.5, 99.8)))}
    assert len(set(room.contrast_limits((slices, slices), "each"))) == len(WANTED)


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_montage_and_profile_write_every_format(exposure: Path, suffix: str, magic: bytes) -> None:
    for name in ("m", "p"):
        out = exposure.with_name(f"{name}.{suffix}")
        if name == "m":
            montage(str(exposure), differences(exposure), out, differences="20,10,5,1")
        else:
            profile(exposure, out)
        assert out.read_bytes().startswith(magic)


def test_profile_tells_means_and_lines_since_the_first_valid_read(exposure: Path, tmp_path: Path) -> None:
    result = profile(exposure, tmp_path / "p.png", marks="11,41", region="8,0,10,20", row=7)
    reads = read_image(exposure).array.astype(np.float64)
    for mark, line in zip((11, 41), result["profiles"], strict=True):
        since = 0.5 * (reads[mark - 1] - reads[1])
        np.testing.assert_allclose(line, since[7])
        assert result["mean_at_marks"][str(mark)] == pytest.approx(since[:20, 8:18].mean())
    assert np.isnan(result["means"][0])
    assert result["means"][1] == 0.0
    assert result["unit"] == "e-"
    # by default: four reads evenly spread, and the row through the brightest square, whose middle is row 25 +- 8
    found = profile(exposure, tmp_path / "q.png")
    assert found["marks"] == [12, 22, 31, 41]
    assert 17 <= found["row"] <= 33


@pytest.mark.parametrize(
    ("noisy", "options", "message"),
    [
        ("e_NDR.tif", {"differences": "40,5"}, "the largest difference possible here is 39"),
        ("e_NDR.tif", {"differences": "41,5"}, "41 frames for 2 differences"),
        ("e_NDR.tif", {"differences": "20,x"}, "whole numbers with commas"),
        ("e_NDR.tif", {"differences": ""}, "whole numbers with commas"),
        ("e_NDR.tif", {"differences": "0,1"}, "1 or more sub-frames"),
        ("e_NDR.tif", {"differences": "20,10,5,1", "contrast": "best"}, "unknown contrast"),
        ("e_NDR.tif", {"differences": ",".join(["1"] * 13)}, "narrower than 4 px"),
        ("e_NDR.tif", {"names": "one"}, "names are two"),
        ("e_NDR.tif", {"crop": "0,0,8"}, "crop is four whole numbers"),
        ("e_NDR.tif", {"crop": "30,0,20,10"}, "is not inside an image of 48 x 40"),
        ("e_NDR.tif", {"out": "m.tif"}, "a figure is written as"),
        ("e_NDR.tif", {"out": "no/m.png"}, "make it first"),
        ("e_NDR.tif", {"restored": "plain.tif", "differences": "9,8,7"}, "noisy is in e- and restored in ADU"),
        ("e_NDR.tif", {"restored": "small.tif", "differences": "9,8,7"}, "must have one shape"),
        ("x_*.tif", {}, "finds no file with difference 20, 10"),
        ("none.tif", {}, "does not exist"),
    ],
)
def test_montage_refuses_bad_input(exposure: Path, noisy: str, options: dict[str, Any], message: str) -> None:
    folder = exposure.parent
    write_image(folder / "plain.tif", Image(np.ones((3, 40, 48), np.float32), "TYX", {}, None, {"ndr.unit": "adu"}))
    write_image(folder / "small.tif", Image(np.ones((3, 20, 48), np.float32), "TYX"))
    chosen = {"differences": "20,10,5,1", "restored": noisy, "out": "m.png", **options}
    before = sorted(folder.iterdir())
    restored, out = folder / chosen.pop("restored"), folder / chosen.pop("out")
    with pytest.raises(QuietframeError, match=message):
        montage(str(folder / noisy), str(restored), out, **chosen)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"marks": "2"}, "mark 2 is not one of the reads 3 to 41"),
        ({"marks": "42"}, "mark 42 is not one of the reads"),
        ({"marks": "ten"}, "numbers of reads with commas"),
        ({"row": 40}, "row 40 is not one of the rows 0 to 39"),
        ({"region": "90,90,5,5"}, "no pixel"),
        ({"region": "none.roi"}, "none.roi"),
        ({"axes": "ZYX"}, "z-stack"),
        ({"out": "p.jpg"}, "a figure is written as"),
    ],
)
def test_profile_refuses_bad_input(exposure: Path, options: dict[str, Any], message: str) -> None:
    out = exposure.parent / options.pop("out", "p.png")
    with pytest.raises(QuietframeError, match=message):
        profile(exposure, out, **options)
    assert [path.name for path in exposure.parent.iterdir()] == [exposure.name]


def test_the_command_line_draws(quietframe: Callable[..., Any], exposure: Path) -> None:
    pattern = differences(exposure)
    done = quietframe("ndr", "montage", exposure, pattern, exposure.with_name("m.png"), "--differences", "20,10,5,1")
    assert done.returncode == 0, done.stderr
    assert "4 slices of 48 x 40 pixels" in done.stdout
