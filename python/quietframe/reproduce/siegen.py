"""The classical columns of a student report from Siegen: median, Gaussian, box and Box3D beside learned denoisers.

Its recipe has two halves: a clean picture with Gaussian noise of standard deviation 100 added, and a noisy picture with
its ground truth. Scores are PSNR, NRMSE and SSIM against the truth. What width its filters had is not known, so every
filter gets the candidates of its own grid, and the best PSNR against the truth counts: each column is the most that the
filter can reach, as a peer should be shown. Box3D averages over planes, too, and so sees more data than the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..filtering.run import filter_pixels
from ..filters import load_filter
from ..images import read_image
from ..metrics.reference import default_data_range, score_plane
from ..progress import Progress, silent

NOISE_SIGMA = 100.0
"""Standard deviation of the noise that is added to the clean picture [ADU]."""

FILTERS = {"median": "median", "gaussian": "gaussian_blur", "box": "box", "box3d": "box_3d"}
"""Columns of the table -> our filters."""

SETS = (
    "Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "TwoPhoton_MICE", "WideField_BPAE_B",
    "WideField_BPAE_G",
)  # fmt: skip
_SEED = 20260101
_PLANES = 9


@dataclass(frozen=True)
class Scene:
    """A noisy stack with the truth of one of its planes.

    Parameters
    ----------
    name
        As the tables and the file of published figures call it.
    noisy
        Planes (Z, Y, X), float32; repeats of one scene count as planes.
    truth
        Plane (Y, X).
    plane
        Number of the noisy plane that the truth belongs to, from 0.
    data_range
        Peak of the PSNR, in the unit of the pixels.
    made_of
        Where it comes from.
    """

    name: str
    noisy: NDArray[np.float32]
    truth: NDArray[Any]
    plane: int
    data_range: float
    made_of: str


@dataclass(frozen=True)
class Row:
    """What a filter reaches on a scene, with the settings that reach it; ``noisy`` for the input itself."""

    scene: str
    filter: str
    settings: dict[str, Any]
    psnr: float
    nrmse: float
    ssim: float
    result: NDArray[Any]


def scenes(data: Path | None) -> list[Scene]:
    """Return the scenes that there is data for; without data both halves on scikit-image's own picture of a cell.

    Parameters
    ----------
    data
        Folder with ``misc/cells3d_nuclei.tif`` and ``fmd/``, as far as they are there.
    """
    stack = data / "misc" / "cells3d_nuclei.tif" if data else None
    if stack is not None and stack.is_file():
        # As 12-bit counts: against the 65536 of the file, noise of 100 would be nothing.
        clean = np.asarray(read_image(stack).array, np.float32) / np.float32(16)
        middle = len(clean) // 2
        clean = clean[middle - _PLANES // 2 : middle + _PLANES // 2 + 1]
        first = _with_noise(clean, "z-stack of nuclei (cells3d) / 16, which are 12-bit counts")
    else:
        first = _with_noise(np.stack([16 * _cell()] * _PLANES), "scikit-image's cell x 16, repeated")
    pairs = [] if data is None else [_pair(data / "fmd", name) for name in SETS if _files(data / "fmd", name)]
    return [first, *(pairs or [_simulated_pair()])]


def run(given: Sequence[Scene], progress: Progress = silent) -> list[Row]:
    """Filter every scene with every candidate of every filter, and keep the best PSNR of each.

    Parameters
    ----------
    given
        As `scenes` returns them.
    """
    rows = []
    for done, scene in enumerate(given):
        progress("filtering", done, len(given))
        rows.append(_row(scene, "noisy", {}, scene.noisy[scene.plane]))
        rows += [best(scene, column) for column in FILTERS]
    progress("filtering", len(given), len(given))
    return rows


def best(scene: Scene, column: str) -> Row:
    """Return the best that a filter's candidates reach on a scene."""
    name = FILTERS[column]
    module = load_filter(name)
    candidates = [dict(zip(module.GRID, values, strict=True)) for values in itertools.product(*module.GRID.values())]
    rows = []
    for settings in candidates:
        if module.AXES == "YX":
            result = filter_pixels(scene.noisy[scene.plane], name, settings).pixels
        else:
            result = filter_pixels(scene.noisy, name, settings).pixels[scene.plane]
        rows.append(_row(scene, column, settings, result))
    return max(rows, key=lambda row: row.psnr)


def _row(scene: Scene, column: str, settings: dict[str, Any], result: NDArray[Any]) -> Row:
    scores = score_plane(scene.truth, result, scene.data_range)
    return Row(scene.name, column, settings, scores.psnr, scores.nrmse, scores.ssim, result)


def _with_noise(clean: NDArray[np.float32], made_of: str) -> Scene:
    noise = np.random.default_rng(_SEED).normal(0.0, NOISE_SIGMA, clean.shape)
    middle = len(clean) // 2
    truth = clean[middle]
    noisy = (clean + noise).astype(np.float32)
    return Scene(f"gaussian-{NOISE_SIGMA:g}", noisy, truth, middle, default_data_range(truth), made_of)


def _cell() -> NDArray[np.float32]:
    from skimage import data

    return np.asarray(data.cell(), np.float32)[100:356, 100:356]


def _simulated_pair() -> Scene:
    truth = _cell()
    rng = np.random.default_rng(_SEED)
    noisy = np.stack([4.0 * rng.poisson(truth / 4.0) + rng.normal(0.0, 4.0, truth.shape) for _ in range(4)])
    return Scene("simulated-pair", noisy.astype(np.float32), truth, 0, 255.0, "scikit-image's cell, simulated photons")


def _files(folder: Path, name: str) -> list[Path]:
    raws = [path for path in (folder / f"{name}_raw{number}.png" for number in (1, 2, 3, 4)) if path.is_file()]
    return raws if raws and (folder / f"{name}_gt.png").is_file() else []


def _pair(folder: Path, name: str) -> Scene:
    """Read a noisy/GT pair; the repeats beside the first one are what Box3D sees as planes."""
    raws = _files(folder, name)
    noisy = np.stack([read_image(path).array.astype(np.float32) for path in raws])
    truth = read_image(folder / f"{name}_gt.png").array
    return Scene(name, noisy, truth, 0, 255.0, f"{len(raws)} repeats and their ground truth")
