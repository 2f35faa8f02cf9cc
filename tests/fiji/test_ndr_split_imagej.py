"""NDR Split in the real ImageJ: halves and pairs of the same reads, in the same light, with Python's pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.camera import Camera
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, read_image, write_image
from quietframe.ndr.exposure import open_exposure
from quietframe.ndr.pairs import PairRequest, make_pairs
from quietframe.ndr.split_files import SplitFiles, SplitRequest, pair_request, split_file

COMMAND = "Quietframe NDR Split"
GAIN, NOISE = 0.6, 6.0


def simulated(n: int, fade: float = 0.0) -> np.ndarray:
    """A ramp of a bright and a dark half whose light fades by a part, uint16."""
    rng = np.random.default_rng(3)
    flux = np.where(np.arange(30) < 15, 2.0, 50.0) * (1 - fade * np.arange(n) / n)[:, None, None]
    electrons = np.cumsum(rng.poisson(flux, (n, 26, 30)), axis=0) + rng.normal(0, NOISE, (n, 26, 30))
    return np.asarray(np.round(electrons / GAIN + 300).astype(np.uint16))


def python_split(folder: Path, image: Image, **options: Any) -> tuple[Image, Image]:
    source = write_image(folder / "ramp.tif", image, dtype="uint16")
    keywords = {key: options.pop(key) for key in ("design", "count", "seed") if key in options}
    request = pair_request(
        keywords.get("design"),
        options.pop("pairs", None),
        guard=options.get("guard", 1),
        count=keywords.get("count"),
        seed=keywords.get("seed", 0),
    )
    files = SplitFiles(folder / "a.tif", folder / "b.tif")
    with open_exposure(source, camera=Camera(gain_e_per_adu=GAIN, read_noise_e=NOISE, full_well_e=1e9)) as exposure:
        split_file(exposure, SplitRequest(pairs=request, **options), files)
    return read_image(files.a), read_image(files.b)


def java_split(imagej: Fiji, image: Image, **options: Any) -> tuple[Image, Image]:
    made = imagej.run_command(
        COMMAND, image, **{"gain_e_per_adu": GAIN, "read_noise_e": NOISE, "full_well_e": 1e9, **options}
    )
    return made["out_a"], made["out_b"]


@pytest.mark.parametrize(
    ("options", "fade"),
    [
        ({}, 0.0),
        ({"guard": 4, "method": "lsq"}, 0.0),
        ({"unit": "adu", "first": 3, "last": 30}, 0.0),
        ({}, 0.3),
        ({"as_measured": True}, 0.3),
        ({"pairs": 3, "design": "care", "unit": "electrons"}, 0.3),
    ],
)
def test_halves_and_fitted_targets_are_pythons(
    imagej: Fiji, tmp_path: Path, options: dict[str, Any], fade: float
) -> None:
    image = Image(simulated(40, fade), "TYX", {"Y": 0.1, "X": 0.1}, 0.2)
    expected = python_split(tmp_path, image, **options)
    for mine, theirs in zip(java_split(imagej, image, **options), expected, strict=True):
        # Python fits integers in float32: reads of up to 1500 e- with 6e-8 each.
        np.testing.assert_allclose(mine.array.reshape(theirs.array.shape), theirs.array, rtol=1e-5, atol=2e-4)
        assert mine.labels == theirs.labels
        same = ("ndr.part", "ndr.unit", "ndr.unit_text", "ndr.reads_used", "ndr.fit", "ndr.pair", "quietframe.guard")
        assert {key: mine.info.get(key) for key in same} == {key: theirs.info.get(key) for key in same}
        factor = theirs.info.get("ndr.light_factor")
        assert (mine.info.get("ndr.light_factor") is None) == (factor is None)
        if factor is not None:
            assert float(mine.info["ndr.light_factor"]) == pytest.approx(float(factor), rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"pairs": 3},
        {"pairs": 2, "seed": 12},
        {"pairs": 2, "count": 4, "guard": 3, "unit": "electrons"},
        {"pairs": 3, "guard": 0},
        {"pairs": 19},
        {"pairs": 20, "design": "report", "unit": "rate"},
    ],
)
def test_pairs_of_differences_are_pythons_exactly(imagej: Fiji, tmp_path: Path, options: dict[str, Any]) -> None:
    image = Image(simulated(110 if "design" in options else 40), "TYX", {}, 0.2)
    expected = python_split(tmp_path, image, **options)
    made = java_split(imagej, image, **options)
    for mine, theirs in zip(made, expected, strict=True):
        np.testing.assert_array_equal(mine.array.reshape(theirs.array.shape), theirs.array)
        assert mine.info["ndr.reads_used"] == theirs.info["ndr.reads_used"]
        assert mine.labels == theirs.labels
        assert ("ndr.warning" in mine.info) == ("ndr.warning" in theirs.info)
    if "guard" not in options and "design" not in options:
        # No read in both members.
        for a, b in zip(*(image.info["ndr.reads_used"].split(",") for image in made), strict=True):
            (a1, a2), (b1, b2) = (map(int, text.split("-")) for text in (a, b))
            assert a2 < b1 or b2 < a1


@pytest.mark.parametrize("seed", [0, 1, 7, 12345, 2**31 - 1])
def test_a_seed_gives_numpys_order(imagej: Fiji, seed: int) -> None:
    from jpype import JClass

    for n in (2, 3, 10, 997):
        order = np.array(JClass("org.quietframe.NdrShuffle").permutation(n, seed))
        np.testing.assert_array_equal(order, np.random.default_rng(seed).permutation(n))


def test_halves_share_no_read_and_average_to_the_mean_difference(imagej: Fiji) -> None:
    reads = simulated(21)
    a, b = java_split(imagej, Image(reads, "TYX"), method="last-first", unit="adu", as_measured=True)
    assert (a.info["ndr.reads_used"], b.info["ndr.reads_used"]) == ("1-10", "12-21")
    for half, (first, last) in ((a, (0, 9)), (b, (11, 20))):
        mean = (reads[last].astype(float) - reads[first]) / 9
        calm = np.abs(half.array - mean) < 1e-4  # ramps with a jump are fitted in pieces
        assert calm.mean() > 0.99


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 30}, "difference 30 fits only once|largest difference possible"),
        ({"pairs": 50}, "largest difference possible here is 39"),
        ({"design": "n2n"}, "needs pairs=K"),
        ({"count": 3}, "halves have no pairs and no count"),
        ({"design": "twins", "pairs": 3}, "unknown design 'twins': allowed: auto, halves, n2n"),
        ({"guard": -1}, "guard is the number of sub-frames left out"),
        ({"guard": 38}, "it takes at least 41"),
        ({"pairs": 3, "count": 99}, "count 99 is more than the 10 pairs"),
        ({"pairs": 3, "design": "report"}, "target is read 100"),
        ({"pairs": 3, "seed": -4}, "seed must be 0 or more"),
        ({"method": "best"}, "unknown method"),
        ({"pairs": 3, "unit": "rate"}, "needs the time per sub-frame"),
    ],
)
def test_wrong_options_are_refused_in_one_line(imagej: Fiji, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FijiError, match=message) as error:
        java_split(imagej, Image(simulated(40), "TYX"), **options)
    assert "\n" not in str(error.value)


def test_pairs_of_an_exposure_are_those_of_the_vectors_rule(imagej: Fiji) -> None:
    # The rule itself, not our image code: windows of 5 sub-frames, one guard read apart, each once as input.
    a, b = java_split(imagej, Image(simulated(40), "TYX"), pairs=5, seed=3)
    pairs = make_pairs(40, PairRequest(5, seed=3))
    text = [",".join(f"{x + 1}-{y + 1}" for x, y in windows) for windows in (pairs.inputs, pairs.targets)]
    assert [a.info["ndr.reads_used"], b.info["ndr.reads_used"]] == text
    assert sorted(pairs.inputs) == [(start, start + 5) for start in range(0, 35, 6)]
