"""Comparing methods without truth: estimates against the truth of simulated pictures; the command and its errors."""

from __future__ import annotations

import csv
import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from scipy import ndimage

from quietframe.errors import InputError, OptionError, OutputError, QuietframeError
from quietframe.images import Image, write_image
from quietframe.judge import contest
from quietframe.judge.contest_picture import contest_png
from quietframe.verbs import train_compare
from quietframe.verbs.train_compare import compare

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))
SIDE = 256
SIGMA = 12.0


def scene() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return 300 + 100 * np.sin(x / 9) * np.sin(y / 7)


def exposure(seed: int) -> np.ndarray:
    return scene() + np.random.default_rng(seed).normal(0, SIGMA, (SIDE, SIDE))


def widths(*sigmas: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    return {f"gaussian {sigma}": contest.gaussian(sigma) for sigma in sigmas}


def test_a_repeat_gives_the_error_against_the_truth() -> None:
    noisy, repeat = exposure(1), exposure(2)
    scores = [contest.against_repeat(name, [f(noisy)], [repeat]) for name, f in widths(0.6, 1.3, 4.0).items()]
    before = contest.against_repeat("noisy", [noisy], [repeat])
    for standing in contest.rank(scores, before, before.mean_square / 2):
        result = contest.gaussian(float(standing.score.name.split()[1]))(noisy)
        true = float(np.mean((result - scene()) ** 2))
        # the estimate's own scatter: noise of the repeat, 2 s^2 / sqrt(n), and its product with the error
        scatter = 4 * (2 * SIGMA**2 + 2 * SIGMA * true**0.5) / SIDE
        assert standing.rms_error is not None
        assert abs(standing.rms_error**2 - true) < scatter
        assert standing.gain_db == pytest.approx(10 * np.log10(SIGMA**2 / true), abs=0.7)


def test_hidden_pixels_put_filters_in_the_order_of_their_error() -> None:
    """Wide filters lose little by not seeing the pixel, so that their order is the true one."""
    noisy = exposure(3)
    sigmas = (1.0, 1.5, 2.5, 4.0)
    scores = [contest.by_hidden_pixels(name, [noisy], f) for name, f in widths(*sigmas).items()]
    found = [standing.score.name for standing in contest.rank(scores)]
    true = {name: np.mean((f(noisy) - scene()) ** 2) for name, f in widths(*sigmas).items()}
    assert found == sorted(true, key=lambda name: true[name])
    assert all(score.mean_square > SIGMA**2 for score in scores)  # the noise itself is inside


def test_a_method_that_returns_its_input_gains_nothing_by_hidden_pixels() -> None:
    noisy = exposure(4)
    copied = contest.by_hidden_pixels("copy", [noisy], lambda plane: plane)
    # it can only return the mean of 8 neighbours: their noise is an eighth, and the scene bends a little
    assert copied.mean_square == pytest.approx(SIGMA**2 * (1 + 1 / 8), rel=0.05)


def test_equal_methods_are_not_told_apart_and_different_ones_are() -> None:
    noisy, repeat = exposure(5), exposure(6)
    nearly = {"a": contest.gaussian(1.3), "b": contest.gaussian(1.301), "c": contest.gaussian(4.0)}
    scores = [contest.against_repeat(name, [f(noisy)], [repeat]) for name, f in nearly.items()]
    standings = contest.rank(scores)
    assert not standings[0].told_apart
    assert standings[-1].score.name == "c"
    assert standings[-1].told_apart
    same = [contest.Score("d", 1.0, np.array([1.0, 1.2])), contest.Score("e", 1.01, np.array([1.1, 1.12]))]
    assert not contest.rank(same)[1].told_apart


def test_the_gaussian_is_calibrated_to_the_width_of_least_error() -> None:
    for seed, noise in ((7, 5.0), (8, 40.0)):
        noisy = scene() + np.random.default_rng(seed).normal(0, noise, (SIDE, SIDE))
        errors = [np.mean((contest.gaussian(sigma)(noisy) - scene()) ** 2) for sigma in contest.SIGMAS]
        best = int(np.argmin(errors))
        found = contest.SIGMAS.index(contest.calibrate_gaussian([noisy]))
        # the blind filter lacks the weight of its middle, which matters where little is to be averaged
        assert abs(found - best) <= 2
        assert errors[found] <= 1.35 * errors[best]


def test_correlated_noise_is_named_and_white_noise_is_not() -> None:
    assert contest.why_not_hidden(exposure(9)) is None
    noise = ndimage.uniform_filter(np.random.default_rng(9).normal(0, 30, (SIDE, SIDE)), (1, 3))
    assert "give a second exposure" in str(contest.why_not_hidden(scene() + noise))


def test_large_pictures_are_judged_in_their_middle() -> None:
    plane = np.arange(1200 * 1100).reshape(1200, 1100)
    np.testing.assert_array_equal(contest.middle(plane), plane[88:1112, 38:1062])
    assert contest.middle(plane[:10, :20]).shape == (10, 20)


def test_the_picture_has_every_panel() -> None:
    panels = [("noisy", exposure(1)), *((f"r{n}", scene()) for n in range(4))]
    height, width, _ = imagecodecs.png_decode(contest_png(panels)).shape
    assert (height, width) == (780, 1440)
    assert contest_png([("noisy", np.ones((9, 9))), ("flat", np.full((9, 9), 3.0))])


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Training that ends at once: n2v is a mean of 5 x 5 pixels, n2v2 returns its input."""
    asked: list[str] = []

    def train(name: str, source: Path, out: Path, how: tuple[float, int], progress: Any) -> dict[str, Any]:
        asked.append(f"{name} {source.name} {how[0]:g} {how[1]}")
        (out / name).mkdir(exist_ok=True)
        model = tiny.box_model() if name == "n2v" else tiny.finish(
            [tiny.helper.make_node("Identity", ["input"], ["denoised"])], ["input"], ("batch", 1, "height", "width"),
            properties=tiny.OWN,
        )  # fmt: skip
        (out / name / "model.onnx").write_bytes(model)
        progress("training", 1, 1)
        return {"model": str(out / name / "model.onnx"), "steps": 9, "seconds": 1.5, "notes": ["short"]}

    monkeypatch.setattr(train_compare, "_train", train)
    return asked


def pictures(folder: Path) -> tuple[Path, Path]:
    for name, seed in (("a.tif", 1), ("b.tif", 2)):
        write_image(folder / name, Image(exposure(seed).astype(np.float32), "YX"))
    return folder / "a.tif", folder / "b.tif"


def test_the_folder_holds_table_picture_and_results(tmp_path: Path, trained: list[str]) -> None:
    source, repeat = pictures(tmp_path)
    seen: list[str] = []
    result = compare(
        source, out=tmp_path / "out", methods="n2v, n2v2", repeat=repeat, minutes=0.5, seed=3,
        progress=lambda message, done, total: seen.append(message),
    )  # fmt: skip
    assert trained == ["n2v a.tif 0.5 3", "n2v2 a.tif 0.5 3"]
    assert seen == ["training", "training"]
    gains = {row["name"]: row["gain_db"] for row in result["rows"]}
    assert gains["gaussian"] > 3
    assert gains["n2v2"] == pytest.approx(0, abs=1e-6)  # returns its input: nothing gained
    assert result["judge"] == "repeat"
    with (tmp_path / "out" / "comparison.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == [row["name"] for row in result["rows"]]
    assert float(table[0]["mean_square"]) == pytest.approx(result["rows"][0]["mean_square"], rel=1e-5)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "comparison.csv", "comparison.png", "n2v", "n2v.tif", "n2v2", "n2v2.tif",
    }  # fmt: skip
    assert "n2v: short" in result["notes"]
    assert any(line.startswith("best: ") for line in result["summary"])
    json.dumps(result)
    with pytest.raises(OutputError, match="holds a comparison; choose another folder or add --overwrite"):
        compare(source, out=tmp_path / "out", methods="n2v", repeat=repeat)
    assert compare(source, out=tmp_path / "out", methods="n2v", overwrite=True)["judge"] == "hidden pixels"


def test_without_a_repeat_the_words_say_what_the_figures_hold(tmp_path: Path, trained: list[str]) -> None:
    source, _ = pictures(tmp_path)
    result = compare(source, out=tmp_path / "out", methods="n2v")
    assert result["rows"][0]["rms_error"] is None
    assert any("the figures hold the noise itself" in note for note in result["notes"])
    assert not any("not to be trusted" in note for note in result["notes"])
    noise = ndimage.uniform_filter(np.random.default_rng(9).normal(0, 30, (SIDE, SIDE)), (1, 3))
    write_image(tmp_path / "c.tif", Image((scene() + noise).astype(np.float32), "YX"))
    result = compare(tmp_path / "c.tif", out=tmp_path / "out2", methods="n2v")
    assert any("not to be trusted here: the noise of neighbouring" in note for note in result["notes"])


def test_an_exposure_is_judged_by_its_other_half(tmp_path: Path, trained: list[str]) -> None:
    rng = np.random.default_rng(0)
    rate = 4 + 2 * np.sin(np.arange(64) / 5)[:, None] * np.sin(np.arange(72) / 6)
    reads = np.cumsum(rng.poisson(rate, (24, 64, 72)), axis=0) + rng.normal(100, 3, (24, 64, 72))
    info = {"ndr.gain_e_per_adu": "1", "ndr.read_noise_e": "3"}
    write_image(tmp_path / "e.tif", Image(reads.astype(np.uint16), "TYX", {}, None, info), dtype="uint16")
    result = compare(tmp_path / "e.tif", out=tmp_path / "out", methods="n2v", halves=True)
    assert trained == ["n2v half_a.tif 1 42"]
    assert result["judge"] == "repeat"
    assert (tmp_path / "out" / "half_b.tif").is_file()
    assert any("it holds for half of the exposure" in note for note in result["notes"])


BAD: list[tuple[dict[str, Any], type[QuietframeError], str]] = [
    ({"methods": "n2w"}, OptionError, "unknown method 'n2w'.*did you mean n2v"),
    ({"methods": " , "}, OptionError, "--methods names no method"),
    ({"methods": "n2v,care"}, OptionError, "care does not learn from noisy pictures alone.*n2v2"),
    ({"halves": True, "repeat": Path("b.tif")}, OptionError, "give one of them"),
    ({"repeat": Path("none.tif")}, InputError, "does not exist"),
    ({"repeat": Path("small.tif")}, InputError, r"has shape \(9, 9\)"),
    ({"out": Path("a.tif")}, OutputError, "is a file; give a folder"),
    ({"out": Path("no/out")}, OutputError, "does not exist; make it first"),
]


@pytest.mark.parametrize(("options", "kind", "message"), BAD)
def test_what_cannot_be_compared_is_named(
    tmp_path: Path, trained: list[str], options: dict[str, Any], kind: type[QuietframeError], message: str
) -> None:
    source, _ = pictures(tmp_path)
    write_image(tmp_path / "small.tif", Image(np.ones((9, 9), np.float32), "YX"))
    given = {key: tmp_path / value if isinstance(value, Path) else value for key, value in options.items()}
    with pytest.raises(kind, match=message):
        compare(source, **{"out": tmp_path / "out", "methods": "n2v", **given})
    assert trained == []


@pytest.mark.slow
def test_the_command_line_trains_and_ranks(
    tmp_path: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pytest.importorskip("torch")
    source, repeat = pictures(tmp_path)
    done = quietframe(
        "train", "compare", source, "--out", tmp_path / "out", "--methods", "n2v,zero-shot", "--minutes", "0.03",
        "--repeat", repeat, "--json",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["rows"]
    assert {row["name"] for row in rows} == {"gaussian", "n2v", "zero_shot"}
    assert (tmp_path / "out" / "zero_shot" / "model.zip").is_file()
