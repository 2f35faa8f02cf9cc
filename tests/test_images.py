"""Reading and writing images: real files of every kind, round trips, streaming, conversion, bad input."""

from __future__ import annotations

import doctest
import errno
import io
import os
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quietframe import axes as axes_room
from quietframe import images, rois
from quietframe.errors import InputError, OptionError, OutputError
from quietframe.images import (
    Image,
    ImageMeta,
    open_image,
    read_image,
    require_gray,
    tiff_metadata,
    write_image,
    write_planes,
    writing,
)
from quietframe.images.tiff_metadata import format_info, parse_info

# Shapes, types and axes as the data's own README gives them; pixel sizes and intervals as ImageJ shows them.
FILES = [
    ("tiff/ome/2010-06-18x24y5z1t2c8b-text.ome.tiff", "ZCYX", (5, 2, 24, 18), "uint8", None, None),
    ("tiff/ome/4D-series.ome.tif", "TZYX", (7, 5, 167, 439), "int8", None, None),
    ("tiff/ome/multi-channel-time-series.ome.tif", "TCYX", (7, 3, 167, 439), "int8", None, None),
    ("tiff/ome/z-series.ome.tif", "ZYX", (5, 167, 439), "int8", None, None),
    ("tiff/ome/multifile_companion/multifile-Z3.ome.tiff", "ZYX", (5, 24, 18), "uint8", None, None),
    ("tiff/ome/multifile_companion/multifile.companion.ome", "ZYX", (5, 24, 18), "uint8", None, None),
    ("tiff/shapes/shapes_hyper.tif", "SYX", (7, 72, 128), "float32", None, None),
    ("tiff/shapes/shapes_lzw_tiled.tif", "SYX", (3, 72, 128), "uint8", None, None),
    ("tiff/shapes/shapes_lzw_12bps.tif", "SYX", (3, 72, 128), "uint16", None, None),
    ("tiff/shapes/shapes_multi_size.tif", "SYX", (3, 72, 128), "uint8", None, None),
    ("tiff/shapes/shapes_deflate.tif", "SYX", (3, 72, 128), "uint8", None, None),
    ("tiff/imagej/gray8-3x2-stack.tif", "ZYX", (2, 2, 3), "uint8", 352.858, None),
    ("tiff/imagej/gray16signedA.tif", "YX", (1, 5), "int16", None, None),
    ("tiff/imagej/gray16.zip", "YX", (2, 3), "uint16", None, None),
    ("tiff/imagej/gray24-3x2-sub1.tif", "SYX", (3, 2, 3), "uint8", None, None),
    ("tiff/imagej/gray32float-3x2-sub1.tif", "YX", (2, 3), "float32", None, None),
    ("tiff/imagej/head8bit.tif", "YX", (228, 256), "uint8", None, None),
    ("neubias/xy_calibrated_16bit__cells_eres_noisy.tif", "YX", (512, 512), "uint16", 0.229674, None),
    ("neubias/xyc_16bit__membranes_nuclei_hot_pixel.tif", "CYX", (2, 354, 475), "uint16", None, None),
    ("neubias/xyt_calibrated_16bit__golgi_bfa_sum_projection.tif", "TYX", (30, 137, 147), "float32", 0.351435, 59.86),
    ("neubias/xyz_calibrated_16bit__golgi_bfa.tif", "ZYX", (25, 137, 147), "uint16", 0.351435, 59.86),
    ("neubias/xyzc_16bit__dna_conf_wf.tif", "ZCYX", (45, 2, 130, 133), "uint16", 0.511878, None),
    ("neubias/xy_16bit__rat_hippocampal_neuron.tif", "YX", (512, 512), "uint16", 0.16, None),
    ("neubias/xyc_16bit__cell_dna_mts_actin.tif", "CYX", (3, 350, 350), "uint16", 0.132492, None),
    ("neubias/xyt_8bit_polyp.tif", "TYX", (3, 313, 313), "uint8", None, None),
    ("misc/BBBC022_IXMtest_A02_s9_crop.tif", "CYX", (3, 395, 695), "uint16", None, None),
    ("misc/cells3d_nuclei.tif", "TYX", (60, 256, 256), "uint16", None, None),
    ("emccd/convallaria_emccd_top.tif", "YX", (512, 1024), "uint16", None, None),
    ("emccd/field_diaphragm_emccd.tif", "YX", (1024, 1024), "uint16", None, None),
    ("lysosome/lysosome_01.tif", "TYX", (50, 128, 128), "uint16", 0.129201, None),
    ("repeats/stuck_particles.tif", "ZYX", (5, 512, 512), "uint16", None, None),
    ("ndr_real/wfc3_ramp_electrons.tif", "TYX", (4, 266, 266), "float32", None, None),
    ("ndr_simulated/nuclei_lowflux_ramp1.tif", "TYX", (16, 256, 256), "uint16", None, None),
    ("bioimageio/n2v-sem-demo/test_input.tif", "YX", (600, 600), "float32", None, None),
    ("fmd/TwoPhoton_MICE_raw1.png", "YX", (512, 512), "uint8", None, None),
]


@pytest.mark.parametrize("name, axes, shape, dtype, pixel, interval", FILES, ids=[row[0] for row in FILES])
def test_a_real_file_has_its_axes_type_and_calibration(
    name: str, axes: str, shape: tuple[int, ...], dtype: str, pixel: float | None, interval: float | None,
    data_dir: Path,
) -> None:  # fmt: skip
    image = read_image(data_dir / name)
    assert (image.axes, image.array.shape, image.array.dtype.name) == (axes, shape, dtype)
    assert image.array.dtype.isnative
    assert image.pixel_size_um.get("X") == (None if pixel is None else pytest.approx(pixel, rel=1e-5))
    assert image.frame_interval_s == interval


def sequence_truth(name: str) -> NDArray[Any] | None:
    """The pictures of the sequence files are counters: 0, 1, 2 ... in storage order, wrapped to their bits."""
    parts = name.split("-")
    samples, kind = int(parts[1][0]), parts[2]
    counter = np.arange(256 * samples)
    if "planar" in parts or "multipage" in parts:
        step = 100 if "planar" in parts else 50
        counter = (np.arange(256) + step * np.arange(3)[:, None]).ravel()
    values = counter.reshape(-1, 16, 16) if "planar" in parts or "multipage" in parts else (
        np.moveaxis(counter.reshape(16, 16, samples), -1, 0)
    )  # fmt: skip
    if kind.endswith("f"):
        return values / values.max()
    if kind.startswith("i"):
        return values % 256 - 128
    bits = int(kind.rstrip("b"))
    values = values % 2**bits
    return 2**bits - 1 - values if "miniswhite" in parts or "fax3" in parts else values


def test_every_storage_variant_holds_the_counter_it_was_made_of(data_dir: Path) -> None:
    paths = sorted((data_dir / "tiff" / "seq").glob("*.tiff"))
    assert len(paths) == 77
    for path in paths:
        image = read_image(path)
        truth = sequence_truth(path.stem)
        assert truth is not None
        found = image.array.reshape(truth.shape)
        # Real numbers are the counter over its largest value, rounded once.
        assert np.allclose(found, truth, rtol=1e-6, atol=0), path.stem
        assert image.axes == {1: "YX", 3: "SYX", 4: "SYX"}[len(truth)] or "multipage" in path.stem


def test_pixels_are_those_that_pillow_reads(data_dir: Path) -> None:
    from PIL import Image as Pillow

    compared = 0
    for name, axes, shape, dtype, *_ in FILES:
        if name.endswith((".zip", ".companion.ome")) or "multifile" in name or dtype in {"int8", "int16"}:
            continue
        if axes.replace("Y", "").replace("X", "") not in {"", "T", "Z", "C", "ZC"} or "wfc3" in name:
            continue
        with Pillow.open(data_dir / name) as other, open_image(data_dir / name) as mine:
            for index in {0, mine.n_planes // 2, mine.n_planes - 1}:
                other.seek(index)
                assert np.array_equal(mine.plane(index), np.asarray(other)), (name, index)
        assert shape[-2:] == other.size[::-1]
        compared += 1
    assert compared >= 15


def test_a_companion_file_brings_the_parts_into_their_order(data_dir: Path) -> None:
    folder = data_dir / "tiff" / "ome" / "multifile_companion"
    whole = read_image(folder / "multifile.companion.ome").array
    for number in range(5):
        part = tifffile.TiffFile(folder / f"multifile-Z{number + 1}.ome.tiff")
        assert np.array_equal(whole[number], part.pages.first.asarray())
        part.close()


def test_a_missing_part_of_an_ome_image_is_an_error_not_zeros(data_dir: Path, tmp_path: Path) -> None:
    for path in (data_dir / "tiff" / "ome" / "multifile_companion").iterdir():
        if "Z4" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="is incomplete: 4 of 5 pages are there"):
        read_image(tmp_path / "multifile-Z1.ome.tiff")
    (tmp_path / "multifile.companion.ome").unlink()
    alone = read_image(tmp_path / "multifile-Z1.ome.tiff")
    assert alone.axes == "YX"
    assert "the OME companion file is missing; this is one part of a larger image" in alone.remarks


def test_an_axis_without_a_name_is_said_and_can_be_named(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "misc" / "cells3d_nuclei.tif"
    image = read_image(path)
    assert image.remarks == ("the file does not name its axis of 60: taken as T; --axes says otherwise",)
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((1, 5, 6), np.uint8), photometric="minisblack")
    assert (read_image(tmp_path / "one.tif").axes, read_image(tmp_path / "one.tif").remarks) == ("YX", ())
    named = read_image(path, axes="zyx")
    assert (named.axes, named.remarks) == ("ZYX", ())
    assert np.array_equal(named.array, image.array)


def test_info_and_labels_of_imagej_files_are_read(data_dir: Path) -> None:
    image = read_image(data_dir / "neubias" / "xyzc_16bit__dna_conf_wf.tif")
    assert image.labels[:2] == ("c:1/2 z:1/45 - Hoechst_LSM_WF3 #1", "c:2/2 z:1/45 - Hoechst_LSM_WF3 #1")
    assert len(image.labels) == 90
    assert image.info["BitsPerPixel"] == "16"
    notes = read_image(data_dir / "neubias" / "xy_16bit__rat_hippocampal_neuron.tif").info["notes"]
    assert notes.startswith("This is a composite confocal image of primary hippocampal neurons.")


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
INFO = st.dictionaries(
    WORDS.map(lambda word: word.replace("=", "-")), st.lists(WORDS, max_size=3).map(" ".join), max_size=4
)


@given(INFO, st.lists(WORDS, max_size=3).map("\n".join))
@settings(max_examples=60, deadline=None)
def test_info_text_gives_back_keys_and_notes(info: dict[str, str], notes: str) -> None:
    info.pop("notes", None)
    expected = {"notes": notes, **info} if notes else info
    text = format_info(expected)
    assert parse_info(text) == expected
    assert format_info(parse_info(text)) == text


def test_info_keeps_every_line_that_is_no_key() -> None:
    text = "Some title\n\nkey = value = 2\nbare = \n=nothing\nkey = again\n"
    assert parse_info(text) == {
        "notes": "Some title\n\n=nothing\nkey = value = 2",
        "bare": "",
        "key": "again",
    }
    for key in ("a = b", "a\nb", "", " a"):
        with pytest.raises(InputError, match="cannot be stored"):
            format_info({key: "1"})


@st.composite
def pictures(draw: st.DrawFn) -> Image:
    """Images with axes in any order, each at least 2 long: an axis of 1 is not kept by files."""
    lead = draw(st.permutations("TZC"))[: draw(st.integers(0, 3))]
    axes = "".join(lead) + "YX"
    shape = draw(st.lists(st.integers(2, 4), min_size=len(axes), max_size=len(axes)))
    seed = draw(st.integers(0, 2**32 - 1))
    array = np.random.default_rng(seed).normal(0, 1e4, shape).astype(np.float32)
    planes = int(np.prod(shape[:-2]))
    labels = tuple(draw(st.lists(WORDS, min_size=planes, max_size=planes))) if draw(st.booleans()) else ()
    sizes = st.floats(1e-3, 100)
    pixel = {axis: draw(sizes) for axis in ("ZYX" if "Z" in axes else "YX")} if draw(st.booleans()) else {}
    interval = draw(st.none() | st.floats(1e-6, 1e5))
    return Image(array, axes, pixel, interval, draw(INFO), labels)


@given(pictures(), st.sampled_from([".tif", ".ome.tif"]))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, image: Image, suffix: str) -> None:
    path = tmp_path_factory.mktemp("round") / f"image{suffix}"
    back = read_image(write_image(path, image))
    order = "".join(letter for letter in "TZCYX" if letter in image.axes)
    assert back.axes == order
    turn = [image.axes.index(letter) for letter in order]
    assert np.array_equal(back.array, image.array.transpose(turn))
    assert back.frame_interval_s == image.frame_interval_s
    assert dict(back.info) == dict(image.info)
    if image.labels:
        grid = np.array(image.labels, dtype=object).reshape(image.array.shape[:-2])
        assert back.labels == tuple(grid.transpose(turn[:-2]).ravel())
    assert set(back.pixel_size_um) == set(image.pixel_size_um)
    for axis, size in image.pixel_size_um.items():
        # X and Y are kept as a fraction of two 32-bit integers.
        assert back.pixel_size_um[axis] == pytest.approx(size, rel=1e-5)
    assert read_image(write_image(path, back, overwrite=True)).labels == back.labels


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
@pytest.mark.parametrize("width", [3, 4])
def test_a_picture_3_or_4_pixels_wide_is_no_colour_picture(width: int, suffix: str, tmp_path: Path) -> None:
    values = np.arange(5 * 6 * width, dtype=np.uint8).reshape(5, 6, width)
    back = read_image(write_image(tmp_path / f"a{suffix}", Image(values, "TYX"), dtype="uint8"))
    assert back.axes == "TYX"
    assert np.array_equal(back.array, values)


@pytest.mark.parametrize("suffix, dtypes", [
    (".tif", ["float32", "uint8", "uint16", "int16"]),
    (".ome.tif", ["float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32"]),
    (".npy", ["float32", "float64", "uint8", "uint16", "uint32", "int8", "int16", "int32"]),
    (".png", ["uint8", "uint16"]),
])  # fmt: skip
def test_every_type_of_a_format_comes_back_as_it_is(
    suffix: str, dtypes: list[str], tmp_path: Path, rng: np.random.Generator
) -> None:
    for dtype in dtypes:
        low, high = (-1e30, 1e30) if dtype.startswith("f") else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        values = rng.uniform(low, high, (7, 9)).astype(dtype)
        back = read_image(write_image(tmp_path / f"{dtype}{suffix}", Image(values, "YX"), dtype=dtype))
        assert back.array.dtype == dtype
        assert np.array_equal(back.array, values)


@pytest.mark.parametrize("values, dtype, expected", [
    ([-1.0, 0.5, 1.5, 254.6, 300.0], "uint8", [0, 0, 2, 255, 255]),
    ([-5, 70000, 65535], "uint16", [0, 65535, 65535]),
    ([-40000.0, 32767.4, 1e12], "int16", [-32768, 32767, 32767]),
    ([2.0**32, -1.0], "uint32", [2**32 - 1, 0]),
    ([np.inf, -np.inf], "uint8", [255, 0]),
    ([True, False], "uint8", [1, 0]),
])  # fmt: skip
def test_converting_down_rounds_and_clips_and_never_wraps(values: list[Any], dtype: str, expected: list[int]) -> None:
    assert writing.convert(np.array(values), dtype).tolist() == expected


def test_the_limits_of_every_type_convert_to_every_other_type() -> None:
    types = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
    for source in types:
        low, high = np.iinfo(source).min, np.iinfo(source).max
        for target in ["uint8", "uint16", "uint32", "int8", "int16", "int32"]:
            limits = np.iinfo(target)
            expected = [min(max(value, limits.min), limits.max) for value in (low, high)]
            assert writing.convert(np.array([low, high], source), target).tolist() == expected, (source, target)


def test_what_cannot_be_converted_is_refused() -> None:
    with pytest.raises(InputError, match="NaN cannot be written as uint8; write float32, or fill the 1 pixels"):
        writing.convert(np.array([1.0, np.nan]), "uint8")
    with pytest.raises(InputError, match=r"1e\+300 is beyond float32; scale the image down"):
        writing.convert(np.array([1e300]), "float32")
    with pytest.raises(InputError, match="values of type complex128"):
        writing.convert(np.array([1j]), "float32")
    assert np.isinf(writing.convert(np.array([np.inf]), "float32")).all()


def test_rgb_keeps_its_samples_and_gray_is_demanded_with_advice(tmp_path: Path, rng: np.random.Generator) -> None:
    image = Image(rng.integers(0, 256, (2, 3, 5, 6)).astype(np.uint8), "TSYX", labels=("a", "b"))
    for suffix in (".tif", ".ome.tif"):
        back = read_image(write_image(tmp_path / f"colour{suffix}", image, dtype="uint8"))
        assert (back.axes, back.labels) == ("TSYX", ("a", "b"))
        assert np.array_equal(back.array, image.array)
    with pytest.raises(InputError, match=r"colour picture \(axes TSYX, shape \(2, 3, 5, 6\)\).*--axes TCYX"):
        require_gray(image, "a.tif")
    channels = read_image(tmp_path / "colour.tif", axes="TCYX")
    require_gray(channels)
    assert channels.labels == ()  # two labels do not name six planes
    with pytest.raises(OptionError, match=r"3 colour samples of float32 cannot be stored.*Name the axis C"):
        write_image(tmp_path / "b.tif", image)
    picture = Image(image.array[0], "SYX")
    assert np.array_equal(read_image(write_image(tmp_path / "c.png", picture, dtype="uint8")).array, picture.array)


def test_planes_come_one_by_one_in_the_order_of_the_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    path = write_image(tmp_path / "a.tif", Image(values, "TZYX"))
    compressed = tmp_path / "b.tif"
    options: dict[str, Any] = {"compression": "zlib", "predictor": True, "tile": (16, 16), "photometric": "minisblack"}
    tifffile.imwrite(compressed, values, metadata={"axes": "TZYX"}, **options)
    for file in (path, compressed):
        with open_image(file) as reader:
            assert (reader.shape, reader.axes, reader.n_planes) == ((3, 4, 5, 6), "TZYX", 12)
            for number, plane in enumerate(reader.planes()):
                assert np.array_equal(plane, values.reshape(-1, 5, 6)[number])
            assert np.array_equal(reader.plane(7), values[1, 3])
            with pytest.raises(IndexError, match="plane 12 of 12"):
                reader.plane(12)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".npy"])
def test_large_files_are_written_and_read_with_a_few_planes_of_memory(suffix: str, tmp_path: Path) -> None:
    plane_bytes, count = 512 * 512 * 4, 60

    def planes() -> Iterator[NDArray[np.float32]]:
        for number in range(count):
            yield np.full((512, 512), number, np.float32)

    tracemalloc.start()
    path = write_planes(tmp_path / f"a{suffix}", planes(), ImageMeta((count, 512, 512), "TYX"))
    with open_image(path) as reader:
        assert [float(plane[3, 4]) for plane in reader.planes()] == list(range(count))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * plane_bytes


def test_too_few_or_wrong_planes_are_a_fault_of_the_caller_and_leave_no_file(tmp_path: Path) -> None:
    meta = ImageMeta((3, 4, 4), "TYX")
    for suffix in (".tif", ".ome.tif", ".npy"):
        for planes in ([np.zeros((4, 4))] * 2, [np.zeros((4, 4))] * 4, [np.zeros((4, 5))] * 3):
            with pytest.raises(ValueError, match=r"plane|announced"):
                write_planes(tmp_path / f"a{suffix}", planes, meta)
    assert list(tmp_path.iterdir()) == []


def test_files_beyond_4_gb_keep_one_directory_and_all_planes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(writing, "_CLASSIC_LIMIT", 100)  # as if 100 bytes were 4 GB
    image = Image(rng.normal(size=(5, 6, 7)).astype(np.float32), "TYX", {"X": 0.1, "Y": 0.1}, 2.0, {"a": "b"})
    path = write_image(tmp_path / "a.tif", image)
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages) == 1
    back = read_image(path)
    assert np.array_equal(back.array, image.array)
    assert (back.axes, back.frame_interval_s, dict(back.info)) == ("TYX", 2.0, {"a": "b"})
    ome = write_image(tmp_path / "a.ome.tif", image)
    with tifffile.TiffFile(ome) as tif:
        assert tif.is_bigtiff
    assert np.array_equal(read_image(ome).array, image.array)


def tiff_bytes(**options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(4096, dtype=np.uint16).reshape(64, 64), **options)
    return stream.getvalue()


def zip_of(name: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def npy_of(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


PNG_BOMB = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (2**31 - 1).to_bytes(4, "big") * 2 + b"\x10\0\0\0\0" + b"\0" * 40

BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty.tif", b"", r"is empty \(0 bytes\)"),
    ("text.tif", b"hello, I am no image", "is not TIFF, PNG or NPY .it begins with b'hello, I'"),
    ("image.xyz", b"1234", "is not TIFF, PNG or NPY"),
    ("short.tif", b"II*\0", "damaged or not a TIFF"),
    ("cut.tif", tiff_bytes()[:-1000], "is cut off: its pictures end at byte"),
    ("cut_tiles.tif", tiff_bytes(compression="zlib", tile=(32, 32))[:-500], "cut off|damaged|incomplete"),
    ("blank.tif", b"II*\0\x08\0\0\0\0\0", "the image is empty"),
    ("zeiss.czi", b"ZISRAWFILE" + b"\0" * 50, "Zeiss CZI is not a supported format; export it as OME-TIFF"),
    ("nikon.nd2", b"\xda\xce\xbe\x0a" + b"\0" * 50, "Nikon ND2 is not a supported format"),
    ("photo.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "JPEG is not a supported format"),
    ("none.zip", zip_of("a.txt", b"x"), "zip file with 0 TIFF files"),
    ("broken.zip", b"PK\x03\x04" + b"\0" * 50, "damaged"),
    ("bad.npy", b"\x93NUMPY\x01\0" + b"\xff" * 40, "damaged or not an array"),
    ("cut.npy", npy_of(np.zeros((50, 50)))[:-100], "damaged or not an array"),
    ("pickle.npy", npy_of(np.array([{}, {}], dtype=object)), "damaged or not an array"),
    ("words.npy", npy_of(np.array([["a", "b"]])), "holds values of type"),
    ("complex.npy", npy_of(np.zeros((4, 4), complex)), "holds values of type complex128"),
    ("line.npy", npy_of(np.zeros(4)), "2 to 6 axes; this array has 1"),
    ("nothing.npy", npy_of(np.zeros((0, 4))), "is empty: shape"),
    ("bomb.png", PNG_BOMB, "not believed"),
    ("broken.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "damaged"),
    ("lost.companion.ome", b"<OME><Image/></OME>", "names no TIFF file"),
    ("alone.companion.ome", b'<OME><UUID FileName="x.tif"/></OME>', "needs x.tif beside it"),
    ("broken.companion.ome", b"<OME>", "damaged"),
]


@pytest.mark.parametrize("name, content, words", BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_a_bad_file_is_one_error_with_its_name(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_image(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def ome_with(xml: str, tmp_path: Path) -> Path:
    path = tmp_path / "hostile.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), description=xml, metadata=None)
    return path


@pytest.mark.parametrize("sizes, words", [
    ('SizeC="1" SizeT="999999999" SizeZ="1"', 'SizeT="999999999", more than any file holds'),
    ('SizeC="3000" SizeT="3000" SizeZ="3000"', "more than any file holds"),
    ('SizeC="1" SizeT="5" SizeZ="1"', "incomplete: 1 of 5 pages"),
])  # fmt: skip
def test_ome_metadata_that_announce_more_than_there_is_are_refused(sizes: str, words: str, tmp_path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><OME xmlns="x"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        f'Type="uint8" SizeX="8" SizeY="8" {sizes}><TiffData/></Pixels></Image></OME>'
    )
    with pytest.raises(InputError, match=words):
        read_image(ome_with(xml, tmp_path))


def test_missing_files_folders_and_wrong_axes_say_what_to_do(tmp_path: Path) -> None:
    path = write_image(tmp_path / "cells_01.tif", Image(np.zeros((3, 4, 5)), "TYX"))
    with pytest.raises(InputError, match=r"cells_1.tif does not exist; did you mean cells_01.tif\?"):
        read_image(tmp_path / "cells_1.tif")
    with pytest.raises(InputError, match=r"the folder .*none is not there either"):
        read_image(tmp_path / "none" / "a.tif")
    with pytest.raises(InputError, match=r"is a folder; give one image file, e.g. cells_01.tif"):
        read_image(tmp_path)
    with pytest.raises(InputError, match=r"2 letters, but the image has 3 axes.*its own axes are TYX"):
        read_image(path, axes="YX")
    with pytest.raises(InputError, match=r"must end in YX.*its own axes are TYX"):
        read_image(path, axes="YXC")
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match="is not a regular file; save the image to a file"):
        read_image(tmp_path / "pipe.tif")
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        read_image(tmp_path / ("a" * 300))


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_image(tmp_path / "a.tif", Image(np.zeros((4, 5)), "YX"))

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(InputError, match=r"a\.tif cannot be read: Permission denied"):
        read_image(path)


@pytest.mark.parametrize("module", [images, axes_room, rois, tiff_metadata], ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_true(module: ModuleType) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_what_a_format_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    stack = Image(np.zeros((2, 4, 5)), "TYX", labels=("a", "b"))
    cases: list[tuple[str, Image, str, str]] = [
        ("a.tif", stack, "float64", "ImageJ has no float64; choose one of float32.*name the file .ome.tif"),
        ("a.tif", stack, "complex64", "dtype 'complex64' cannot be written; allowed: float32"),
        ("a.png", stack, "uint8", "PNG holds one gray or RGB picture, not axes TYX"),
        ("a.png", Image(np.zeros((4, 5)), "YX"), "float32", "PNG holds uint8 or uint16, not float32"),
        ("a.bmp", stack, "uint8", r"unknown suffix '.bmp'; allowed: .tif"),
    ]
    for name, image, dtype, words in cases:
        with pytest.raises(OptionError, match=words):
            write_image(tmp_path / name, image, dtype=dtype)
    with pytest.raises(InputError, match="is empty and cannot be written"):
        write_image(tmp_path / "a.tif", Image(np.zeros((0, 4)), "YX"))
    with pytest.raises(InputError, match="1 labels for 2 planes"):
        write_image(tmp_path / "a.tif", Image(stack.array, "TYX", labels=("a",)))
    with pytest.raises(OptionError, match="axes ZTYX must come in the order TZYX"):
        write_planes(tmp_path / "a.tif", [], ImageMeta((1, 1, 4, 4), "ZTYX"))
    with pytest.raises(InputError, match="pixel sizes are micrometres above 0 for X and Y"):
        Image(stack.array, "TYX", {"X": 0.1})
    with pytest.raises(InputError, match="the frame interval is seconds above 0"):
        Image(stack.array, "TYX", {}, 0.0)
    assert list(tmp_path.iterdir()) == []
    write_image(tmp_path / "a.tif", stack)
    with pytest.raises(OutputError, match="exists; choose another name or add --overwrite"):
        write_image(tmp_path / "a.tif", stack)


def test_one_pixel_nan_and_infinity_are_kept_as_they_are(tmp_path: Path) -> None:
    for values in ([[7.0]], [[np.nan, np.inf, -np.inf, 1.0]]):
        back = read_image(write_image(tmp_path / "a.tif", Image(np.array(values), "YX"), overwrite=True))
        np.testing.assert_array_equal(back.array, np.array(values, np.float32))


def test_other_programs_metadata_are_read(tmp_path: Path) -> None:
    values = np.zeros((2, 5, 6), np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values[0], resolution=(50_000, 25_000), resolutionunit="CENTIMETER", description="gain = 2")
    image = read_image(path)
    assert image.pixel_size_um == {"X": pytest.approx(0.2), "Y": pytest.approx(0.4)}
    assert dict(image.info) == {"gain": "2"}
    tifffile.imwrite(path, values[0], resolution=(300, 300), resolutionunit="INCH")  # for printing
    assert read_image(path).pixel_size_um == {}
    tifffile.imwrite(path, values, metadata={"axes": "CYX", "lens": "63x"})
    shaped = read_image(path)
    assert (shaped.axes, dict(shaped.info)) == ("CYX", {"lens": "63x"})
    metadata = {"axes": "ZYX", "spacing": 2, "unit": "nm", "finterval": 40, "tunit": "ms"}
    tifffile.imwrite(path, values, imagej=True, resolution=(0.01, 0.02), metadata=metadata)
    scaled = read_image(path)
    assert scaled.pixel_size_um == {"X": pytest.approx(0.1), "Y": pytest.approx(0.05), "Z": pytest.approx(0.002)}
    assert scaled.frame_interval_s == pytest.approx(0.04)
