"""`quietframe info`: what an image file holds, and whether something in it will give trouble."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..camera import PREFIX, Camera
from ..errors import QuietframeError
from ..progress import Progress, silent

if TYPE_CHECKING:
    from ..images import ImageReader
    from ..metrics.overview import Overview


def info(
    file: Path, *, axes: str | None = None, progress: Annotated[Progress, Parameter(parse=False)] = silent
) -> dict[str, Any]:
    """Show axes, shape, type, calibration, NDR keys, saturation and a noise estimate of an image.

    All pixels are read, plane by plane.

    Parameters
    ----------
    file
        TIFF (ImageJ, OME and others), PNG or NPY.
    axes
        Axes to use instead of the file's: letters of STCZYX ending in YX, e.g. TYX.
    progress
        Told after every plane.

    Returns
    -------
    dict
        axes, shape, dtype, n_planes, pixel_size_um, frame_interval_s, ndr, info,
        n_labels, minimum, maximum, mean, saturation_level, saturated_fraction, noise_sigma,
        noise_method, n_nan, n_infinite, remarks, warnings.
    """
    from ..images import open_image
    from ..metrics.overview import overview

    with open_image(file, axes=axes) as image:
        found = overview(_reported(image, progress))
        ndr = {key: text for key, text in image.info.items() if key.startswith(PREFIX)}
        warnings = _warnings(found, ndr, str(file))
        result: dict[str, Any] = {
            "file": str(file),
            "axes": image.axes,
            "shape": list(image.shape),
            "dtype": str(image.dtype),
            "n_planes": image.n_planes,
            "pixel_size_um": dict(image.pixel_size_um),
            "frame_interval_s": image.frame_interval_s,
            "ndr": ndr,
            "info": dict(image.info),
            "n_labels": len(image.labels),
            "minimum": found.minimum,
            "maximum": found.maximum,
            "mean": found.mean,
            "saturation_level": found.saturation_level,
            "saturated_fraction": found.saturated_fraction,
            "noise_sigma": found.noise_sigma,
            "noise_method": "Immerkaer 1996, white noise assumed, median of the first planes",
            "n_noise_planes": found.n_noise_planes,
            "n_nan": found.n_nan,
            "n_infinite": found.n_infinite,
            "remarks": list(image.remarks),
            "warnings": warnings,
        }
    result["summary"] = _summary(result)
    return result


def _reported(image: ImageReader, progress: Progress) -> Iterator[Any]:
    for number, plane in enumerate(image.planes(), 1):
        yield plane
        progress("reading", number, image.n_planes)


def _warnings(found: Overview, ndr: Mapping[str, str], file: str) -> list[str]:
    """Name what later steps would stumble over."""
    warnings = []
    if found.n_nan or found.n_infinite:
        warnings.append(f"{found.n_nan} pixels are NaN and {found.n_infinite} infinite: most commands refuse them")
    if found.minimum is None:
        warnings.append("no pixel holds a number")
    elif found.minimum == found.maximum:
        warnings.append(f"all pixels have the value {found.minimum:g}: there is nothing to denoise")
    if found.saturated_fraction > 0:
        warnings.append(
            f"{found.saturated_fraction:.3%} of the pixels are at {found.saturation_level}: they may be saturated"
        )
    try:
        Camera.from_mapping(ndr, source=file, prefix=PREFIX)
    except QuietframeError as error:
        warnings.append(str(error))
    return warnings


def _summary(result: Mapping[str, Any]) -> list[str]:
    """Return the lines a person reads."""
    size = " x ".join(f"{letter} {length}" for letter, length in zip(result["axes"], result["shape"], strict=True))
    pixel = ", ".join(f"{axis} {value:.6g} um" for axis, value in sorted(result["pixel_size_um"].items()))
    interval = result["frame_interval_s"]
    lines = [
        f"{result['file']}",
        f"axes      {size}, {result['dtype']}, planes: {result['n_planes']}",
        f"pixel     {pixel or 'size unknown'}; frame interval {'unknown' if interval is None else f'{interval:g} s'}",
    ]
    if result["minimum"] is not None:
        lines.append(f"values    {result['minimum']:g} to {result['maximum']:g}, mean {result['mean']:.6g}")
    if result["noise_sigma"] is not None:
        lines.append(f"noise     sigma about {result['noise_sigma']:.4g} ({result['noise_method']})")
    lines += [f"exposure  {key} = {text}" for key, text in result["ndr"].items()]
    lines += [f"note      {remark}" for remark in result["remarks"]]
    return lines + [f"warning   {warning}" for warning in result["warnings"]]
