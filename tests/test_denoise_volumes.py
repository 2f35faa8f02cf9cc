"""Networks of volumes, of several channels and of several outputs: against closed forms, in blocks, out of memory."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quietframe.errors import InputError, OptionError, OutputError, QuietframeError
from quietframe.images import Image, read_image, write_image
from quietframe.inference import scratch
from quietframe.inference.blocks import denoise_array
from quietframe.inference.large import denoise_file, denoise_image, denoise_outputs
from quietframe.inference.package import read_package
from quietframe.inference.runner import Runner
from quietframe.verbs.denoise import denoise

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))

RELATIVE = 1e-5
"""125 products of numbers of one sign in float32: 125 * 6e-8."""


def box(volume: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(volume.astype(np.float64), 5, mode="constant")


def runner_of(model: bytes, folder: Path, name: str = "model") -> Runner:
    (folder / f"{name}.onnx").write_bytes(model)
    return Runner(read_package(folder / f"{name}.onnx"), "cpu", threads=1)


def counts(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).poisson(200, shape).astype(np.uint16)


@pytest.mark.parametrize("tile", ["auto", 0, 16, 24])
@pytest.mark.parametrize("shape", [(2, 8, 8), (33, 21, 40), (5, 61, 19)])
def test_every_voxel_is_the_closed_form_in_blocks_or_not(tmp_path: Path, shape: tuple[int, ...], tile: Any) -> None:
    runner = runner_of(tiny.volume_model(), tmp_path)
    volume = counts(*shape)
    (result,) = denoise_array(volume[np.newaxis], runner, tile=tile)
    np.testing.assert_allclose(result[0], box(volume), rtol=RELATIVE)


def test_blocks_of_auto_equal_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(tiny.volume_model(), tmp_path)
    volume = counts(1, 30, 61, 70)
    whole = denoise_array(volume, runner, tile=0)[0]
    monkeypatch.setattr("quietframe.inference.tiles.BLOCK_VOXELS", 12_000)
    seen: list[tuple[int, int]] = []
    blocks = denoise_array(volume, runner, report=lambda *state: seen.append(state))[0]
    assert seen[-1][1] > 10
    np.testing.assert_allclose(blocks, whole, atol=1e-5 * np.ptp(whole), rtol=0)


def test_a_block_without_context_along_z_would_leave_seams(tmp_path: Path) -> None:
    runner = runner_of(tiny.volume_model(halo="0,4,4"), tmp_path)
    volume = np.full((1, 32, 20, 20), 100.0)
    wrong = np.abs(denoise_array(volume, runner, tile=16)[0][0] - box(volume[0])) > 1
    assert wrong[14:18, 4:16, 4:16].all()
    assert not wrong[4:12, 4:16, 4:16].any()


@pytest.mark.parametrize("axes", ["TZYX", "ZCYX", "TZCYX", "CTZYX"])
def test_time_and_channels_stay_apart_and_metadata_stays(tmp_path: Path, axes: str) -> None:
    sizes = {"T": 2, "Z": 6, "C": 3, "Y": 12, "X": 14}
    array = counts(*(sizes[letter] for letter in axes))
    array += (50 * np.arange(array.size // (12 * 14), dtype=np.uint16)).reshape(*array.shape[:-2], 1, 1)
    (tmp_path / "v.onnx").write_bytes(tiny.volume_model())
    labels = tuple(f"slice {number}" for number in range(array.size // (12 * 14)))
    image = Image(array, axes, {"Z": 0.5, "Y": 0.1, "X": 0.1}, None, {"sample": "cells"}, labels)
    write_image(tmp_path / "in.tif", image, dtype="uint16")
    denoise(tmp_path / "in.tif", tmp_path / "out.tif", model=tmp_path / "v.onnx", provider="cpu", tile="0")
    given, out = read_image(tmp_path / "in.tif"), read_image(tmp_path / "out.tif")
    assert (out.axes, out.labels, out.info["sample"]) == (given.axes, given.labels, "cells")
    assert out.pixel_size_um == pytest.approx({"Z": 0.5, "Y": 0.1, "X": 0.1})
    assert out.info["quietframe.halo"] == "2,4,4"
    moved, found = (np.moveaxis(each.array, each.axes.index("Z"), -3) for each in (given, out))
    for index in np.ndindex(moved.shape[:-3]):
        np.testing.assert_allclose(found[index], box(moved[index]), rtol=RELATIVE)
    inside = denoise_image(image, Runner(read_package(tmp_path / "v.onnx"), "cpu"), tile=0)
    turned = inside.array.transpose([inside.axes.index(letter) for letter in out.axes])
    np.testing.assert_array_equal(turned, out.array)


@pytest.mark.parametrize("kind", ["planes", "volumes"])
def test_channels_that_belong_together_are_given_together(tmp_path: Path, kind: str) -> None:
    make, width = (tiny.plane_model, 2) if kind == "planes" else (tiny.volume_model, 3)
    runner = runner_of(make(("denoised",), channels=2), tmp_path)
    array = counts(3, 7, 2, 15, 17)  # TZCYX
    array[:, :, 1] += 900
    result = denoise_image(Image(array, "TZCYX"), runner)
    assert result.array.shape == array.shape
    # each result is the sum of the means of both channels; a mean over z only where the network sees volumes
    size = (0, 5, 0, 5, 5) if width == 3 else (0, 0, 0, 5, 5)
    means = ndimage.uniform_filter(array.astype(np.float64), [s or 1 for s in size], mode="constant")
    np.testing.assert_allclose(result.array, np.broadcast_to(means.sum(2, keepdims=True), array.shape), rtol=RELATIVE)


def test_a_second_output_goes_to_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(tiny.plane_model(("denoised", "scale")))
    image = Image(counts(3, 20, 30), "TYX", {"Y": 0.1, "X": 0.1}, 0.5, {"sample": "cells"})
    write_image(tmp_path / "in.tif", image, dtype="uint16")
    result = denoise(
        tmp_path / "in.tif", tmp_path / "out.tif", model=tmp_path / "two.onnx", uncertainty=tmp_path / "sigma.tif"
    )
    assert result["others"] == {"scale": str(tmp_path / "sigma.tif")}
    assert f"{tmp_path / 'sigma.tif'}: scale" in result["summary"]
    first, second = read_image(tmp_path / "out.tif"), read_image(tmp_path / "sigma.tif")
    np.testing.assert_array_equal(second.array, first.array / 2)
    assert (second.axes, second.frame_interval_s, second.info["sample"]) == ("TYX", 0.5, "cells")
    assert second.info["quietframe.output"] == "scale"
    inside = denoise_outputs(image, Runner(read_package(tmp_path / "two.onnx"), "cpu"))
    assert list(inside) == ["denoised", "scale"]
    np.testing.assert_array_equal(inside["scale"].array, second.array)


def _npy(folder: Path, *shape: int) -> Path:
    np.save(folder / "in.npy", np.ones(shape, np.float32))
    return folder / "in.npy"


BAD: list[tuple[bytes, tuple[int, ...], dict[str, Any], type[QuietframeError], str]] = [
    (tiny.volume_model(), (9, 9), {}, InputError, r"takes volumes \(z, y, x\); this picture has axes YX"),
    (tiny.volume_model(), (5, 9, 9), {}, InputError, r"axes TYX, shape \(5, 9, 9\): if its planes .* \(--axes ZYX\)"),
    (tiny.volume_model(), (1, 9, 9), {"axes": "ZYX"}, InputError, "1 x 9 x 9 pixels; model needs at least 2 x 8 x 8"),
    (tiny.volume_model(), (40, 9, 9), {"axes": "ZYX", "tile": "5"}, OptionError, "tile 5 is too small"),
    (
        tiny.plane_model(("denoised",), channels=2),
        (3, 9, 9),
        {"axes": "CYX"},
        InputError,
        r"takes 2 channels at once; this picture has 3 \(axes CYX",
    ),
    (tiny.plane_model(("denoised",), channels=2), (9, 9), {}, InputError, "takes 2 channels at once; .* has 1"),
    (tiny.plane_model(("denoised",)), (9, 9), {"uncertainty": "s.tif"}, OptionError, "--uncertainty: .* denoised only"),
    (tiny.plane_model(("denoised", "scale")), (9, 9), {"deconvolved": "s.tif"}, OptionError, "trained by psf_blind"),
    (tiny.plane_model(("denoised", "scale")), (9, 9), {"uncertainty": "no/s.tif"}, OutputError, "does not exist"),
]


@pytest.mark.parametrize(("model", "shape", "options", "kind", "message"), BAD)
def test_what_does_not_fit_is_named_with_what_helps_and_leaves_nothing(
    tmp_path: Path,
    model: bytes,
    shape: tuple[int, ...],
    options: dict[str, Any],
    kind: type[QuietframeError],
    message: str,
) -> None:
    (tmp_path / "model.onnx").write_bytes(model)
    source = _npy(tmp_path, *shape)
    before = sorted(tmp_path.iterdir())
    for name in ("uncertainty", "deconvolved"):
        if name in options:
            options = {**options, name: tmp_path / options[name]}
    with pytest.raises(kind, match=message):
        denoise(source, tmp_path / "out.tif", model=tmp_path / "model.onnx", **options)
    assert sorted(tmp_path.iterdir()) == before


def test_a_picture_that_is_kept_in_a_file_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(tiny.volume_model(("denoised", "scale")), tmp_path)
    write_image(tmp_path / "in.tif", Image(counts(2, 9, 30, 41), "TZYX"), dtype="uint16")
    denoise_file(tmp_path / "in.tif", tmp_path / "plain.tif", runner, tile=24)
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    made: list[Any] = []
    plain = scratch.Scratch.array
    monkeypatch.setattr(scratch.Scratch, "array", lambda *given: made.append(plain(*given)) or made[-1])
    outs = {"denoised": tmp_path / "filed.tif", "scale": tmp_path / "scale.tif"}
    denoise_file(tmp_path / "in.tif", outs, runner, tile=24)
    assert len(made) == 7  # of each volume what is read and two results, and the second output of all
    assert all(isinstance(array, np.memmap) for array in made)
    assert read_image(tmp_path / "plain.tif").array.tobytes() == read_image(tmp_path / "filed.tif").array.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "filed.tif", "in.tif", "model.onnx", "plain.tif", "scale.tif",
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room on the disk is asked for as POSIX does")
def test_no_room_for_intermediate_results_is_said_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    runner = runner_of(tiny.volume_model(), tmp_path)
    write_image(tmp_path / "in.tif", Image(counts(9, 30, 41), "ZYX"), dtype="uint16")
    with pytest.raises(OutputError, match=r"has no room for .* \(No space left on device\)"):
        denoise_file(tmp_path / "in.tif", tmp_path / "out.tif", runner)
    for outs, message in (
        ({"scale": "s.tif"}, "no file is given for denoised"),
        ({"denoised": "a.tif", "b": "c.tif"}, "no output b"),
    ):
        with pytest.raises(InputError, match=message):
            denoise_file(tmp_path / "in.tif", {name: tmp_path / path for name, path in outs.items()}, runner)
    assert not (tmp_path / "out.tif").exists()


def test_each_channel_is_compared_with_its_own_training_data(tmp_path: Path) -> None:
    known = {"p01": 90.0, "p999": 300.0, "std": 20.0}
    channels = [known, {key: 10 * value for key, value in known.items()}]
    record = {"statistics": {**known, "channels": channels}}
    path = tiny.write_box_package(
        tmp_path / "two.zip",
        {"quietframe.json": json.dumps(record).encode(), "weights.onnx": tiny.plane_model(("denoised",), channels=2)},
        weights={"onnx": {"source": "weights.onnx"}},
    )
    runner = Runner(read_package(path), "cpu")
    bright = np.random.default_rng(0).normal(200, 20, (2, 16, 16))
    bright[1] = 2000 + 200 * (bright[1] - 200) / 20
    assert denoise_image(Image(bright, "CYX"), runner).remarks == ()
    (said,) = denoise_image(Image(bright * [[[1]], [[4]]], "CYX"), runner).remarks
    assert said.startswith("the median of channel 2 is 79")


MEMORY = """
import sys
from pathlib import Path
from quietframe.verbs.denoise import denoise
denoise(Path(sys.argv[1]), Path(sys.argv[2]), model=Path(sys.argv[3]), threads=1, provider="cpu")
# Not ru_maxrss: that one starts with the memory of the process which started this one.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
@pytest.mark.parametrize("kind", ["planes", "volumes"])
def test_memory_does_not_grow_with_the_size_of_the_picture(tmp_path: Path, kind: str) -> None:
    """A result of 100 MB from a picture of 50 MB, or of 150 MB from a volume of 75 MB."""
    shapes = [(2400, 2400), (5000, 5000)] if kind == "planes" else [(5, 800, 800), (24, 1250, 1250)]
    (tmp_path / "m.onnx").write_bytes(tiny.plane_model(("denoised",)) if kind == "planes" else tiny.volume_model())
    peaks = []
    for number, shape in enumerate(shapes):
        source = tmp_path / f"{number}.tif"
        write_image(source, Image(np.zeros(shape, np.uint16), "ZYX"[-len(shape) :]), dtype="uint16")
        command = [sys.executable, "-c", MEMORY, str(source), str(tmp_path / "out.tif"), str(tmp_path / "m.onnx")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
        peaks.append(int(done.stdout) / 1024)
        (tmp_path / "out.tif").unlink()
    # Of the plane, what is read is in memory for a moment, and later what is written; of the volume, the rows that a
    # block touches: 24 planes of some 400 rows, 24 MB read and 48 MB written.
    assert peaks[1] - peaks[0] < (120 if kind == "planes" else 90)


def test_the_command_line_writes_the_second_output(
    tmp_path: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "two.onnx").write_bytes(tiny.volume_model(("denoised", "phantom")))
    write_image(tmp_path / "in.tif", Image(counts(9, 20, 22), "ZYX"), dtype="uint16")
    done = quietframe(
        "denoise", tmp_path / "in.tif", tmp_path / "out.tif", "--model", tmp_path / "two.onnx",
        "--deconvolved", tmp_path / "phantom.tif", "--json",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["others"] == {"phantom": str(tmp_path / "phantom.tif")}
    assert read_image(tmp_path / "phantom.tif").array.shape == (9, 20, 22)
