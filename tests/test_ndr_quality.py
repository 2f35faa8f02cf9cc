"""Masked reads and reference borders are left out of fits and calibrations, and flagged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.fit import MASKED, SATURATED, UNUSABLE
from quietframe.verbs.ndr import CameraOptions, FitOptions, calibrate, fit

KNOWN = CameraOptions(gain_e_per_adu=1.0, read_noise_e=4.0)


def save(path: Path, array: np.ndarray, dtype: str = "uint16", **info: str) -> Path:
    keys = {f"ndr.{name}": value for name, value in info.items()}
    return write_image(path, Image(array, "TYX"[-array.ndim :], {}, None, keys), dtype=dtype)


@pytest.fixture
def reads(rng: np.random.Generator) -> np.ndarray:
    """Make 16 reads of 40 x 36, 10 e- per sub-frame, read noise 4 e-."""
    collected = np.cumsum(rng.poisson(10.0, (16, 40, 36)), axis=0)
    return np.rint(collected + 300 + rng.normal(0, 4, collected.shape)).astype(np.uint16)


def planes(folder: Path, **options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    further = FitOptions(n_used=folder / "n.tif", **options)
    fit(
        folder / "e.tif", folder / "r.tif", flags=folder / "f.tif", camera=KNOWN, options=further, unit="electrons",
        overwrite=True,
    )  # fmt: skip
    rate, flags, used = (read_image(folder / name).array for name in ("r.tif", "f.tif", "n.tif"))
    return rate, flags, used


def test_masked_reads_are_left_out_and_the_reads_after_them_count(reads: np.ndarray, tmp_path: Path) -> None:
    mask = np.zeros(reads.shape, np.uint8)
    mask[3:6, 10:20] = 1
    mask[:-1, 25] = 4
    spoilt = reads.copy()
    spoilt[mask != 0] = 65535  # would be saturation, and the end of the ramp, were it not masked
    save(tmp_path / "e.tif", spoilt)
    save(tmp_path / "q.tif", mask, "uint8")
    rate, flags, used = planes(tmp_path, quality=tmp_path / "q.tif")
    assert (used[10:20] == 13).all()
    assert (flags[10:20] == MASKED).all()
    # 16 reads: sigma about sqrt(10 / 15 + 12 * 16 / 16^3) = 0.85, of the mean of 360 pixels 0.045; five of these.
    assert rate[10:20].mean() == pytest.approx(10.0, abs=0.23)
    assert (flags[25] == MASKED | UNUSABLE).all()
    assert np.isnan(rate[25]).all()
    assert (flags[30:] == 0).all()


def test_a_mask_of_one_plane_stands_for_all_reads_and_changes_nothing_else(reads: np.ndarray, tmp_path: Path) -> None:
    save(tmp_path / "e.tif", reads)
    mask = np.zeros(reads.shape[1:], np.uint8)
    mask[7, 9] = 2
    save(tmp_path / "q.tif", mask, "uint8")
    plain = planes(tmp_path)
    rate, flags, _ = planes(tmp_path, quality=tmp_path / "q.tif")
    assert np.flatnonzero(flags & MASKED).tolist() == [7 * 36 + 9]
    far = np.ones(mask.shape, bool)
    far[:30, :32] = False  # the flux guess of the weights looks at neighbours
    np.testing.assert_allclose(rate[far], plain[0][far], rtol=1e-5)


def test_only_the_chosen_bits_make_a_read_bad(reads: np.ndarray, tmp_path: Path) -> None:
    save(tmp_path / "e.tif", reads)
    mask = np.zeros(reads.shape[1:], np.uint16)
    mask[3, 3], mask[4, 4], mask[5, 5] = 1, 512, 513
    save(tmp_path / "q.tif", mask)
    _, flags, _ = planes(tmp_path, quality=tmp_path / "q.tif", quality_bits=512)
    assert np.argwhere(flags & MASKED).tolist() == [[4, 4], [5, 5]]


def test_saturation_is_still_the_end_of_the_number_range(reads: np.ndarray, tmp_path: Path) -> None:
    reads[8:, 2:4] = 65535
    save(tmp_path / "e.tif", reads)
    save(tmp_path / "q.tif", np.eye(40, 36, dtype=np.uint8), "uint8")
    _, flags, used = planes(tmp_path, quality=tmp_path / "q.tif")
    good = ~np.eye(40, 36, dtype=bool)[2:4]
    assert ((flags[2:4] & SATURATED) != 0)[good].all()
    assert (used[2:4][good] == 8).all()


@pytest.mark.parametrize("way", ["option", "key"])
def test_the_border_takes_the_drift_out_and_is_flagged(
    reads: np.ndarray, tmp_path: Path, way: str, rng: np.random.Generator
) -> None:
    light = reads.astype(np.float64) - 300
    edge = np.ones(reads.shape[1:], bool)
    edge[4:-4, 4:-4] = False
    light[:, edge] = rng.normal(0, 4, (16, int(edge.sum())))
    drift = 3.0 * np.arange(16)[:, None, None]
    drifting = np.rint(light + 300 + drift).astype(np.uint16)
    save(tmp_path / "e.tif", drifting, **({"reference_border": "4"} if way == "key" else {}))
    rate, flags, _ = planes(tmp_path, **({"reference_border": 4} if way == "option" else {}))
    assert (flags[edge] == MASKED | UNUSABLE).all()
    assert (flags[~edge] & MASKED == 0).all()
    # 896 pixels: 0.85 / sqrt(896) = 0.03; the median of 544 reference pixels adds 0.25 sqrt(pi / 2 / 544) = 0.01
    assert rate[~edge].mean() == pytest.approx(10.0, abs=0.16)
    wanted = {"reference_border": 4} if way == "option" else {}
    assert calibrate(tmp_path / "e.tif", **wanted)["pixels_used"] <= int((~edge).sum())


def test_the_real_ramp_with_its_border_and_mask(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "ndr_real"
    source, mask = folder / "wfc3_ramp_electrons.tif", folder / "wfc3_ramp_dq.tif"
    given: dict[str, Any] = {"quality": mask, "reference_border": 5}
    found = calibrate(source, camera=CameraOptions(gain_e_per_adu=1.0), **given)
    # The header's 20.2 e- is of a difference of two reads; the issue allows 3 %.
    assert np.sqrt(2) * found["read_noise_e"] == pytest.approx(20.2, rel=0.03)
    bad = (read_image(mask).array != 0).any(axis=0)
    bad[:5] = bad[-5:] = bad[:, :5] = bad[:, -5:] = True
    assert found["pixels_used"] <= int((~bad).sum())
    fit(
        source, tmp_path / "r.tif", flags=tmp_path / "f.tif", camera=CameraOptions(gain_e_per_adu=1.0),
        options=FitOptions(**given),
    )  # fmt: skip
    flags, rate = read_image(tmp_path / "f.tif").array, read_image(tmp_path / "r.tif").array
    np.testing.assert_array_equal((flags & MASKED) != 0, bad)
    assert np.isfinite(rate[~bad]).mean() > 0.999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality_bits": 4}, "give it with --quality"),
        ({"quality": "q.tif", "quality_bits": 0}, "quality bits must be 1 or more"),
        ({"quality": "small.tif"}, "the quality mask has the shape"),
        ({"quality": "real.tif", "quality_bits": 1}, "need a mask of whole numbers"),
        ({"reference_border": 18}, "does not leave any of the 36 x 40 pixels"),
        ({"reference_border": -1}, "does not leave any"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    reads: np.ndarray, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    save(tmp_path / "e.tif", reads)
    save(tmp_path / "q.tif", np.zeros((40, 36), np.uint8), "uint8")
    save(tmp_path / "small.tif", np.zeros((3, 40, 36), np.uint8), "uint8")
    save(tmp_path / "real.tif", np.zeros((40, 36), np.float32), "float32")
    if "quality" in options:
        options = {**options, "quality": tmp_path / options["quality"]}
    with pytest.raises(QuietframeError, match=message):
        fit(tmp_path / "e.tif", tmp_path / "r.tif", camera=KNOWN, options=FitOptions(**options))
    with pytest.raises(QuietframeError, match=message):
        calibrate(tmp_path / "e.tif", **options)


def test_single_masked_reads_need_the_optimal_method(reads: np.ndarray, tmp_path: Path) -> None:
    save(tmp_path / "e.tif", reads)
    mask = np.zeros(reads.shape, np.uint8)
    mask[3, 3, 3] = 1
    save(tmp_path / "q.tif", mask, "uint8")
    masked = FitOptions(quality=tmp_path / "q.tif")
    with pytest.raises(QuietframeError, match="masked reads are fitted by method optimal only"):
        fit(tmp_path / "e.tif", tmp_path / "r.tif", method="lsq", camera=KNOWN, options=masked)
