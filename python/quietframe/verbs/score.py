"""`quietframe score`: how far a result is from the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import InputError
from ..progress import Progress, silent

NAMES = ("psnr", "psnr_affine", "nrmse", "ssim")


def score(
    result: Path,
    /,
    *,
    truth: Path,
    data_range: float | None = None,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Score a result against its truth: PSNR, PSNR after the best affine match, NRMSE, SSIM, frame by frame.

    PSNR and SSIM need a data range (the peak). Unless one is given it is P99.9 - P0.1 of the whole truth, and the
    output names it: numbers with different data ranges cannot be compared. NRMSE is ||result - truth|| / ||truth||.

    Parameters
    ----------
    result
        The picture or stack to score.
    truth
        The truth: same axes, shape and unit.
    data_range
        The peak, in the pictures' unit, e.g. 255.

    Returns
    -------
    dict
        psnr, psnr_affine, nrmse, ssim (means over the frames), frames (the same for each, from 1),
        data_range, data_range_from, result, truth, axes, shape.

    Raises
    ------
    InputError
        When a file cannot be read, is a colour picture, axes or shapes differ, a pixel is not finite, the truth is
        constant (and no data range given) or zero everywhere, or the planes are smaller than 11 x 11 pixels.
    """
    from ..images import read_image, require_gray
    from ..metrics.reference import default_data_range

    image, reference = read_image(result), read_image(truth)
    require_gray(image, result, axes_option=False)
    require_gray(reference, truth, axes_option=False)
    if (image.axes, image.array.shape) != (reference.axes, reference.array.shape):
        raise InputError(
            f"{result} has axes {image.axes}, shape {image.array.shape}; the truth {truth} has axes {reference.axes}, "
            f"shape {reference.array.shape}; they must be equal"
        )
    peak = default_data_range(reference.array) if data_range is None else data_range
    frames = _score_frames(reference.array, image.array, peak, progress)
    means = {name: sum(frame[name] for frame in frames) / len(frames) for name in NAMES}
    source = "P99.9 - P0.1 of the truth" if data_range is None else "given"
    return {
        **means,
        "data_range": peak,
        "data_range_from": source,
        "frames": frames,
        "result": str(result),
        "truth": str(truth),
        "axes": image.axes,
        "shape": list(image.array.shape),
        "summary": _summary(means, len(frames), peak, source),
    }


def _score_frames(truth: Any, image: Any, peak: float, progress: Progress) -> list[dict[str, Any]]:
    """Score every plane of two arrays of one shape; frames count from 1."""
    from dataclasses import asdict

    from ..metrics.reference import score_plane

    planes = list(zip(*(array.reshape(-1, *array.shape[-2:]) for array in (truth, image)), strict=True))
    frames = []
    for number, (expected, given) in enumerate(planes, start=1):
        frames.append({"frame": number, **asdict(score_plane(expected, given, peak))})
        progress("scoring", number, len(planes))
    return frames


def _summary(means: dict[str, float], n_frames: int, peak: float, source: str) -> list[str]:
    over = f", mean of {n_frames} frames" if n_frames > 1 else ""
    return [
        f"PSNR         {means['psnr']:.2f} dB{over} (data range {peak:g}: {source})",
        f"PSNR affine  {means['psnr_affine']:.2f} dB (after the best a * x + b)",
        f"NRMSE        {means['nrmse']:.4f} (|result - truth| / |truth|)",
        f"SSIM         {means['ssim']:.4f} (Gaussian window, sigma 1.5)",
    ]
