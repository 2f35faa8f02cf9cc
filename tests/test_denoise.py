"""Denoising stacks and hyperstacks: every pixel against the closed form, metadata kept, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import runpy
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile

from quietframe.errors import InputError, OptionError, OutputError, QuietframeError
from quietframe.images import Image, open_image, read_image, write_image
from quietframe.inference.large import denoise_file, denoise_image, denoise_plane
from quietframe.inference.mismatch import mismatch
from quietframe.inference.package import read_package
from quietframe.inference.runner import Runner
from quietframe.verbs.denoise import denoise

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))

RELATIVE = 2e-6
"""25 products of numbers of one sign in float32: 25 * 6e-8."""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_box_package(tmp_path_factory.mktemp("box") / "box.zip")


@pytest.fixture(scope="module")
def runner(box: Path) -> Runner:
    return Runner(read_package(box), "cpu", threads=1)


@pytest.mark.parametrize(
    ("height", "width", "tile"),
    [(8, 8, "auto"), (33, 47, None), (33, 47, 12), (50, 61, 24), (101, 97, 40), (24, 25, 24), (8, 200, 16)],
)
def test_every_pixel_is_the_closed_form_tiled_or_not(runner: Runner, height: int, width: int, tile: Any) -> None:
    picture = np.random.default_rng(1).poisson(200, (height, width)).astype(np.uint16)
    result = denoise_plane(picture, runner, tile=tile)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, tiny.box_truth(picture), rtol=RELATIVE)


def test_auto_cuts_above_two_megapixels_and_equals_the_whole(runner: Runner) -> None:
    picture = np.random.default_rng(2).poisson(200, (1100, 1999)).astype(np.float32)
    seen: list[tuple[int, int]] = []
    tiled = denoise_plane(picture, runner, report=lambda done, total: seen.append((done, total)))
    # 1100 = 2 cores of 552; 1999 = 3 cores of 668
    assert seen[-1] == (6, 6)
    whole = denoise_plane(picture, runner, tile=0)
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.ptp(whole), rtol=0)


def test_a_tile_without_context_would_leave_seams(tmp_path: Path) -> None:
    """The test above can fail: with a halo of 0 the same network is wrong at the seams, and only there."""
    (tmp_path / "box.onnx").write_bytes(tiny.box_model({**tiny.OWN, "quietframe.halo": "0"}))
    runner = Runner(read_package(tmp_path / "box.onnx"), "cpu", threads=1)
    picture = np.full((40, 40), 100.0)
    wrong = np.abs(denoise_plane(picture, runner, tile=20) - tiny.box_truth(picture)) > 1
    assert wrong[18:22].all()
    assert not wrong[2:18, 2:18].any()


def test_hyperstack_keeps_axes_calibration_labels_and_info(box: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    array = rng.poisson(100, (3, 2, 4, 21, 19)).astype(np.uint16)
    labels = tuple(f"slice {number}" for number in range(24))
    image = Image(array, "TZCYX", {"Z": 0.5, "Y": 0.1, "X": 0.1}, 0.25, {"ndr.exposure": "E7"}, labels)
    write_image(tmp_path / "in.tif", image, dtype="uint16")
    result = denoise(tmp_path / "in.tif", tmp_path / "out.tif", model=box, provider="cpu", tile="16")
    out = read_image(tmp_path / "out.tif")
    assert (out.axes, out.array.shape, out.array.dtype) == ("TZCYX", array.shape, np.float32)
    assert out.pixel_size_um == pytest.approx(image.pixel_size_um)
    assert out.frame_interval_s == 0.25
    assert out.labels == labels
    for index in np.ndindex(3, 2, 4):
        np.testing.assert_allclose(out.array[index], tiny.box_truth(array[index]), rtol=RELATIVE)
    assert out.info["ndr.exposure"] == "E7"
    assert out.info["quietframe.command"] == "denoise"
    assert out.info["quietframe.model"] == "Box"
    assert out.info["quietframe.model_sha256"] == result["model_sha256"] == read_package(box).sha256
    assert (out.info["quietframe.provider"], out.info["quietframe.tile"]) == ("cpu", "16")
    assert (out.info["quietframe.method"], out.info["quietframe.unit"]) == ("n2v", "adu")


def test_planes_in_another_order_are_brought_into_the_order_of_files(
    box: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    array = rng.poisson(100, (2, 3, 9, 10)).astype(np.float32)
    write_image(tmp_path / "in.npy", Image(array, "CTYX"))
    denoise(tmp_path / "in.npy", tmp_path / "out.tif", model=box, axes="CTYX")
    out = read_image(tmp_path / "out.tif")
    assert out.axes == "TCYX"
    for channel, frame in np.ndindex(2, 3):
        np.testing.assert_allclose(out.array[frame, channel], tiny.box_truth(array[channel, frame]), rtol=RELATIVE)
    denoise(tmp_path / "in.npy", tmp_path / "out.npy", model=box, axes="CTYX")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), out.array.swapaxes(0, 1))


def test_image_in_memory_and_file_give_the_same(box: Path, runner: Runner, tmp_path: Path) -> None:
    image = Image(np.random.default_rng(3).poisson(90, (4, 20, 30)).astype(np.uint8), "TYX")
    write_image(tmp_path / "in.tif", image, dtype="uint8")
    done = denoise_file(tmp_path / "in.tif", tmp_path / "out.tif", runner)
    inside, outside = denoise_image(image, runner), read_image(done.path)
    np.testing.assert_array_equal(inside.array, outside.array)
    assert inside.axes == outside.axes
    assert dict(inside.info).items() <= dict(outside.info).items()


def test_progress_counts_every_tile_of_every_plane(runner: Runner) -> None:
    seen: list[tuple[str, int, int]] = []
    image = Image(np.ones((3, 30, 30), np.float32), "TYX")
    denoise_image(image, runner, tile=24, progress=lambda *state: seen.append(state))
    assert seen == [("denoising", done, 12) for done in range(1, 13)]


def test_real_pictures_of_every_kind_go_through(data_dir: Path, box: Path, tmp_path: Path) -> None:
    for name in ("xyzc_16bit__dna_conf_wf", "xyt_calibrated_16bit__golgi_bfa_sum_projection", "xyt_8bit_polyp"):
        source = data_dir / "neubias" / f"{name}.tif"
        denoise(source, tmp_path / f"{name}.tif", model=box, provider="cpu")
        given, out = read_image(source), read_image(tmp_path / f"{name}.tif")
        assert (out.axes, out.array.shape) == (given.axes, given.array.shape)
        assert out.pixel_size_um == pytest.approx(given.pixel_size_um)
        last = (-1,) * (given.array.ndim - 2)
        np.testing.assert_allclose(out.array[last], tiny.box_truth(given.array[last]), rtol=1e-5, atol=1e-3)


STATISTICS = {"mean": 500.0, "std": 50.0, "p01": 400.0, "p50": 500.0, "p999": 700.0, "min": 350.0, "max": 800.0}


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        (500, 50, []),
        (420, 30, []),
        (720, 45, []),
        (0.5, 0.05, ["median of this picture is 0.5", "standard deviation of this picture is 0.05"]),
        (900, 50, ["median of this picture is 900"]),
        (500, 600, ["standard deviation"]),
        (500, 0, ["standard deviation of this picture is 0"]),
    ],
)
def test_pictures_far_from_the_training_data_are_named(
    tmp_path: Path, mean: float, std: float, said: list[str]
) -> None:
    record = {"quietframe.json": json.dumps({"statistics": STATISTICS}).encode()}
    path = tiny.write_box_package(tmp_path / "box.zip", record)
    # a two-valued picture has exactly this mean, median and standard deviation
    picture = np.full((20, 30), mean, np.float32)
    picture[:, :10], picture[:, 20:] = mean - std * np.sqrt(1.5), mean + std * np.sqrt(1.5)
    warnings = mismatch(Runner(read_package(path), "cpu"), [picture])
    assert len(warnings) == len(said)
    for warning, part in zip(warnings, said, strict=True):
        assert part in warning
    if said:
        np.save(tmp_path / "in.npy", picture)
        result = denoise(tmp_path / "in.npy", tmp_path / "out.tif", model=path)
        assert list(warnings) == result["warnings"]
        assert f"warning: {warnings[0]}" in result["summary"]
        assert read_image(tmp_path / "out.tif").info["quietframe.mismatch"].startswith("the ")


@pytest.mark.parametrize(
    ("offset", "dtype", "warned"),
    [(1e9, np.float64, True), (1e9, np.uint32, True), (1e4, np.float64, False), (65_000, np.uint16, False)],
)
def test_an_offset_too_large_for_float32_is_warned_of(
    box: Path, tmp_path: Path, rng: np.random.Generator, offset: float, dtype: Any, warned: bool
) -> None:
    # float32 has 24 bits: near 1e9 its steps are 64, near 1e4 they are 0.001, and integers below 2**24 are exact
    picture = np.rint(rng.normal(offset, 6, (40, 40))).astype(dtype)
    result = denoise(_picture(tmp_path / "in.npy", picture), tmp_path / "out.tif", model=box)
    assert [warning for warning in result["warnings"] if "subtract a constant offset" in warning][:1] == (
        result["warnings"][-1:] if warned else []
    )
    assert not warned or "float32" in read_image(tmp_path / "out.tif").info["quietframe.mismatch"]


@pytest.mark.parametrize("source", ["TCZYX", "ZCTYX", "CZTYX"])
@pytest.mark.parametrize(("suffix", "out"), [(".npy", ".tif"), (".npy", ".ome.tif"), (".tif", ".npy")])
def test_time_channel_and_z_stay_with_their_planes(
    box: Path, tmp_path: Path, rng: np.random.Generator, source: str, suffix: str, out: str
) -> None:
    lengths = {"T": 2, "C": 3, "Z": 4, "Y": 16, "X": 20}
    stack = rng.uniform(50, 150, [lengths[letter] for letter in source])
    stack += 1000.0 * np.arange(24).reshape([lengths[letter] for letter in source[:3]])[..., None, None]
    path = tmp_path / f"in{suffix}"
    axes = None
    if suffix == ".npy":
        np.save(path, stack)
        axes = source
    else:
        write_image(path, Image(stack, source))
    denoise(path, tmp_path / f"out{out}", model=box, axes=axes)
    stored = read_image(path, axes=axes).axes
    result = read_image(tmp_path / f"out{out}", axes=stored if out == ".npy" else None)
    brought = result.array.transpose([result.axes.index(letter) for letter in source])
    truth = np.stack([tiny.box_truth(plane) for plane in stack.reshape(24, 16, 20)]).reshape(stack.shape)
    assert np.abs(brought - truth).max() < 24_000 * 2.0**-22  # float32 rounds each of 25 terms; planes differ by 1000


def _picture(path: Path, array: Any, axes: str = "YX") -> Path:
    np.save(path, array)
    return path


def _rgb(path: Path) -> Path:
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.uint8), photometric="rgb")
    return path


def _with(value: float) -> np.ndarray:
    picture = np.ones((3, 16, 16))
    picture[1, 2:4, 5] = value
    return picture


BAD: list[tuple[Callable[[Path], Path], dict[str, Any], type[QuietframeError], str]] = [
    (lambda p: p / "none.tif", {}, InputError, r"none\.tif does not exist"),
    (lambda p: p, {}, InputError, "is a folder"),
    (lambda p: _rgb(p / "a.tif"), {}, InputError, "colour picture"),
    (lambda p: _picture(p / "a.npy", np.ones((1, 1))), {}, InputError, "1 x 1 pixels; Box needs at least 8 x 8"),
    (lambda p: _picture(p / "a.npy", np.ones((7, 300))), {}, InputError, "7 x 300 pixels; Box needs at least"),
    (lambda p: _picture(p / "a.npy", np.ones(20)), {}, InputError, "1"),
    (lambda p: _picture(p / "a.npy", np.ones((0, 9))), {}, InputError, "empty"),
    (lambda p: _picture(p / "a.npy", np.ones((9, 9), complex)), {}, InputError, "complex"),
    (lambda p: _picture(p / "a.npy", _with(np.nan)), {}, InputError, "plane 2 of 3: 2 of 256 pixels are NaN"),
    (lambda p: _picture(p / "a.npy", _with(np.inf)), {}, InputError, "2 of 256 pixels are NaN, infinite"),
    (lambda p: _picture(p / "a.npy", _with(1e39)), {}, InputError, "2 of 256 pixels are NaN, inf"),
    (lambda p: _picture(p / "a.npy", np.ones((9, 9))), {"axes": "TYX"}, InputError, "3 letters"),
    (lambda p: _picture(p / "a.npy", np.ones((9, 9))), {"provider": "gpu"}, OptionError, "unknown provider 'gpu'"),
    (lambda p: _picture(p / "a.npy", np.ones((9, 9))), {"provider": "cdua"}, OptionError, "did you mean cuda"),
    (lambda p: _picture(p / "a.npy", np.ones((9, 9))), {"threads": 0}, OptionError, "threads must be 1 to 1024; got 0"),
    (lambda p: _picture(p / "a.npy", np.ones((30, 30))), {"tile": "11"}, OptionError, "smallest tile is 12"),
    (lambda p: _picture(p / "a.npy", np.ones((30, 30))), {"tile": "big"}, OptionError, "got 'big'"),
    (lambda p: _picture(p / "a.npy", np.ones((30, 30))), {"tile": "-1"}, OptionError, "got '-1'"),
    (lambda p: _picture(p / "a.npy", np.ones((30, 30))), {"model": "none.zip"}, InputError, "does not exist"),
    (lambda p: _picture(p / "a.npy", np.ones((30, 30))), {"out": "out.xyz"}, QuietframeError, r"\.xyz"),
    (lambda p: _picture(p / "a.npy", np.ones((30, 30))), {"out": "no/out.tif"}, OutputError, "does not exist"),
]


@pytest.mark.parametrize(("make", "options", "kind", "message"), BAD)
def test_what_cannot_be_denoised_is_named_and_leaves_nothing(
    box: Path, tmp_path: Path, make: Any, options: dict[str, Any], kind: type[QuietframeError], message: str
) -> None:
    source = make(tmp_path)
    before = sorted(tmp_path.iterdir())
    options = {"model": box, **options}
    out = tmp_path / options.pop("out", "out.tif")
    with pytest.raises(kind, match=message):
        denoise(source, out, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_an_existing_output_stays_unless_overwritten(box: Path, tmp_path: Path) -> None:
    source, out = _picture(tmp_path / "a.npy", np.ones((9, 9))), tmp_path / "out.tif"
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists; choose another name or add --overwrite"):
        denoise(source, out, model=box)
    assert out.read_bytes() == b"precious"
    denoise(source, out, model=box, overwrite=True)
    assert read_image(out).array.shape == (9, 9)


def test_others_network_that_names_no_context_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny.box_model(properties=None))
    runner = Runner(read_package(tmp_path / "box.onnx"), "cpu")
    picture = np.random.default_rng(4).normal(100, 9, (40, 50)).astype(np.float32)
    np.testing.assert_allclose(denoise_plane(picture, runner), tiny.box_truth(picture), rtol=RELATIVE)
    with pytest.raises(OptionError, match="does not declare the context"):
        denoise_plane(picture, runner, tile=32)


def test_networks_of_several_channels_are_named(tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(tiny.box_model(channels=2))
    with pytest.raises(InputError, match="takes 2 channels at once"):
        denoise_plane(np.ones((9, 9)), Runner(read_package(tmp_path / "two.onnx"), "cpu"))


def test_a_network_that_returns_nan_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "nan.onnx").write_bytes(tiny.box_model(gain=float("nan")))
    with pytest.raises(InputError, match="returns NaN or infinite values for the picture"):
        denoise_plane(np.ones((9, 9)), Runner(read_package(tmp_path / "nan.onnx"), "cpu"))


def test_a_full_disk_is_named_and_leaves_nothing(box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _picture(tmp_path / "a.npy", np.ones((9, 9)))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        denoise(source, tmp_path / "out.tif", model=box)
    assert list(tmp_path.iterdir()) == [source]


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from quietframe.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of file sizes are a Unix matter")
def test_a_real_write_failure_ends_with_one_line_and_code_2(box: Path, tmp_path: Path) -> None:
    source = _picture(tmp_path / "a.npy", np.ones((40, 64, 64), np.float32))
    command = [sys.executable, "-c", LIMITED, "denoise", source, tmp_path / "out.tif", "--model", box]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "out.tif was not written" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [source]


def test_the_command_line_denoises_and_says_where_it_ran(
    box: Path, tmp_path: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    picture = np.random.default_rng(5).poisson(50, (2, 31, 33)).astype(np.uint16)
    write_image(tmp_path / "in.tif", Image(picture, "TYX"), dtype="uint16")
    done = quietframe("denoise", tmp_path / "in.tif", tmp_path / "out.tif", "--model", box, "--tile", 24, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert result["shape"] == [2, 31, 33]
    assert result["tile"] == 24
    assert result["provider"] in {"cpu", "cuda"}
    np.testing.assert_allclose(read_image(tmp_path / "out.tif").array[1], tiny.box_truth(picture[1]), rtol=RELATIVE)


def test_cuda_that_is_not_there_is_exit_code_2_with_the_reason(
    box: Path, tmp_path: Path, runner: Runner, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if Runner(runner.package, "auto").provider == "cuda":
        pytest.skip("this machine has CUDA")
    source = _picture(tmp_path / "a.npy", np.ones((9, 9)))
    done = quietframe("denoise", source, tmp_path / "out.tif", "--model", box, "--provider", "cuda")
    assert done.returncode == 2
    assert done.stderr.startswith("quietframe: provider cuda cannot be used: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.tif").exists()


LOOP = """
import itertools, sys
import numpy as np
from pathlib import Path
from quietframe.inference.large import denoise_file
from quietframe.inference.package import read_package
from quietframe.inference.runner import Runner
source, folder, model = map(Path, sys.argv[1:])
runner = Runner(read_package(model), "cpu", 1)
print("ready", flush=True)
for number in itertools.count():
    denoise_file(source, folder / f"{number % 3}.tif", runner, overwrite=True)
"""


@pytest.mark.parametrize("delay_ms", [3, 41, 130])
def test_kill_9_leaves_no_half_file_under_a_final_name(box: Path, tmp_path: Path, delay_ms: int) -> None:
    picture = np.arange(12 * 128 * 128, dtype=np.float32).reshape(12, 128, 128)
    source, folder = _picture(tmp_path / "a.npy", picture), tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", textwrap.dedent(LOOP), str(source), str(folder), str(box)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(1000):  # until there is a result to spoil
            if any(not path.name.startswith(".") for path in folder.iterdir()):
                break
            time.sleep(0.01)
        time.sleep(delay_ms / 1000)
        process.kill()
    assert any(not path.name.startswith(".") for path in folder.iterdir())
    for path in folder.iterdir():
        if path.name.startswith("."):  # what a kill may leave: no reader takes it for a result
            assert ".partial-" in path.name
            continue
        with open_image(path) as reader:
            assert reader.shape == (12, 128, 128)
            np.testing.assert_allclose(reader.plane(11), tiny.box_truth(picture[11]), rtol=RELATIVE)


MEMORY = """
import sys
from pathlib import Path
from quietframe.verbs.denoise import denoise
denoise(Path(sys.argv[1]), Path(sys.argv[2]), model=Path(sys.argv[3]), threads=1, provider="cpu")
# Not ru_maxrss: that one starts with the memory of the process which started this one.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
def test_memory_does_not_grow_with_the_number_of_planes(box: Path, tmp_path: Path) -> None:
    peaks = []
    for planes in (2, 90):
        source = tmp_path / f"{planes}.tif"
        noise = np.random.default_rng(6).integers(0, 200, (512, 512), dtype=np.uint8)
        with tifffile.TiffWriter(source) as writer:
            for _ in range(planes):
                writer.write(noise, contiguous=True)
        command = [sys.executable, "-c", MEMORY, str(source), str(tmp_path / f"out{planes}.tif"), str(box)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
        peaks.append(int(done.stdout) / 1024)
    # the output alone is 94 MB; a plane is 1 MB
    assert peaks[1] - peaks[0] < 30
