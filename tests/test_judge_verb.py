"""`quietframe judge` from files: which evidence it finds, its numbers against the truth, what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from quietframe.cli import plain
from quietframe.errors import InputError, OutputError, QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.judge.evidence import independent_partner, reads_used, spread, unused_reads
from quietframe.verbs.judge import judge

GAIN, READ_NOISE_E, READS, SIDE = 0.5, 3.0, 45, 256
CAMERA = {
    "ndr.gain_e_per_adu": str(GAIN), "ndr.read_noise_e": str(READ_NOISE_E), "ndr.full_well_e": "30000",
    "ndr.t_subframe_s": "0.01",
}  # fmt: skip


@dataclass(frozen=True)
class Ramp:
    """A simulated exposure in a folder of its own; rate in e-/px/sub-frame."""

    folder: Path
    rate: NDArray[np.float64]
    reads: NDArray[np.float64]

    def put(self, name: str, array: NDArray[Any], **info: str) -> Path:
        array = np.asarray(array, dtype=np.float32)
        image = Image(array, "YX" if array.ndim == 2 else "TYX", {"Y": 0.1, "X": 0.1}, None, {**CAMERA, **info})
        return write_image(self.folder / name, image, overwrite=True)

    def difference(self, first: int, last: int) -> NDArray[np.float64]:
        """Return read `last` - read `first`, counted from 1, ADU."""
        difference: NDArray[np.float64] = self.reads[last - 1] - self.reads[first - 1]
        return difference


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Ramp:
    rng = np.random.default_rng(31)
    rate = 0.2 + 6 * gaussian_filter(rng.random((SIDE, SIDE)), 6) ** 2
    rate[60:120, 60:200] += 3.0
    charge = 200 + np.cumsum(rng.poisson(rate, (READS, SIDE, SIDE)), axis=0)
    reads = np.round((charge + rng.normal(0, READ_NOISE_E, charge.shape)) / GAIN)
    made = Ramp(tmp_path_factory.mktemp("ramp"), rate, reads)
    image = Image(reads.astype(np.uint16), "TYX", {}, 0.01, CAMERA)
    write_image(made.folder / "exposure.tif", image, dtype="uint16")
    return made


def smooth(stack: NDArray[Any]) -> NDArray[Any]:
    return (
        np.stack([gaussian_filter(plane, 0.8) for plane in stack]) if stack.ndim == 3 else gaussian_filter(stack, 0.8)
    )


def test_second_exposure_gives_the_true_error_and_a_page(ramp: Ramp) -> None:
    noisy, repeat = ramp.difference(2, 12), ramp.difference(13, 23)
    files = [ramp.put(f"{n}.tif", a) for n, a in (("noisy", noisy), ("result", smooth(noisy)), ("repeat", repeat))]
    steps: list[tuple[str, int, int]] = []
    out = judge(
        files[0], files[1], repeat=files[2], out=ramp.folder / "repeat.html", progress=lambda *step: steps.append(step)
    )
    true = float(np.mean((smooth(noisy) - 10 * ramp.rate / GAIN) ** 2))
    assert out["evidence"] == "repeat"
    assert abs(out["mse"] - true) < 4 * out["mse_standard_error"]
    assert out["mse"] == pytest.approx(true, rel=0.15)
    assert out["improvement_db"] > 3
    assert out["rms"] == pytest.approx(np.sqrt(out["mse"]))
    assert steps == [("judging", 1, 1)]
    assert json.loads(json.dumps(plain(out), allow_nan=False))["report"].endswith("repeat.html")
    page = (ramp.folder / "repeat.html").read_text(encoding="utf-8")
    assert "equally noisy" in page
    assert "repeat.tif" in page


def test_stack_of_guarded_differences_judges_itself(ramp: Ramp) -> None:
    windows = [(1, 11), (12, 22), (23, 33), (34, 44)]
    noisy = np.stack([ramp.difference(*window) for window in windows])
    info = {
        "ndr.unit": "adu", "ndr.difference": "10", "ndr.spacing": "guarded",
        "ndr.reads_used": ",".join(f"{a}-{b}" for a, b in windows),
    }  # fmt: skip
    out = judge(
        ramp.put("stack.tif", noisy, **info), ramp.put("smooth.tif", smooth(noisy), **info), out=ramp.folder / "s.html"
    )
    true = float(np.mean((smooth(noisy) - 10 * ramp.rate / GAIN) ** 2))
    assert out["evidence"] == "frames"
    assert out["unit"] == "ADU"
    assert len(out["frames"]) == 4
    assert abs(out["mse"] - true) < 4 * out["mse_standard_error"]
    assert out["mse"] == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("unit, factor", [("adu", 10 / GAIN), ("rate", 100.0)])
def test_unused_reads_judge_in_the_unit_of_the_picture(ramp: Ramp, unit: str, factor: float) -> None:
    noisy = ramp.difference(2, 12) * GAIN / 10 * factor
    info = {"ndr.unit": unit, "ndr.difference": "10", "ndr.reads_used": "2-12"}
    out = judge(
        ramp.put("one.tif", noisy, **info),
        ramp.put("one_smooth.tif", smooth(noisy), **info),
        exposure=ramp.folder / "exposure.tif",
        out=ramp.folder / "one.html",
        overwrite=True,
    )
    true = float(np.mean((smooth(noisy) - factor * ramp.rate) ** 2))
    assert out["evidence"] == "exposure"
    assert "reads 13 to 45" in out["evidence_text"]
    assert out["frames"][0]["repeat_variance_from"] == "ramp"
    assert out["warnings"] == []
    # The fit of 33 reads is far less noisy than the picture: the estimate is sharp.
    assert out["mse"] == pytest.approx(true, rel=0.03)
    assert out["noisy_mse"] == pytest.approx(float(np.mean((noisy - factor * ramp.rate) ** 2)), rel=0.03)


def box_model(path: Path) -> Path:
    """Write a model that averages 3 x 3 pixels: a denoiser whose output is known."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    shape = ["n", 1, "h", "w"]
    node = helper.make_node("Conv", ["input", "kernel"], ["denoised"], pads=[1, 1, 1, 1])
    kernel = numpy_helper.from_array(np.full((1, 1, 3, 3), 1 / 9, np.float32), "kernel")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "denoised")]
    model = helper.make_model(
        helper.make_graph([node], "box", values[:1], values[1:], [kernel]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    properties = {"axes": "NCYX", "halo": "4", "step": "1", "min": "8", "outputs": "denoised", "unit": "rate"}
    helper.set_model_props(model, {f"quietframe.{key}": value for key, value in properties.items()})
    onnx.save(model, str(path))
    return path


def test_fit_of_all_reads_is_judged_through_its_model_on_two_halves(ramp: Ramp, tmp_path: Path) -> None:
    fit = (ramp.reads[-1] - ramp.reads[0]) / (READS - 1) * GAIN
    info = {"ndr.unit": "electrons", "ndr.fit": "optimal", "ndr.reads_used": f"1-{READS}"}
    files = ramp.put("fit.tif", fit, **info), ramp.put("fit_smooth.tif", smooth(fit), **info)
    exposure = ramp.folder / "exposure.tif"
    without = judge(*files, exposure=exposure, out=tmp_path / "without.html")
    assert (without["evidence"], without["mse"]) == ("none", None)
    assert "--model" in without["evidence_text"]
    out = judge(*files, exposure=exposure, model=box_model(tmp_path / "box.onnx"), out=tmp_path / "with.html")
    assert out["evidence"] == "model halves"
    assert out["unit"] == "e-/px/sub-frame"
    assert "not the error of the result file" in " ".join(out["assumptions"])
    # Noise of the half: last minus first of 22 reads bounds the optimal fit from above, photons alone from below.
    n = 22
    photons = float(ramp.rate.mean()) / (n - 1)
    assert 0.9 * photons < out["noisy_mse"] < photons + 2 * READ_NOISE_E**2 / (n - 1) ** 2
    # Nine pixels averaged: a ninth of the noise, and the blur of the one edge in the scene on top.
    assert out["noisy_mse"] / 9 < out["mse"] < out["noisy_mse"] / 2


def test_without_evidence_the_page_says_that_no_error_can_be_stated(ramp: Ramp, tmp_path: Path) -> None:
    noisy = ramp.difference(2, 12)
    out = judge(ramp.put("n.tif", noisy), ramp.put("r.tif", smooth(noisy)), out=tmp_path / "none.html")
    assert out["evidence"] == "none"
    assert {out[key] for key in ("mse", "rms", "noisy_mse", "improvement_db", "flagged_pixels")} == {None}
    assert out["single"]["snr"]["denoised"] > out["single"]["snr"]["noisy"]
    page = (tmp_path / "none.html").read_text(encoding="utf-8")
    assert "no error can be stated" in page
    assert out["summary"][0] == "Error of the result: cannot be stated"


def test_a_worse_result_is_called_worse(ramp: Ramp, tmp_path: Path) -> None:
    noisy, repeat = ramp.difference(2, 12), ramp.difference(13, 23)
    files = ramp.put("w.tif", noisy), ramp.put("w_result.tif", noisy * 0.3)
    out = judge(*files, repeat=ramp.put("w_repeat.tif", repeat), out=tmp_path / "worse.html")
    assert out["improvement_db"] < 0
    assert "Improvement: none; the mean squared error rose by" in "\n".join(out["summary"])
    assert "made the picture worse" in (tmp_path / "worse.html").read_text(encoding="utf-8")


def judge_fmd(data_dir: Path, folder: Path, name: str) -> tuple[dict[str, Any], float]:
    """Judge a filtered raw 1 by raw 2; return that and the error against the mean of 50 raws."""
    raw, repeat, truth = (data_dir / "fmd" / f"{name}_{kind}.png" for kind in ("raw1", "raw2", "gt"))
    result = gaussian_filter(read_image(raw).array.astype(np.float32), 0.7)
    path = write_image(folder / "result.tif", Image(result, "YX"))
    out = judge(raw, path, repeat=repeat, out=folder / "fmd.html")
    return out, float(np.mean((result - read_image(truth).array.astype(np.float64)) ** 2))


@pytest.mark.parametrize("name", ["Confocal_FISH", "Confocal_BPAE_R", "WideField_BPAE_G"])
def test_real_repeats_judge_as_the_ground_truth_does(data_dir: Path, tmp_path: Path, name: str) -> None:
    out, true = judge_fmd(data_dir, tmp_path, name)
    # The ground truth is itself a mean of 50 raws of varying brightness: a few percent of the filtered error.
    assert out["mse"] == pytest.approx(true, rel=0.06)
    assert not any("light level" in warning for warning in out["warnings"])


def test_real_repeats_of_unequal_light_are_warned_of(data_dir: Path, tmp_path: Path) -> None:
    # Mean grey levels 32.8 and 30.6: the laser or the dye changed between the two raws.
    out, _ = judge_fmd(data_dir, tmp_path, "TwoPhoton_MICE")
    assert any("light level" in warning and "rough" in warning for warning in out["warnings"])


def test_partners_share_no_read() -> None:
    abutting = [(0, 5), (5, 10), (10, 15), (15, 20)]
    assert [independent_partner(abutting, index) for index in range(4)] == [2, 3, 0, 1]
    guarded = [(0, 5), (6, 11), (12, 17)]
    assert [independent_partner(guarded, index) for index in range(3)] == [1, 2, 1]
    assert independent_partner([(0, 5), (1, 6)], 0) is None


def test_reads_in_files_count_from_one() -> None:
    assert reads_used({"ndr.reads_used": "2-22,23-43"}, 2, "x") == [(1, 21), (22, 42)]
    assert reads_used({}, 2, "x") is None
    for text, message in (("2-22", "1 ranges of reads for 2 planes"), ("5-2,1-2", "'5-2'"), ("a,b", "no range")):
        with pytest.raises(InputError, match=message):
            reads_used({"ndr.reads_used": text}, 2, "x")


def test_the_longer_run_of_unused_reads_is_taken() -> None:
    assert unused_reads((1, 11), 45) == (12, 45)
    assert unused_reads((30, 40), 45) == (0, 30)
    assert unused_reads((30, 40), 45, first=28) == (41, 45)
    assert unused_reads((1, 43), 45) is None


def test_long_stacks_are_sampled_evenly() -> None:
    assert spread(list(range(10))) == tuple(range(10))
    chosen = spread(list(range(100)), 4)
    assert chosen == (0, 33, 66, 99)


BAD = np.random.default_rng(5).normal(10, 1, (16, 16))


@pytest.mark.parametrize(
    "noisy, result, repeat, message",
    [
        (BAD, BAD[:8], None, r"shape \(16, 16\); the result .* shape \(8, 16\); they must be equal"),
        (BAD, BAD, BAD[:, :8], r"the repeat .* shape \(16, 8\)"),
        (BAD, BAD, BAD, "repeat are equal, so the repeat is no second exposure"),
        (np.full((16, 16), 3.0), BAD, None, r"is constant \(3\)"),
        (BAD * np.nan, BAD, None, "no finite pixel"),
        (np.ones((1, 1)), np.ones((1, 1)), None, "at least 5 x 5 pixels"),
        (BAD, BAD * np.nan, BAD + 1, "finite and usable|equal"),
    ],
)
def test_bad_pictures_are_named(tmp_path: Path, noisy: Any, result: Any, repeat: Any, message: str) -> None:
    paths = [
        None if array is None else write_image(tmp_path / f"{name}.tif", Image(np.asarray(array), "YX"))
        for name, array in (("noisy", noisy), ("result", result), ("repeat", repeat))
    ]
    assert paths[0] is not None
    assert paths[1] is not None
    with pytest.raises(QuietframeError, match=message):
        judge(paths[0], paths[1], repeat=paths[2], out=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_some_pixels_that_are_not_finite_are_left_out(tmp_path: Path, rng: np.random.Generator) -> None:
    noisy, repeat = rng.normal(10, 1, (32, 32)), rng.normal(10, 1, (32, 32))
    noisy[3, 3] = np.nan
    paths = [write_image(tmp_path / f"{i}.tif", Image(array, "YX")) for i, array in enumerate((noisy, noisy, repeat))]
    out = judge(paths[0], paths[1], repeat=paths[2], out=tmp_path / "report.html")
    assert out["frames"][0]["pixels"] == 32 * 32 - 1
    assert out["single"]["snr"] == {"noisy": None, "denoised": None}


def test_outputs_and_missing_files_are_checked_first(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", Image(BAD, "YX"))
    taken = tmp_path / "taken.html"
    taken.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="exists; choose another name or add --overwrite"):
        judge(path, path, out=taken)
    assert taken.read_text(encoding="utf-8") == "mine"
    judge(path, path, out=taken, overwrite=True)
    assert taken.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(OutputError, match="does not exist"):
        judge(path, path, out=tmp_path / "nowhere" / "report.html")
    with pytest.raises(InputError, match="does not exist"):
        judge(path, tmp_path / "missing.tif", out=tmp_path / "report.html")
    colour = write_image(tmp_path / "colour.png", Image(np.zeros((3, 16, 16), np.uint8), "SYX"), dtype="uint8")
    with pytest.raises(InputError, match="colour picture"):
        judge(colour, colour, out=tmp_path / "report.html")


@pytest.mark.parametrize("option", ["exposure", "model"])
def test_a_file_that_is_not_needed_must_exist_nevertheless(ramp: Ramp, tmp_path: Path, option: str) -> None:
    info = {"ndr.unit": "adu", "ndr.difference": "10", "ndr.reads_used": "2-12"}
    noisy, repeat = ramp.put("one.tif", ramp.difference(2, 12), **info), ramp.put("two.tif", ramp.difference(20, 30))
    with pytest.raises(InputError, match=r"missing\.zip does not exist"):
        judge(noisy, noisy, repeat=repeat, out=tmp_path / "report.html", **{option: tmp_path / "missing.zip"})


def test_an_error_too_small_to_be_measured_gives_a_lower_limit_only(tmp_path: Path, rng: np.random.Generator) -> None:
    scene = np.fromfunction(lambda y, x: 100 + y, (64, 64))
    pictures = {
        "noisy": scene + rng.normal(0, 5, (64, 64)),
        "result": scene,
        "repeat": scene + rng.normal(0, 5, (64, 64)),
    }
    paths = [write_image(tmp_path / f"{name}.tif", Image(array, "YX")) for name, array in pictures.items()]
    out = judge(paths[0], paths[1], repeat=paths[2], out=tmp_path / "report.html")
    assert abs(out["mse"]) < 2 * out["mse_standard_error"]  # the truth is 0
    assert out["improvement_db"] is None
    assert out["improvement_at_least_db"] == pytest.approx(10 * np.log10(out["noisy_mse"] / out["rms_upper"] ** 2))
    assert f"Improvement: at least {out['improvement_at_least_db']:.1f} dB" in out["summary"]
    assert "too small to be measured with this repeat" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_constant_repeat_is_no_second_exposure(tmp_path: Path, rng: np.random.Generator) -> None:
    noisy = write_image(tmp_path / "noisy.tif", Image(rng.normal(10, 1, (32, 32)), "YX"))
    repeat = write_image(tmp_path / "repeat.tif", Image(np.full((32, 32), 7.0), "YX"))
    with pytest.raises(InputError, match=r"plane 1 of the repeat is constant \(7\)"):
        judge(noisy, noisy, repeat=repeat, out=tmp_path / "report.html")


@pytest.mark.parametrize(
    "info, message",
    [
        ({"ndr.unit": "adu"}, "does not say which reads"),
        ({"ndr.unit": "adu", "ndr.difference": "10", "ndr.reads_used": "50-60"}, "reads up to 60, but .* has 45"),
        ({"ndr.unit": "furlong", "ndr.reads_used": "2-12"}, "unit 'furlong'"),
    ],
)
def test_exposures_that_do_not_fit_are_named(ramp: Ramp, tmp_path: Path, info: dict[str, str], message: str) -> None:
    noisy = ramp.put("odd.tif", ramp.difference(2, 12), **info)
    with pytest.raises(InputError, match=message):
        judge(noisy, noisy, exposure=ramp.folder / "exposure.tif", out=tmp_path / "report.html")


def test_exposure_of_another_size_is_named(ramp: Ramp, tmp_path: Path) -> None:
    info = {"ndr.unit": "adu", "ndr.difference": "10", "ndr.reads_used": "2-12"}
    noisy = ramp.put("small.tif", ramp.difference(2, 12)[:100], **info)
    with pytest.raises(InputError, match=r"frames of \(256, 256\) pixels, .*\(100, 256\)"):
        judge(noisy, noisy, exposure=ramp.folder / "exposure.tif", out=tmp_path / "report.html")


def test_a_report_that_is_no_page_by_its_name_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.tif", Image(BAD, "YX"))
    with pytest.raises(QuietframeError, match=r"one HTML page; give a name that ends in \.html"):
        judge(path, path, out=tmp_path / "report.txt")
