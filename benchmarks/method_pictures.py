"""Draw the picture of every method's page: noisy | denoised | truth of a micrograph behind a simulated camera.

The micrograph is the second channel of ``xyc_16bit__cell_dna_mts_actin.tif`` (NEUBIAS training resources, CC BY 4.0; in
the data folder, ``QUIETFRAME_DATA``). The noise is simulated, so the truth is known: photons (at most 60 a pixel), read
noise of 2, offset 100. Small nets and short runs, so that all pictures take minutes: what a method reaches is in the
other benchmarks. Writes ``docs/images/methods/NAME.png`` and ``results/method_pictures.json``.

    python benchmarks/method_pictures.py [--methods n2v n2v2] [--steps 100]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from scipy import ndimage

from quietframe.images import Image, read_image, write_image
from quietframe.methods import method_names
from quietframe.metrics.reference import psnr
from quietframe.verbs.denoise import denoise
from quietframe.verbs.train import make_command
from quietframe.verbs.train_options import method_options

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("QUIETFRAME_DATA", HERE.parent.parent / "shared" / "data"))
SECOND = {"care_laplace": "uncertainty", "psf_blind_spot": "deconvolved"}


def truths() -> tuple[np.ndarray, np.ndarray]:
    """Return two places in photons: one to learn from, where clean pictures or repeats are needed, and one to show."""
    picture = read_image(DATA / "neubias" / "xyc_16bit__cell_dna_mts_actin.tif").array[1].astype(np.float64)
    low, high = np.percentile(picture, (1, 99.8))
    photons = 4 + 56 * np.clip((picture - low) / (high - low), 0, 1)
    return photons[:, 240:], photons


def noisy(truth: np.ndarray, seed: int, correlated: bool = False) -> np.ndarray:
    """Return what the camera makes of the photons."""
    rng = np.random.default_rng(seed)
    if not correlated:
        return (100 + rng.poisson(truth) + rng.normal(0, 2, truth.shape)).astype(np.float32)
    noise = ndimage.uniform_filter1d(rng.normal(0, 1, truth.shape), 3, axis=1) * np.sqrt(3)
    return (100 + truth + noise * np.sqrt(truth + 4)).astype(np.float32)


def files(method: str, folder: Path) -> tuple[list[Path], dict[str, Any], np.ndarray]:
    """Write what a method learns from and the picture to denoise; return sources, options and the truth."""
    train, show = truths()
    if method == "psf_blind_spot":
        train, show = (ndimage.gaussian_filter(place, 1.0) for place in (train, show))
    correlated = method == "struct_n2v"
    write_image(folder / "show.tif", Image(noisy(show, 7, correlated), "YX"))
    if method_options(method).data == "pairs":
        write_image(folder / "train.tif", Image(noisy(train, 3), "YX"))
        write_image(folder / "clean.tif", Image((100 + train).astype(np.float32), "YX"))
        return [folder / "train.tif"], {"target": [folder / "clean.tif"]}, 100 + show
    if method_options(method).data == "repeats":
        stack = np.stack([noisy(train, seed) for seed in (3, 4)])
        write_image(folder / "train.tif", Image(stack, "TYX"))
        return [folder / "train.tif"], {}, 100 + show
    return [folder / "show.tif"], {}, 100 + show


def picture(panels: list[np.ndarray], truth: np.ndarray) -> bytes:
    """Put panels side by side in the contrast of the truth, what most differs from a plane in the middle of each."""
    low, high = np.percentile(truth, (0.5, 99.8))
    gap = np.full((176, 6), 255, np.uint8)
    parts: list[np.ndarray] = []
    for panel in panels:
        cut = panel[70:246, 60:236]
        parts += [(np.clip((cut - low) / (high - low), 0, 1) * 255).astype(np.uint8), gap]
    return bytes(imagecodecs.png_encode(np.hstack(parts[:-1]), level=9))


def draw(method: str, steps: int) -> dict[str, float]:
    """Train a method, draw its picture, and return what it reached."""
    usual = method_options(method)
    settings = replace(usual.settings, filters=16)
    if method == "psf_blind_spot":
        settings = replace(settings, psf_px=1.0, black_adu=100.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources, options, truth = files(method, folder)
        schedule = replace(usual.schedule, steps=steps, batch_size=8)
        done = make_command(method)(sources, out=folder / "run", settings=settings, schedule=schedule, **options)
        second = {SECOND[method]: folder / "second.tif"} if method in SECOND else {}
        denoise(folder / "show.tif", folder / "out.tif", model=folder / "run" / "model.zip", provider="cpu", **second)
        shown = [read_image(folder / file).array for file in ("show.tif", "out.tif")]
        more = [read_image(folder / "second.tif").array] if second else []
    extent = float(np.ptp(truth))
    reached = {key: float(psnr(truth, each, extent)) for key, each in zip(("noisy", "denoised"), shown, strict=True)}
    if method == "care_laplace":
        more = [truth.min() + extent * more[0] / np.percentile(more[0], 99.5)]
    out = HERE.parent / "docs" / "images" / "methods" / f"{method}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(picture([*shown, *more, truth], truth))
    return {**reached, "steps": steps, "seconds": done["seconds"]}


def main() -> None:
    """Draw the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=method_names())
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    path = HERE / "results" / "method_pictures.json"
    for method in given.methods:
        reached = draw(method, given.steps)
        print(method, reached, flush=True)
        found = {**(json.loads(path.read_text()) if path.is_file() else {}), method: reached}
        path.write_text(json.dumps(dict(sorted(found.items())), indent=2) + "\n")


if __name__ == "__main__":
    main()
