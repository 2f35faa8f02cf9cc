"""Every filter's file keeps the contract of filters: docstring, settings, and what it does to awkward images."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quietframe.errors import InputError, OptionError
from quietframe.filtering.catalogue import filter_facts
from quietframe.filtering.run import Filter, filter_pixels, make_filter, run_filter
from quietframe.filters import filter_docstring, filter_names, load_filter
from quietframe.verbs.settings_reading import settings_module

NAMES = filter_names()
QUICK = {"total_variation": {"iterations": 20}}
"""Settings that make slow filters quick: here only the contract counts, not the picture."""
TYPES = ("uint8", "uint16", "float32", "float64", "int32", "bool")


def variants(name: str) -> list[Filter]:
    """Return a filter with its usual settings; where it has them, also for volumes."""
    settings = load_filter(name).Settings(**QUICK.get(name, {}))
    found = [make_filter(name, settings)]
    if hasattr(settings, "dimensions"):
        found.append(make_filter(name, dataclasses.replace(settings, dimensions=3)))
    return found


def image_for(job: Filter, rng: np.random.Generator, plane: tuple[int, int] = (23, 31), depth: int = 5) -> np.ndarray:
    shape = plane if len(job.axes) == 2 else (depth, *plane)
    return rng.poisson(40, shape).astype(np.uint8)


ALL = [pytest.param(job, id=f"{job.name}-{job.axes}") for name in NAMES for job in variants(name)]


@pytest.mark.parametrize("name", NAMES)
def test_a_docstring_says_what_when_and_from_where(name: str) -> None:
    text, facts = filter_docstring(name), filter_facts(name)
    assert text.splitlines()[0].endswith("."), "the summary is one line"
    assert text.split("\n\n")[1].startswith("Use it"), "the second paragraph says when"
    assert re.search(r"\n\nReferences\n----------\n", text)
    assert facts.papers
    assert all(re.search(r"\b(19|20)\d\d\b|ImageJ", paper) for paper in facts.papers), facts.papers
    assert facts.name == name.replace("_", "-")


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen_and_every_field_is_documented(name: str) -> None:
    settings = load_filter(name).Settings
    assert settings.__dataclass_params__.frozen
    described = inspect.getdoc(settings) or ""
    for field in dataclasses.fields(settings):
        after = re.search(rf"^{field.name}\n    (\S.*)", described, re.MULTILINE)
        assert after, f"{field.name} has no description"
        assert field.default is not dataclasses.MISSING, f"{field.name} has no default"


@pytest.mark.parametrize("name", NAMES)
def test_constants_say_axes_noise_and_candidates(name: str) -> None:
    module = load_filter(name)
    assert module.AXES in {"YX", "ZYX", "TYX"}
    assert module.NOISE in {"any", "gaussian"}
    assert isinstance(getattr(module, "IMAGEJ", 'run("x")'), str)
    assert getattr(module, "IMAGEJ", 'run("x")').startswith("run(")
    fields = {field.name for field in dataclasses.fields(module.Settings)}
    assert set(module.GRID) <= fields
    for values in itertools.product(*module.GRID.values()):
        module.Settings(**dict(zip(module.GRID, values, strict=True)))


@pytest.mark.parametrize("name", NAMES)
def test_options_are_read_without_the_rest_of_the_file(name: str) -> None:
    part = settings_module("filters", name)
    assert part is not None
    assert dataclasses.asdict(part.Settings()) == dataclasses.asdict(load_filter(name).Settings())


@pytest.mark.parametrize("name", NAMES)
def test_no_number_that_is_not_one_is_taken(name: str) -> None:
    settings = load_filter(name).Settings
    for field in dataclasses.fields(settings):
        if isinstance(field.default, float):
            for wrong in (float("nan"), float("inf"), -1e300):
                with pytest.raises(OptionError, match=rf"{field.name}|{field.name.replace('_', '-')}"):
                    settings(**{field.name: wrong})


@pytest.mark.parametrize("job", ALL)
def test_the_type_is_imagejs_or_float32(job: Filter, rng: np.random.Generator) -> None:
    pixels = image_for(job, rng)
    for dtype in TYPES:
        image = (pixels > 40) if dtype == "bool" else pixels.astype(dtype)
        before = image.copy()
        result = job.module.apply(image, job.settings)
        assert result.shape == image.shape
        assert result.dtype == job.result_type(image.dtype), dtype
        assert np.isfinite(result).all()
        np.testing.assert_array_equal(image, before, err_msg="the input was changed")
        assert not np.shares_memory(result, image), "the result is the input's memory"


@pytest.mark.parametrize("job", ALL)
def test_integers_and_float64_give_what_float32_gives(job: Filter, rng: np.random.Generator) -> None:
    pixels = image_for(job, rng)
    expected = job.module.apply(pixels.astype(np.float32), job.settings)
    for dtype in ("float64", "int32"):
        np.testing.assert_array_equal(job.module.apply(pixels.astype(dtype), job.settings), expected)


@pytest.mark.parametrize("job", ALL)
@pytest.mark.parametrize(
    "plane", [(1, 1), (1, 17), (17, 1), (2, 3), (5, 4)], ids=lambda plane: f"{plane[0]}x{plane[1]}"
)
def test_every_size_is_filtered(job: Filter, plane: tuple[int, int], rng: np.random.Generator) -> None:
    for depth in (1, 2):
        image = image_for(job, rng, plane, depth).astype(np.float32)
        result = job.module.apply(image, job.settings)
        assert result.shape == image.shape
        assert np.isfinite(result).all()


@pytest.mark.parametrize("job", ALL)
def test_a_constant_image_stays_constant(job: Filter, rng: np.random.Generator) -> None:
    for value in (0.0, 7.0):
        result = job.module.apply(np.full_like(image_for(job, rng, (12, 13)), value, np.float32), job.settings)
        assert np.ptp(result) <= 1e-4 * max(1.0, value)


@pytest.mark.parametrize("job", ALL)
def test_how_an_image_lies_in_memory_changes_nothing(job: Filter, rng: np.random.Generator) -> None:
    image = image_for(job, rng).astype(np.float32)
    expected = job.module.apply(image, job.settings)
    wide = np.repeat(image, 2, axis=-1)[..., ::2]
    turned = np.asfortranarray(image)
    fixed = image.copy()
    fixed.flags.writeable = False
    for other in (wide, turned, fixed, image[..., ::-1].copy()[..., ::-1]):
        np.testing.assert_array_equal(job.module.apply(other, job.settings), expected)


@pytest.mark.parametrize("job", ALL)
def test_not_a_number_is_refused_by_the_filter_and_kept_local_by_the_runner(
    job: Filter, rng: np.random.Generator
) -> None:
    image = image_for(job, rng, (64, 70), 3).astype(np.float32)
    middle = tuple(size // 2 for size in image.shape)
    image[middle] = np.nan
    with pytest.raises(InputError, match=f"1 of {image.size} pixels are NaN or infinite"):
        job.module.apply(image, job.settings)
    done = run_filter(image, job)
    missing = np.isnan(done.pixels)
    assert done.non_finite == 1
    assert missing[middle]
    far = job.halo if getattr(job.module, "WINDOW", False) else None
    reach = far or (0,) * image.ndim
    expected = np.zeros(image.shape, bool)
    expected[tuple(slice(max(0, at - r), at + r + 1) for at, r in zip(middle, reach, strict=True))] = True
    np.testing.assert_array_equal(missing, expected)


@pytest.mark.parametrize("job", ALL)
def test_a_pixel_beyond_the_halo_changes_nothing(job: Filter, rng: np.random.Generator) -> None:
    far = job.halo
    if far is None:
        pytest.skip("looks at the whole picture")
    settings = job.settings
    if getattr(settings, "noise_sigma", 1.0) is None:
        settings = dataclasses.replace(settings, noise_sigma=5.0)
    image = image_for(job, rng, (41, 43), 7).astype(np.float32)
    before = job.module.apply(image, settings)
    corner = (0,) * image.ndim
    image[corner] += 100
    after = job.module.apply(image, settings)
    near = tuple(slice(0, reach + 1) for reach in far)
    after[near] = before[near]
    # What runs along lines in sums of float32 rounds differently behind a changed pixel.
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-3)


@pytest.mark.parametrize("job", ALL)
def test_any_number_of_threads_gives_the_same_pixels(
    job: Filter, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_for(job, rng, (80, 37), 4).astype(np.float32)
    results = []
    for threads in ("1", "3", "1"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(job.module.apply(image, job.settings))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("job", ALL)
def test_a_wrong_number_of_axes_or_no_pixel_at_all_is_refused(job: Filter) -> None:
    with pytest.raises(InputError, match=f"works on {job.axes}; got"):
        job.module.apply(np.ones((2,) * (len(job.axes) + 1)), job.settings)
    with pytest.raises(InputError, match="is empty"):
        job.module.apply(np.ones((0,) * len(job.axes)), job.settings)


def test_windows_of_all_sizes_stay_inside_the_image(rng: np.random.Generator) -> None:
    image = rng.poisson(40, (6, 7)).astype(np.float32)
    for name in NAMES:
        fields = {field.name for field in dataclasses.fields(load_filter(name).Settings)}
        for option in sorted(fields & {"radius", "sigma", "width", "window", "size"}):
            large: Any = 21 if option in {"window", "size"} else 20.0
            try:
                settings = load_filter(name).Settings(**{option: large})
            except OptionError:
                continue
            if load_filter(name).AXES == "YX":
                assert np.isfinite(load_filter(name).apply(image, settings)).all(), name


def test_nothing_but_missing_pixels_is_an_error() -> None:
    with pytest.raises(InputError, match="none of the 9 pixels is finite"):
        filter_pixels(np.full((3, 3), np.nan), "median")


def test_infinite_pixels_and_float64_beyond_float32_are_missing_too() -> None:
    image = np.full((9, 9), 4.0)
    image[0, 0], image[8, 8] = np.inf, 1e300
    done = filter_pixels(image, "gaussian-blur")
    assert done.non_finite == 2
    np.testing.assert_array_equal(np.argwhere(np.isnan(done.pixels)), [[0, 0], [8, 8]])
    assert done.pixels[4, 4] == 4.0
    assert "2 of 81 pixels are NaN or infinite" in " ".join(done.notes)


def test_compiled_code_finds_a_place_where_nothing_else_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quietframe.kernels import settle_cache

    monkeypatch.setenv("NUMBA_CACHE_DIR", "restored after the test")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    settle_cache(tmp_path, "/nowhere")
    assert "NUMBA_CACHE_DIR" not in os.environ  # numba's own choice is right where it can write
    settle_cache(tmp_path / "missing", "/nowhere")
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0
