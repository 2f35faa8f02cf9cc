"""From files to training pictures: axes, lazy reading, repeats, what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from quietframe.errors import InputError, OptionError, QuietframeError
from quietframe.images import read_image
from quietframe.training import reading, stacks
from quietframe.training.patches import Pictures, Sampler
from quietframe.training.reading import ReadRequest, checksum, read_training


def counted(*shape: int) -> np.ndarray:
    """Return an array in which every pixel has a number of its own, exact in float32."""
    return np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype(np.float32)


def write(path: Path, array: np.ndarray, axes: str = "", **options: Any) -> Path:
    if axes:
        tifffile.imwrite(path, array, imagej=True, metadata={"axes": axes, **options})
    else:
        tifffile.imwrite(path, array, **options)
    return path


def write_zarr(path: Path, array: np.ndarray, axes: str, chunks: tuple[int, ...]) -> Path:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=array, chunks=chunks)
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": letter.lower()} for letter in axes],
            "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0] * array.ndim}]}],
        }
    ]
    return path


def read(*sources: Path, targets: list[Path] | None = None, **options: Any) -> tuple[Pictures, dict[str, Any]]:
    return read_training(list(sources), targets, ReadRequest(**options))


TCZYX = counted(2, 3, 4, 32, 40)


@pytest.mark.parametrize(
    "options, shape, place",
    [
        # what is no channel and no depth is a sample; `place` finds T=1, C=2, Z=3
        ({}, (24, 1, 32, 40), (23, 0)),
        ({"joint_channels": True}, (8, 3, 32, 40), (7, 2)),
        ({"volumes": True}, (6, 1, 4, 32, 40), (5, 0, 3)),
        ({"volumes": True, "joint_channels": True}, (2, 3, 4, 32, 40), (1, 2, 3)),
    ],
)
def test_each_axis_goes_where_it_belongs(
    options: dict[str, Any], shape: tuple[int, ...], place: tuple[int, ...], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tif", TCZYX.transpose(0, 2, 1, 3, 4), "TZCYX", unit="um", spacing=2.0)
    pictures, facts = read(path, **options)
    assert pictures.sources[0].shape == shape
    np.testing.assert_array_equal(pictures.sources[0][place], TCZYX[1, 2, 3])
    assert len(pictures.statistics().source) == (3 if options.get("joint_channels") else 1)
    assert facts["files"] == [{"name": "a.tif", "role": "input", "sha256": checksum(path)}]
    assert any("channels are taken as samples" in note for note in facts["notes"]) is not bool(
        options.get("joint_channels")
    )


def test_the_step_in_z_is_known_in_pixels(tmp_path: Path) -> None:
    options = {"resolution": (10, 10), "imagej": True, "metadata": {"axes": "ZYX", "unit": "um", "spacing": 0.5}}
    tifffile.imwrite(tmp_path / "z.tif", counted(8, 32, 32), **options)
    pictures, _ = read(tmp_path / "z.tif", volumes=True)
    assert pictures.anisotropy == pytest.approx(5.0)  # 0.5 um per plane over 0.1 um per pixel


def plain(path: Path, array: np.ndarray) -> Path:
    return write(path.with_suffix(".tif"), array, "TZYX")


def deflated(path: Path, array: np.ndarray) -> Path:
    return write(path.with_suffix(".tif"), array, compression="zlib", photometric="minisblack")


def chunked(path: Path, array: np.ndarray) -> Path:
    return write_zarr(path.with_suffix(".zarr"), array, "TZYX", (2, 2, 24, 16))


def npy(path: Path, array: np.ndarray) -> Path:
    np.save(path.with_suffix(".npy"), array)
    return path.with_suffix(".npy")


@pytest.mark.parametrize("make", [plain, deflated, chunked, npy])
def test_a_file_read_patch_by_patch_gives_the_patches_of_one_in_memory(
    make: Callable[[Path, np.ndarray], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a", counted(3, 5, 50, 70))
    held, _ = read(path)
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr(stacks, "CACHE_BYTES", 3 * 50 * 70 * 4)  # three planes
    lazy, _ = read(path)
    assert isinstance(held.sources[0], np.ndarray)
    assert isinstance(lazy.sources[0], stacks.FileStack)
    assert lazy.statistics() == held.statistics()
    np.testing.assert_array_equal(lazy.sample(), held.sample())
    np.testing.assert_array_equal(lazy.sources[0][:], held.sources[0])
    for step in range(5):
        np.testing.assert_array_equal(
            Sampler(lazy, 16, 8, 5, seed=3).batch(step)[0], Sampler(held, 16, 8, 5, seed=3).batch(step)[0]
        )


def test_volumes_come_from_chunks_as_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zarr(tmp_path / "a.zarr", counted(2, 3, 9, 40, 40), "TCZYX", (1, 1, 4, 16, 16))
    held, _ = read(path, volumes=True, joint_channels=True)
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 0)
    lazy, _ = read(path, volumes=True, joint_channels=True)
    one, other = (Sampler(pictures, (4, 16, 16), 4, 5, seed=3).batch(1)[0] for pictures in (held, lazy))
    assert one.shape == (4, 3, 4, 16, 16)
    np.testing.assert_array_equal(one, other)


def test_no_more_than_a_few_files_and_planes_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(stacks, "OPEN_FILES", 2)
    monkeypatch.setattr(stacks, "CACHE_BYTES", 10_000)
    paths = [deflated(tmp_path / f"{i}", counted(3, 40, 40) + i) for i in range(5)]
    pictures, _ = read(*paths)
    sampler = Sampler(pictures, 16, 16, 5, seed=0)
    for step in range(3):
        sampler.batch(step)
    files = pictures.sources[0]._files  # type: ignore[attr-defined]
    assert len(files.readers) == 2
    assert files.held <= 10_000
    assert files.held == sum(block.nbytes for block in files.blocks.values())


MEMORY = """
import sys, numpy as np
from pathlib import Path
from quietframe.training.reading import ReadRequest, read_training
from quietframe.training.patches import Sampler, collect
from skimage.registration import phase_cross_correlation

def peak():
    return int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) / 1024

small = collect([np.random.default_rng(0).normal(size=(256, 256))], ['a'])
Sampler(small, 64, 16, 5, 0).batch(0)
before = peak()
for path in sys.argv[1:]:
    pictures, _ = read_training([Path(path)], None, ReadRequest())
    assert sum(np.prod(s.shape) * s.dtype.itemsize for s in pictures.sources) >= 300e6
    sampler = Sampler(pictures, 64, 16, 5, 0, foreground=0.5)
    for step in range(20):
        sampler.batch(step)
    print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM")
def test_a_file_of_300_mb_costs_less_than_150_mb(tmp_path: Path) -> None:
    plane = np.random.default_rng(1).poisson(3, (1024, 1024)).astype(np.uint16)
    paths = [str(tmp_path / name) for name in ("plain.tif", "deflated.tif")]
    options: list[dict[str, Any]] = [{}, {"compression": "zlib", "compressionargs": {"level": 1}}]
    for path, how in zip(paths, options, strict=True):
        planes = (np.roll(plane, number) for number in range(144))  # 302 MB of pixels
        tifffile.imwrite(path, planes, shape=(144, 1024, 1024), dtype=np.uint16, **how)
    command = [sys.executable, "-c", MEMORY, *paths]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert answer.returncode == 0, answer.stderr
    uncompressed, compressed = map(float, answer.stdout.split())
    assert uncompressed < 75  # nothing is kept; statistics and checks take a plane, and 2 million spread pixels
    assert compressed < 150  # 96 MB of decoded planes are kept


def test_planes_of_a_stack_are_repeats_and_other_axes_are_scenes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", counted(3, 2, 32, 32), "TCYX")
    pictures, _ = read(path, data="repeats", method="n2n")
    assert pictures.partners
    assert [stack.shape for stack in pictures.sources] == [(3, 1, 32, 32)] * 2
    source, target = Sampler(pictures, 16, 16, 0, seed=1).batch(0)
    assert target is not None
    # one scene: planes of one channel lie 2 x 1024 apart in the count, and no plane is its own partner
    apart = (target - source)[:, 0, 0, 0] / 2048
    np.testing.assert_array_equal(apart, np.round(apart))
    assert (apart != 0).all()
    assert {-1.0, 1.0} <= set(np.sign(apart).tolist())


def test_single_pictures_are_repeats_of_one_scene(tmp_path: Path, rng: np.random.Generator) -> None:
    scene = rng.uniform(5, 50, (40, 40))
    paths = [write(tmp_path / f"{i}.tif", rng.poisson(scene).astype(np.uint16)) for i in range(3)]
    pictures, facts = read(*paths, data="repeats")
    assert [stack.shape for stack in pictures.sources] == [(3, 1, 40, 40)]
    assert "the 3 pictures are taken as repeats of one scene" in facts["notes"]
    np.testing.assert_array_equal(pictures.sources[0][2, 0], read_image(paths[2]).array)


def reads_of(text: str, **more: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        array = np.random.default_rng(len(text)).normal(size=(text.count("-"), 32, 32)).astype(np.float32)
        path = folder / f"{text}.tif"
        return write(path, array, "TYX", Info=f"ndr.reads_used = {text}\n" + "".join(more.values()))

    return make


def stack(*shape: int, dtype: type = np.float32, seed: int = 0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        values = np.random.default_rng(seed).normal(100, 5, shape).astype(dtype)
        return write(folder / f"{shape}{seed}.tif", values)

    return make


BAD: list[tuple[str, list[Callable[[Path], Path]], list[Callable[[Path], Path]] | None, dict[str, Any], Any, str]] = [
    ("no target", [stack(40, 40)], None, {"data": "pairs", "method": "care"}, OptionError, "care learns from pairs"),
    ("too few targets", [stack(40, 40)] * 2, [stack(40, 41)], {}, InputError, "2 pictures but 1 targets"),
    ("no z", [stack(40, 40)], None, {"volumes": True}, InputError, "has no z axis; --patch-z needs volumes"),
    ("one repeat", [stack(40, 40)], None, {"data": "repeats"}, InputError, "one picture has no partner"),
    ("sizes", [stack(40, 40), stack(40, 41)], None, {"data": "repeats"}, InputError, "differ in shape; repeats"),
    (
        "abutting reads",
        [reads_of("1-21,21-41,43-63")],
        None,
        {"data": "repeats"},
        InputError,
        r"reads 1-21 and 21-41 share read 21, so their noise is correlated \(-0.50 in the dark, \+0.00 in bright",
    ),
    (
        "overlapping reads",
        [reads_of("1-21,11-31")],
        None,
        {"data": "repeats"},
        InputError,
        r"share reads 11 to 21.* \(\+0.00 in the dark, \+0.50 in bright light",
    ),
    (
        "pair of the same reads",
        [reads_of("5-9,30-34")],
        [reads_of("20-24,34-38")],
        {"data": "repeats"},
        InputError,
        "reads 30-34 and 34-38 share read 34",
    ),
]


@pytest.mark.parametrize("sources, targets, options, error, message", [r[1:] for r in BAD], ids=[r[0] for r in BAD])
def test_what_does_not_go_together_is_refused(
    sources: Any, targets: Any, options: dict[str, Any], error: type[QuietframeError], message: str, tmp_path: Path
) -> None:
    answers = None if targets is None else [make(tmp_path) for make in targets]
    with pytest.raises(error, match=message):
        read(*(make(tmp_path) for make in sources), targets=answers, **options)


def test_guarded_reads_are_repeats_and_warnings_of_the_file_are_passed_on(tmp_path: Path) -> None:
    pictures, _ = read(reads_of("1-21,22-42,43-63")(tmp_path), data="repeats")
    assert pictures.partners
    source = reads_of("1-21,22-42", warning="ndr.warning = warning: of the same reads\nndr.unit = electrons\n")
    _, facts = read(source(tmp_path), targets=[stack(2, 32, 32)(tmp_path)], data="pairs")
    assert any(note.endswith("warning: of the same reads") for note in facts["notes"])
    assert facts["unit"] == "counts"  # the target's, which names none
    assert any("different units (counts, electrons)" in note for note in facts["notes"])


def test_the_checksum_of_a_folder_is_that_of_its_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_zarr(tmp_path / name, counted(2, 8, 8), "TYX", (1, 8, 8))
    assert checksum(tmp_path / "one") == checksum(tmp_path / "two")
    (tmp_path / "two" / "more").write_text("x")
    assert checksum(tmp_path / "one") != checksum(tmp_path / "two")
