"""`quietframe filter`: files of any axes and size keep what they are; a mistake is one line; nothing half-written."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from quietframe import cli
from quietframe.camera import Camera
from quietframe.errors import InputError, MissingExtraError, OptionError, OutputError
from quietframe.filtering import blocks, pictures
from quietframe.filtering.catalogue import all_facts, as_table
from quietframe.filtering.files import Options, filter_file, filter_image
from quietframe.filtering.run import make_filter
from quietframe.filters import filter_names, load_filter
from quietframe.images import Image, open_image, read_image, write_image

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCKWISE = [
    (name, dims)
    for name in filter_names()
    for dims in ((2, 3) if hasattr(load_filter(name).Settings(), "dimensions") else (2,))
    if make_filter(name, {"dimensions": 3} if dims == 3 else {}).halo is not None
]
"""Filters that see a neighbourhood, as (name, dimensions)."""


def run(*words: object) -> int:
    return cli.run(["filter", *map(str, words)])


@pytest.fixture
def noisy(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A picture of 40 x 50 pixels, uint16."""
    image = Image(rng.poisson(100, (40, 50)).astype(np.uint16), "YX", {"Y": 0.1, "X": 0.1}, None, {"sample": "A"})
    return write_image(tmp_path / "noisy.tif", image, dtype="uint16")


@pytest.fixture
def hyperstack(rng: np.random.Generator) -> Image:
    """Two times, three slices, two channels; each plane has a level of its own."""
    level = np.arange(12.0).reshape(2, 3, 2, 1, 1) * 100
    pixels = (level + rng.poisson(40, (2, 3, 2, 24, 20))).astype(np.float32)
    labels = tuple(f"plane {number}" for number in range(12))
    return Image(pixels, "TZCYX", {"Z": 0.5, "Y": 0.1, "X": 0.1}, 2.0, {"sample": "A"}, labels)


def test_a_picture_keeps_its_type_calibration_and_info(noisy: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out.tif"
    assert run("median", noisy, out, "--radius", 1, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    image, before = read_image(out), read_image(noisy)
    # Radius 1 is the square of 9 pixels, edge pixels repeated.
    np.testing.assert_array_equal(image.array, ndimage.median_filter(before.array, 3, mode="nearest"))
    assert image.array.dtype == np.uint16
    assert image.pixel_size_um == pytest.approx(before.pixel_size_um)
    assert image.info["sample"] == "A"
    assert image.info["quietframe.command"] == "filter median"
    assert image.info["quietframe.settings"] == "radius=1.0"
    assert result["output"] == str(out)
    assert (result["filter"], result["settings"], result["non_finite"], result["blocks"]) == (
        "median", {"radius": 1.0}, 0, 1,
    )  # fmt: skip


def test_dtype_converts_the_input_first(noisy: Path, tmp_path: Path) -> None:
    assert run("mean", noisy, tmp_path / "a.tif", "--radius", 1, "--dtype", "float32") == 0
    expected = ndimage.uniform_filter(read_image(noisy).array.astype(np.float64), 3, mode="nearest")
    image = read_image(tmp_path / "a.tif")
    assert image.array.dtype == np.float32
    np.testing.assert_allclose(image.array, expected, rtol=1e-6)


def test_a_second_filter_keeps_a_line_about_the_first(noisy: Path, tmp_path: Path) -> None:
    assert run("median", noisy, tmp_path / "a.tif") == 0
    assert run("gaussian-blur", tmp_path / "a.tif", tmp_path / "b.tif", "--sigma", 1) == 0
    assert run("unsharp-mask", tmp_path / "b.tif", tmp_path / "c.tif") == 0
    info = read_image(tmp_path / "c.tif").info
    assert info["quietframe.command"] == "filter unsharp-mask"
    assert info["quietframe.settings"] == "radius=1.0 mask=0.6"
    assert info["quietframe.previous"] == "filter median radius=2.0; filter gaussian-blur sigma=1.0"


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".npy", ".ome.zarr"])
def test_hyperstacks_keep_everything_and_planes_are_not_mixed(suffix: str, hyperstack: Image, tmp_path: Path) -> None:
    if suffix == ".ome.zarr":
        pytest.importorskip("zarr", reason="the extra scale is not installed")
    source = write_image(tmp_path / "source.tif", hyperstack)
    assert run("gaussian-blur", source, tmp_path / f"out{suffix}", "--sigma", 1.5) == 0
    image = read_image(tmp_path / f"out{suffix}", axes="TZCYX" if suffix == ".npy" else None)
    array = image.array.transpose(0, 2, 1, 3, 4) if image.axes == "TCZYX" else image.array
    for place in np.ndindex(2, 3, 2):
        expected = ndimage.gaussian_filter(hyperstack.array[place].astype(float), 1.5, mode="nearest", truncate=6)
        # ImageJ's kernel ends earlier (research: 1.5e-6 of the range at these widths); planes are 100 apart.
        np.testing.assert_allclose(array[place], expected, atol=0.05)
    if suffix == ".npy":
        return
    assert sorted(image.labels) == sorted(hyperstack.labels) or suffix == ".ome.tif"
    assert image.pixel_size_um == pytest.approx(hyperstack.pixel_size_um)
    assert image.frame_interval_s == pytest.approx(2.0)
    assert image.info["quietframe.command"] == "filter gaussian-blur"
    assert image.info["sample"] == "A"


def test_volumes_are_those_of_one_time_and_channel(hyperstack: Image) -> None:
    result = filter_image(hyperstack, "gaussian_blur_3d", {"x": 1.0, "y": 1.0, "z": 1.0}).array
    module = load_filter("gaussian_blur_3d")
    for time, channel in np.ndindex(2, 2):
        expected = module.apply(hyperstack.array[time, :, channel], module.Settings(1.0, 1.0, 1.0))
        np.testing.assert_array_equal(result[time, :, channel], expected)


def test_a_series_runs_along_time_and_another_axis_only_when_said(hyperstack: Image) -> None:
    array = hyperstack.array
    along_time = filter_image(hyperstack, "temporal_mean", {"window": 0}).array
    np.testing.assert_allclose(along_time, np.broadcast_to(array.mean(0, keepdims=True), array.shape), rtol=1e-6)
    along_z = filter_image(hyperstack, "temporal_mean", {"window": 0}, options=Options(along="Z")).array
    np.testing.assert_allclose(along_z, np.broadcast_to(array.mean(1, keepdims=True), array.shape), rtol=1e-6)
    along_c = filter_image(hyperstack, "temporal_mean", {"window": 0}, options=Options(along="C"))
    np.testing.assert_allclose(along_c.array, np.broadcast_to(array.mean(2, keepdims=True), array.shape), rtol=1e-6)
    assert along_c.info["quietframe.along"] == "C"


@pytest.mark.parametrize(
    ("axes", "name", "settings", "along", "words"),
    [
        (
            "TYX",
            "mean_3d",
            {},
            None,
            r"mean-3d filters along the axis Z, but .* axes TYX, .*: --along T takes that axis",
        ),
        ("ZYX", "temporal_mean", {}, None, r"along the axis T, but the picture has axes ZYX, .*: --along Z takes"),
        ("TCYX", "mean_3d", {}, None, r"--along T or --along C takes that axis instead"),
        ("YX", "mean_3d", {}, None, r"axes YX, shape \(4, 4\); take a filter of planes"),
        ("TYX", "total_variation", {"dimensions": 3}, None, r"along the axis Z, but the picture has axes TYX"),
        ("TYX", "mean_3d", {}, "C", r"along the axis C, but the picture has axes TYX"),
        ("TYX", "mean_3d", {}, "Q", r"--along must be T, Z or C; got 'Q'"),
        ("TYX", "median", {}, "T", r"median filters every plane by itself, so --along T means nothing"),
        ("ZYX", "total_variation", {}, "Z", r"--along Z means nothing; --dimensions 3 filters volumes"),
    ],
)
def test_an_axis_that_is_not_there_is_an_error_with_what_to_do(
    axes: str, name: str, settings: dict[str, Any], along: str | None, words: str
) -> None:
    image = Image(np.ones((4,) * len(axes), np.float32), axes)
    with pytest.raises(OptionError, match=words):
        filter_image(image, name, settings, options=Options(along=along))


BAD = [
    (["median", "IN", "OUT", "--radius", "0"], "radius must be .*; got 0"),
    (["median", "IN", "OUT", "--radius", "-2"], "radius must be .*; got -2"),
    (["median", "IN", "OUT", "--radius", "nan"], "radius must be .*; got nan"),
    (["median", "IN", "OUT", "--radius", "inf"], "radius must be .*; got inf"),
    (["median", "IN", "OUT", "--radius", "wide"], "Invalid value .*wide"),
    (["gaussian-blur", "IN", "OUT", "--sigma", "-1"], "sigma must be .*; got -1"),
    (["wiener", "IN", "OUT", "--noise-sigma", "-1"], "noise_sigma must be .*; got -1"),
    (["medain", "IN", "OUT"], 'Unknown command "medain". Did you mean "median"'),
    (["median", "IN", "OUT", "--radios", "2"], "Unknown option.*--radios.*Did you mean --radius"),
    (["median", "IN"], "requires an argument"),
    (["median", "missing.tif", "OUT"], "missing.tif does not exist"),
    (["median", "IN", "IN"], "noisy.tif exists; choose another name or add --overwrite"),
    (["median", "IN", "out.jpg"], "unknown suffix '.jpg'; allowed: .tif"),
    (["median", "IN", "OUT", "--stabilise", "image"], "median does not assume noise of one sigma"),
    (["wiener", "IN", "OUT", "--stabilise", "camera"], "give --gain-e-per-adu"),
    (["wiener", "IN", "OUT", "--gain-e-per-adu", "2"], "options of the camera are for --stabilise camera"),
    (["median", "IN", "OUT", "--along", "T"], "every plane by itself"),
    (["median", "IN", "OUT", "--along", "Q"], "Invalid value"),
    (["median", "IN", "OUT", "--block", "4"], "--block must be auto, 0 .the whole. or at least 16 px; got '4'"),
    (["median", "IN", "OUT", "--block", "big"], "--block must be auto"),
    (["median", "IN", "OUT", "--axes", "TYX"], "3 letters"),
    (["median", "RGB", "OUT"], "is a colour picture"),
    (["median", "RGBA", "OUT"], "is a colour picture"),
    (["median", "EMPTY", "OUT"], "none of the 12 pixels is finite"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_a_mistake_is_one_line_and_leaves_no_file(
    words: list[str], message: str, noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    colours = np.zeros((4, 20, 20), np.uint8)
    write_image("rgb.tif", Image(colours[:3], "SYX"), dtype="uint8")
    write_image("rgba.png", Image(colours, "SYX"), dtype="uint8")
    write_image("empty.tif", Image(np.full((3, 4), np.nan, np.float32), "YX"))
    files = {"IN": "noisy.tif", "OUT": "out.tif", "RGB": "rgb.tif", "RGBA": "rgba.png", "EMPTY": "empty.tif"}
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(*(files.get(word, word) for word in words)) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (5, 7)])
@pytest.mark.parametrize("name", ["median", "wiener", "total-variation", "subtract-background"])
def test_small_pictures_are_filtered(shape: tuple[int, int], name: str, tmp_path: Path) -> None:
    pixels = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    source = write_image(tmp_path / "in.npy", Image(pixels, "YX"))
    assert run(name, source, tmp_path / "out.tif") == 0
    with open_image(tmp_path / "out.tif") as reader:
        assert reader.shape == shape
        assert np.isfinite(reader.plane(0)).all()


def test_a_radius_larger_than_the_picture_takes_all_of_it(noisy: Path, tmp_path: Path) -> None:
    assert run("maximum", noisy, tmp_path / "out.tif", "--radius", 90) == 0
    assert np.unique(read_image(tmp_path / "out.tif").array).tolist() == [read_image(noisy).array.max()]


@pytest.mark.parametrize("dtype", ["int32", "float64", "bool", "uint32", "int16"])
def test_other_types_are_filtered_as_they_are_said_to_be(dtype: str, tmp_path: Path, capsys: Any) -> None:
    pixels = (np.indices((12, 13)).sum(0) % 5).astype(dtype)
    np.save(tmp_path / "in.npy", pixels)
    assert run("median", tmp_path / "in.npy", tmp_path / "out.tif", "--radius", 1, "--json") == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    result = read_image(tmp_path / "out.tif").array
    if dtype == "bool":  # files hold truth values as 0 and 1
        np.testing.assert_array_equal(result, ndimage.median_filter(pixels.astype(np.uint8), 3, mode="nearest"))
        return
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, ndimage.median_filter(pixels.astype(float), 3, mode="nearest"))
    assert f"{dtype} pixels are filtered as float32" in notes


def test_missing_pixels_are_counted_said_and_stay_local(tmp_path: Path, capsys: Any) -> None:
    stack = np.full((3, 20, 20), 5.0, np.float32)
    stack[1, 10, 10], stack[2] = np.inf, np.nan
    source = write_image(tmp_path / "in.tif", Image(stack, "TYX"))
    assert run("gaussian-blur", source, tmp_path / "out.tif", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    image = read_image(tmp_path / "out.tif")
    assert result["non_finite"] == 401
    assert image.info["quietframe.notes"].startswith("401 of 1200 pixels are NaN or infinite")
    np.testing.assert_array_equal(np.isnan(image.array), ~np.isfinite(stack))
    assert np.allclose(image.array[np.isfinite(stack)], 5.0)


def test_constant_pictures_and_noise_of_zero_change_nothing(tmp_path: Path) -> None:
    source = write_image(tmp_path / "in.tif", Image(np.full((20, 20), 9.0, np.float32), "YX"))
    for name in ("wiener", "wavelet", "non-local-means", "lee-sigma"):
        for words in ([], ["--noise-sigma", "0"]):
            assert run(name, source, tmp_path / "out.tif", "--overwrite", *words) == 0
            np.testing.assert_allclose(read_image(tmp_path / "out.tif").array, 9.0, rtol=1e-6)


def test_stabilised_photon_noise_is_filtered_without_bias(tmp_path: Path, rng: np.random.Generator) -> None:
    pixels = (rng.poisson(np.repeat([[2.0], [40.0]], 64, 0) * np.ones((1, 128))) * 3.0).astype(np.float32)
    image = Image(pixels, "YX", info={"ndr.gain_e_per_adu": repr(1 / 3), "ndr.read_noise_e": "0"})
    options = Options(stabilise="camera", camera=Camera(black_adu=0.0))
    result = filter_image(image, "wiener", {"size": 9}, options=options)
    assert "from the camera" in result.info["quietframe.stabilise"]
    for rows, photons in ((slice(8, 56), 2.0), (slice(72, 120), 40.0)):
        # Mean of 48 x 128 pixels: standard error sqrt(photons * 9 / 6144); 1 % more for what the filter keeps.
        allowed = 4 * np.sqrt(photons * 9 / 6144) + 0.03 * photons
        assert abs(result.array[rows].mean() - 3 * photons) < allowed


@pytest.mark.parametrize(("name", "dims"), BLOCKWISE, ids=[f"{name}-{dims}" for name, dims in BLOCKWISE])
def test_blocks_give_the_pixels_of_the_whole(name: str, dims: int, rng: np.random.Generator) -> None:
    pytest.importorskip("dask", reason="the extra scale is not installed")
    settings = {"dimensions": 3} if dims == 3 else {}
    job = make_filter(name, settings)
    reach = max(job.halo or ())
    shape = (max(66, 2 * reach + 9), 71) if len(job.axes) == 2 else (7, 66, 71)
    y, x = np.indices(shape[-2:])
    clean = 60 + 50 * np.sin(x / 9) * np.cos(y / 7)
    image = Image(rng.poisson(np.broadcast_to(clean, shape)).astype(np.float32), job.axes)
    whole = filter_image(image, name, settings, options=Options(block=0)).array
    parts = filter_image(image, name, settings, options=Options(block=24)).array
    assert blocks.plan_blocks(shape, job, 24) is not None
    if name == "bm3d":
        # Rounded otherwise, a few blocks find other neighbours: that moves pixels by a small part of the noise (7.7).
        assert np.std(parts - whole) < 0.005 * 7.7
        assert np.abs(parts - whole).max() < 0.1 * 7.7
        return
    # Windows add the same numbers in the same order; the others by running sums that begin elsewhere.
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-5 * np.ptp(image.array))


def test_blocks_of_bm3d_take_correlated_noise_for_as_strong_as_the_whole_does(rng: np.random.Generator) -> None:
    pytest.importorskip("dask", reason="the extra scale is not installed")
    y, x = np.indices((288, 288))
    grain = ndimage.gaussian_filter(rng.normal(size=y.shape), 1.0)
    clean = 100 + 40 * np.sin(x / 25) * np.cos(y / 30)
    image = Image((clean + 10 / grain.std() * grain).astype(np.float32), "YX")
    error = {
        block: np.std(filter_image(image, "bm3d", options=Options(block=block)).array - clean) for block in (0, 144)
    }
    assert error[0] < 5  # half of the noise; taken for white it is thought a third as strong, and stays
    assert error[144] < 1.1 * error[0]


def test_ome_zarr_larger_than_a_block_is_filtered_block_by_block(
    tmp_path: Path, hyperstack: Image, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("dask", reason="the extra scale is not installed")
    zarr = pytest.importorskip("zarr", reason="the extra scale is not installed")
    monkeypatch.setattr("quietframe.images.zarr_writing.CHUNK_PX", 8)
    source = write_image(tmp_path / "in.ome.zarr", hyperstack)
    expected = filter_image(hyperstack, "gaussian_blur", {"sigma": 0.7}).array.transpose(0, 2, 1, 3, 4)
    # No plane is ever read as a whole.
    monkeypatch.setattr("quietframe.images.reading.ImageReader.plane", None)
    assert run("gaussian-blur", source, tmp_path / "out.ome.zarr", "--sigma", 0.7, "--block", 16, "--json") == 0
    monkeypatch.undo()
    result = json.loads(capsys.readouterr().out)
    image = read_image(tmp_path / "out.ome.zarr")
    assert result["blocks"] == 4
    assert zarr.open_group(str(tmp_path / "out.ome.zarr"), mode="r")["0"].chunks == (1, 1, 1, 12, 10)
    np.testing.assert_allclose(image.array, expected, atol=1e-3)
    assert image.pixel_size_um == pytest.approx(hyperstack.pixel_size_um)
    assert sorted(image.labels) == sorted(hyperstack.labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.ome.zarr", "out.ome.zarr"]


@pytest.mark.parametrize("out", ["out.tif", "out.ome.zarr"])
def test_volumes_in_blocks_are_those_of_the_whole(tmp_path: Path, hyperstack: Image, out: str) -> None:
    pytest.importorskip("dask", reason="the extra scale is not installed")
    pytest.importorskip("zarr", reason="the extra scale is not installed")
    source = write_image(tmp_path / "in.tif", hyperstack)
    settings = {"x": 0.7, "y": 0.7, "z": 0.7}
    filter_file(source, tmp_path / out, "gaussian_blur_3d", settings, options=Options(block=16))
    array = read_image(tmp_path / out).array
    array = array.transpose(0, 2, 1, 3, 4) if out.endswith("zarr") else array
    expected = filter_image(hyperstack, "gaussian_blur_3d", settings).array
    np.testing.assert_allclose(array, expected, atol=1e-3)


def test_an_estimated_noise_is_the_same_for_all_blocks(rng: np.random.Generator) -> None:
    pytest.importorskip("dask", reason="the extra scale is not installed")
    # Half of the picture is without noise: blocks that estimated by themselves would differ.
    pixels = np.full((64, 128), 50.0, np.float32)
    pixels[:, 64:] += rng.normal(0, 5, (64, 64)).astype(np.float32)
    whole = filter_image(Image(pixels, "YX"), "wiener", options=Options(block=0)).array
    parts = filter_image(Image(pixels, "YX"), "wiener", options=Options(block=32)).array
    np.testing.assert_allclose(parts, whole, atol=1e-4)


def test_missing_pixels_in_blocks_are_those_of_the_whole(rng: np.random.Generator) -> None:
    pytest.importorskip("dask", reason="the extra scale is not installed")
    pixels = rng.normal(50, 5, (64, 80)).astype(np.float32)
    pixels[:40, :40] = np.nan  # whole blocks of them
    pixels[50, 31] = np.inf
    image = Image(pixels, "YX")
    for name in ("box", "gaussian_blur"):
        whole, parts = (filter_image(image, name, options=Options(block=size)).array for size in (0, 20))
        np.testing.assert_array_equal(np.isnan(parts), np.isnan(whole))
    np.testing.assert_array_equal(np.isnan(parts), ~np.isfinite(pixels))


def test_a_filter_of_the_whole_picture_says_when_memory_is_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_filter("total_variation")
    assert blocks.plan_blocks((300, 200), job, 64) is None
    monkeypatch.setattr(blocks, "memory_bytes", lambda: 2.0**30)
    with pytest.raises(OptionError, match="looks at the whole picture at once: 90000 x 90000 px need about 302 GiB"):
        blocks.plan_blocks((90000, 90000), job, "auto")


@pytest.mark.parametrize(
    ("length", "side", "reach"), [(100, 30, 3), (100, 30, 40), (7, 30, 3), (1, 16, 0), (65, 16, 16), (1000, 16, 200)]
)
@pytest.mark.parametrize("step", [1, 3])
def test_parts_cover_the_length_and_none_is_below_the_reach(length: int, side: int, reach: int, step: int) -> None:
    parts = blocks._cut(length, side, reach, step)
    assert all(size % step == 0 for size in parts[:-1])
    assert sum(parts) == length
    assert len(parts) == 1 or min(parts) >= max(reach, 1)
    assert len(set(parts[:-1])) <= 1
    assert parts[-1] <= parts[0]


def test_without_dask_blocks_name_the_extra(monkeypatch: pytest.MonkeyPatch, noisy: Path, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingExtraError, match=r"filtering in blocks needs dask.*quietframe\[scale\]"):
        filter_file(noisy, tmp_path / "out.tif", "median", options=Options(block=16))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.tif"]


def test_large_planes_are_sampled_for_their_noise(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(pictures, "is_large", lambda shape, dtype: True)
    image = Image(rng.normal(50, 5, (90, 120)).astype(np.float32), "YX")
    picture = pictures.picture_of(image, image.meta, np.zeros((), np.int64), None)
    squares = pictures.sampled(picture, np.zeros(1, np.int64), side=20, most=9)
    assert [square.shape for square in squares] == [(20, 20)] * 9
    np.testing.assert_array_equal(squares[-1], image.array[70:, 100:])


@pytest.mark.parametrize("out", ["out.tif", "out.ome.zarr"])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, out: str) -> None:
    pytest.importorskip("zarr", reason="the extra scale is not installed")
    write_image(tmp_path / "in.tif", Image(np.ones((5, 30, 30), np.float32), "TYX"))
    script = (
        "import time\nfrom quietframe import cli\nimport quietframe.filters.median as median\n"
        "whole, calls = median.apply, []\n"
        "def slow(image, settings):\n    calls.append(1)\n    if len(calls) == 3:\n"
        "        print('started', flush=True)\n        time.sleep(60)\n    return whole(image, settings)\n"
        "median.apply = slow\n"
        f"cli.main(['filter', 'median', {str(tmp_path / 'in.tif')!r}, {str(tmp_path / out)!r}])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.stdout.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_a_folder_that_is_no_zarr_is_never_replaced(noisy: Path, tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="the extra scale is not installed")
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="is a folder of something else, which is not replaced"):
        filter_file(noisy, tmp_path / "mine.zarr", "median", overwrite=True)
    assert (tmp_path / "mine.zarr" / "thesis.txt").read_text() == "mine"
    filter_file(noisy, tmp_path / "a.ome.zarr", "median")
    with pytest.raises(OutputError, match="exists; choose another name or add --overwrite"):
        filter_file(noisy, tmp_path / "a.ome.zarr", "median")
    filter_file(noisy, tmp_path / "a.ome.zarr", "gaussian_blur", overwrite=True)
    assert read_image(tmp_path / "a.ome.zarr").info["quietframe.command"] == "filter gaussian-blur"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ome.zarr", "mine.zarr", "noisy.tif"]


def test_the_list_has_every_filter_with_paper_and_use(capsys: Any) -> None:
    assert run("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["filters"]
    assert [entry["name"] for entry in listed] == [name.replace("_", "-") for name in filter_names()]
    for entry in listed:
        assert entry["papers"]
        assert entry["use"].startswith("Use it")
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert 'ImageJ: run("Median...", "radius=2 stack")' in shown
    assert all(f"{entry['name']} ({entry['axes']})" in shown for entry in listed)


def test_the_page_has_the_table_of_all_filters_and_every_command_of_it_exists() -> None:
    page = (DOCS / "filters.md").read_text(encoding="utf-8")
    assert page.partition("<!-- filters -->\n")[2].partition("<!-- end of filters -->")[0] == as_table(all_facts())
    known = {name.replace("_", "-") for name in filter_names()} | {"list", "tune"}
    lines = [line.split() for line in page.splitlines() if line.startswith("    quietframe filter ")]
    assert len(lines) > 5
    for _, _, name, *words in lines:
        assert name in known
        shown = " ".join(field for field in vars(load_filter(name).Settings())) if name not in {"list", "tune"} else ""
        run_options = {"along", "dtype", "axes", "stabilise", "block", "gain_e_per_adu", "read_noise_e", "black_adu"}
        for word in words:
            if word.startswith("--"):
                assert word[2:].replace("-", "_") in run_options | set(shown.split()), word
    named = set(re.findall(r"`([a-z0-9-]+)`", page.partition("## All filters")[0])) - {"cells3d"}
    assert named <= known


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_python_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "filters.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    write_image(tmp_path / "noisy.tif", Image(np.ones((9, 9), np.float32), "YX"))
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec(compile(code, "filters.md", "exec"), made)
    np.testing.assert_allclose(made["pixels"], 1.0)


def test_help_and_list_load_nothing_heavy() -> None:
    heavy = ("numba", "numpy", "scipy", "skimage", "pywt", "dask")
    for words in (["filter", "--help"], ["filter", "list"], ["filter", "median", "--help"]):
        code = (
            "import sys\nfrom quietframe import cli\n"
            f"cli.run({words!r})\nprint('LOADED', [name for name in {heavy!r} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        assert ast.literal_eval(done.stdout.rpartition("LOADED ")[2]) == [], words


def test_progress_counts_planes_and_blocks(hyperstack: Image) -> None:
    seen: list[tuple[str, int, int]] = []
    filter_image(hyperstack, "median", progress=lambda *state: seen.append(state))
    assert seen == [("filtering", number, 12) for number in range(1, 13)]


def test_colour_pictures_are_refused_and_their_samples_taken_as_channels_when_said(
    tmp_path: Path, capfd: Any, quietframe: Callable[..., Any]
) -> None:
    write_image(tmp_path / "rgb.png", Image(np.full((3, 9, 9), 7, np.uint8), "SYX"), dtype="uint8")
    with pytest.raises(InputError, match="--axes CYX to take its samples as channels"):
        filter_file(tmp_path / "rgb.png", tmp_path / "out.tif", "median")
    assert run("median", tmp_path / "rgb.png", tmp_path / "out.tif", "--axes", "CYX") == 0
    assert read_image(tmp_path / "out.tif").axes == "CYX"
