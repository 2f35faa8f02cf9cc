"""OME-Zarr of both formats is read as it was written, chunk by chunk; what is broken is refused in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError, MissingExtraError
from quietframe.images import Image, open_image, read_image, write_image
from quietframe.ndr.exposure import open_exposure
from quietframe.ndr.raw_planes import raw_planes
from quietframe.verbs.ndr import fit, subtract

zarr = pytest.importorskip("zarr", reason="the extra scale is not installed")

KINDS = {"t": "time", "c": "channel"}
UNITS = {"t": "millisecond", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
STEPS = {"t": 50.0, "c": 1.0, "z": 300.0, "y": 0.2, "x": 0.1}


def save(
    path: Path,
    array: np.ndarray,
    names: str,
    chunks: tuple[int, ...],
    version: int,
    attributes: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    stored = group.create_array("0", shape=array.shape, chunks=chunks, dtype=array.dtype, **options)
    stored[...] = array
    smaller = array[..., ::2, ::2]
    group.create_array("1", shape=smaller.shape, chunks=smaller.shape, dtype=array.dtype)[...] = smaller
    axes = [{"name": n, "type": KINDS.get(n, "space"), **({"unit": UNITS[n]} if n in UNITS else {})} for n in names]
    scale = {"type": "scale", "scale": [STEPS[name] for name in names]}
    levels = [{"path": level, "coordinateTransformations": [scale]} for level in "01"]
    ome: dict[str, Any] = {"multiscales": [{"axes": axes, "datasets": levels, "version": "0.4"}]}
    group.attrs.update({**(ome if version == 2 else {"ome": {**ome, "version": "0.5"}}), **(attributes or {})})
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("names", "shape", "chunks"),
    [
        ("yx", (33, 40), (16, 16)),
        ("tyx", (7, 33, 40), (3, 16, 40)),
        ("tczyx", (3, 2, 4, 17, 20), (2, 1, 3, 8, 20)),
        ("tczyx", (5, 1, 1, 17, 20), (5, 1, 1, 17, 20)),
        ("zyx", (4, 17, 20), (1, 17, 20)),
        ("ytx", (17, 4, 20), (8, 3, 20)),
    ],
)
def test_what_was_written_is_read(
    tmp_path: Path, rng: np.random.Generator, version: int, names: str, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    array = rng.integers(0, 60000, shape).astype(np.uint16)
    image = read_image(save(tmp_path / "a.ome.zarr", array, names, chunks, version))
    lead = [position for position, name in enumerate(names) if name not in "yx"]
    expected = array.transpose([*lead, names.index("y"), names.index("x")])
    assert image.axes == "".join(names[position] for position in lead).upper() + "YX"
    assert image.array.dtype == np.uint16
    np.testing.assert_array_equal(image.array, expected)
    sizes = {"Y": 0.2, "X": 0.1, **({"Z": 0.3} if "z" in names else {})}
    assert image.pixel_size_um == pytest.approx(sizes)
    assert image.frame_interval_s == (pytest.approx(0.05) if "t" in names else None)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("dtype", ["|u1", "<i2", ">u2", ">f4", "<f8", "|b1"])
def test_types_are_kept_in_the_machines_byte_order(
    tmp_path: Path, rng: np.random.Generator, version: int, dtype: str
) -> None:
    array = rng.integers(0, 2, (3, 9, 8)).astype(np.dtype(dtype).newbyteorder("="))
    options = {} if dtype[0] != ">" or version == 3 else {"order": "C"}
    image = read_image(save(tmp_path / "a.zarr", array, "tyx", (2, 9, 8), version, **options))
    assert image.array.dtype == (np.uint8 if dtype == "|b1" else np.dtype(dtype).newbyteorder("="))
    np.testing.assert_array_equal(image.array, array)


def test_shards_are_read(tmp_path: Path, rng: np.random.Generator) -> None:
    array = rng.integers(0, 900, (8, 32, 32)).astype(np.uint16)
    path = save(tmp_path / "a.zarr", array, "tyx", (2, 16, 16), 3, shards=(4, 32, 32))
    np.testing.assert_array_equal(read_image(path).array, array)


def test_each_chunk_is_decoded_once_in_order_and_any_plane_is_at_hand(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = rng.integers(0, 900, (10, 16, 16)).astype(np.uint16)
    path = save(tmp_path / "a.zarr", array, "tyx", (4, 8, 16), 2)
    taken: list[Any] = []
    take = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, at: taken.append(at) or take(self, at))
    with open_image(path) as reader:
        assert taken == []  # opening reads no pixel
        for index, plane in enumerate(reader.planes()):
            np.testing.assert_array_equal(plane, array[index])
            plane[:] = 0  # what the caller does to a plane is not seen by the next one
        assert [at[0] for at in taken] == [slice(0, 4), slice(4, 8), slice(8, 12)]
        np.testing.assert_array_equal(reader.plane(3), array[3])
        np.testing.assert_array_equal(reader.plane(9), array[9])


def test_the_kept_planes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quietframe.images.zarr_reading._KEPT", 3 * 16 * 16 * 2)
    array = np.arange(10 * 16 * 16, dtype=np.uint16).reshape(10, 16, 16)
    path = save(tmp_path / "a.zarr", array, "tyx", (10, 16, 16), 3)
    taken: list[Any] = []
    take = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, at: taken.append(at) or take(self, at))
    np.testing.assert_array_equal(read_image(path).array, array)
    assert [at[0].stop - at[0].start for at in taken] == [3, 3, 3, 3]


@pytest.mark.parametrize("version", [2, 3])
def test_a_ramp_gives_what_its_tiff_gives(tmp_path: Path, rng: np.random.Generator, version: int) -> None:
    flux = np.full((24, 20), 3.0)
    flux[8:16, 8:16] = 60.0
    electrons = np.cumsum(rng.poisson(flux, (12, 24, 20)), axis=0) + rng.normal(0, 3, (12, 24, 20))
    reads = np.rint(electrons / 0.5 + 200).astype(np.uint16)
    keys = {"gain_e_per_adu": 0.5, "read_noise_e": 3.0, "first_valid": 2, "exposure": "E0009"}
    attributes = {"ndr": keys} if version == 2 else {f"ndr.{key}": str(value) for key, value in keys.items()}
    folder = save(tmp_path / "ramp.ome.zarr", reads, "tyx", (5, 24, 20), version, attributes)
    info = {f"ndr.{key}": str(value) for key, value in keys.items()}
    file = write_image(tmp_path / "ramp.tif", Image(reads, "TYX", {"Y": 0.2, "X": 0.1}, 0.05, info), dtype="uint16")
    with open_image(folder) as reader:
        assert {key: reader.info[key] for key in info} == info
        assert raw_planes(reader) is None
    with open_exposure(folder) as exposure:
        assert (exposure.exposure, exposure.first_valid, exposure.camera.gain_e_per_adu) == ("E0009", 1, 0.5)
        assert exposure.interval_s == pytest.approx(0.05)
    for name, source in (("z", folder), ("t", file)):
        subtract(source, tmp_path / f"{name}_d.tif", difference=2, unit="electrons")
        fit(source, tmp_path / f"{name}_r.tif", variance=tmp_path / f"{name}_v.tif")
    for part in ("d", "r", "v"):
        ours, theirs = (read_image(tmp_path / f"{name}_{part}.tif") for name in "zt")
        np.testing.assert_array_equal(ours.array, theirs.array)
        assert ours.pixel_size_um == theirs.pixel_size_um
        assert np.isfinite(ours.array).all()


def test_the_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.zarr", np.zeros((4, 4), np.uint8), "yx", (4, 4), 3)
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"reading OME-Zarr needs zarr.*pip install 'quietframe\[scale\]'"):
        open_image(path)


Change = Callable[[dict[str, Any]], Any]


def entry(ome: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = ome["multiscales"][0]
    return found


def scale_of(ome: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = entry(ome)["datasets"][0]["coordinateTransformations"][0]
    return found


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ome: ome.pop("multiscales"), "zarr without OME metadata"),
        (lambda ome: (ome.pop("multiscales"), ome.update(plate={})), "holds several images"),
        (lambda ome: ome.update(multiscales=[]), "multiscales is '\\[\\]'"),
        (lambda ome: ome.update(multiscales="no"), "multiscales is 'no'"),
        (lambda ome: ome.update(multiscales=[7]), "multiscales is '7'"),
        (lambda ome: entry(ome).pop("datasets"), "datasets is 'None'"),
        (lambda ome: entry(ome)["datasets"][0].update(path="5"), "names '5' as its full resolution, which is not"),
        (lambda ome: entry(ome)["datasets"][0].update(path="../../x"), "zarr"),
        (lambda ome: entry(ome)["datasets"][0].pop("path"), "which is not there"),
        (lambda ome: entry(ome)["axes"].pop(), "names 2 axes \\(t, y\\) for an array of 3"),
        (lambda ome: entry(ome).update(axes=["q", "y", "x"]), "an axis 'q'; t, c, z, y and x are read"),
        (lambda ome: entry(ome).update(axes=["t", "x", "y"]), "need Y before X"),
        (lambda ome: entry(ome).update(axes=["y", "y", "x"]), "name an axis twice"),
        (lambda ome: entry(ome).update(axes=5), "axes is '5'"),
        (lambda ome: scale_of(ome).update(scale=[1.0]), "that is not 3 numbers above 0"),
        (lambda ome: scale_of(ome).update(scale=[1.0, 0.0, 1.0]), "that is not 3 numbers above 0"),
        (lambda ome: scale_of(ome).update(scale=[1.0, "a", 1.0]), "that is not 3 numbers above 0"),
        (lambda ome: entry(ome)["datasets"][0].update(coordinateTransformations=4), "is no list"),
    ],
)
def test_broken_metadata_are_refused_in_one_line(tmp_path: Path, version: int, change: Change, message: str) -> None:
    path = save(tmp_path / "a.zarr", np.zeros((3, 8, 8), np.uint8), "tyx", (1, 8, 8), version)
    file = path / (".zattrs" if version == 2 else "zarr.json")
    stored = json.loads(file.read_text())
    change(stored if version == 2 else stored["attributes"]["ome"])
    file.write_text(json.dumps(stored))
    with pytest.raises(InputError, match=message) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def array_file(path: Path, version: int) -> Path:
    return path / "0" / (".zarray" if version == 2 else "zarr.json")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"zarr_format": 9}'])
def test_damaged_json_is_refused_in_one_line(tmp_path: Path, version: int, text: str) -> None:
    path = save(tmp_path / "a.zarr", np.zeros((3, 8, 8), np.uint8), "tyx", (1, 8, 8), version)
    array_file(path, version).write_text(text)
    with pytest.raises(InputError) as caught:
        open_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [2, 3])
def test_a_damaged_chunk_is_refused_when_it_is_read(tmp_path: Path, version: int) -> None:
    path = save(tmp_path / "a.zarr", np.arange(192, dtype=np.uint16).reshape(3, 8, 8), "tyx", (1, 8, 8), version)
    chunk = path / "0" / ("1.0.0" if version == 2 else "c/1/0/0")
    chunk.write_bytes(b"no chunk at all")
    with open_image(path) as reader:
        assert reader.plane(0)[0, 1] == 1
        with pytest.raises(InputError, match="is damaged"):
            reader.plane(1)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("shape", "chunks", "message"),
    [
        ((10**4, 10**5, 10**5), (10**4, 10**5, 10**5), "has chunks of .* GiB"),
        ((3, 10**6, 10**6), (1, 512, 512), "more than any image holds"),
        ((10**9, 8, 8), (1, 8, 8), "announces 1000000000 planes"),
        ((0, 8, 8), (1, 8, 8), "is empty"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_made(
    tmp_path: Path, version: int, shape: tuple[int, ...], chunks: tuple[int, ...], message: str
) -> None:
    path = save(tmp_path / "a.zarr", np.zeros((3, 8, 8), np.uint8), "tyx", (1, 8, 8), version)
    zarr.create_array(str(path / "0"), shape=shape, chunks=chunks, dtype="f8", zarr_format=version, overwrite=True)
    with pytest.raises(InputError, match=message):
        open_image(path)


def test_folders_that_are_no_image_are_named_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give one image file"):
        open_image(tmp_path)
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(InputError, match="is no zarr group"):
        open_image(tmp_path / "a.zarr")
    zarr.create_array(str(tmp_path / "b.zarr"), shape=(4, 4), chunks=(4, 4), dtype="u1")
    with pytest.raises(InputError, match="is no zarr group"):
        open_image(tmp_path / "b.zarr")
