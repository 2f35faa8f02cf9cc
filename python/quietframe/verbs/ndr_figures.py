"""`quietframe ndr montage` and `ndr profile`: the figures of an exposure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..progress import Progress, silent
from .ndr import CameraOptions

__all__ = ["montage", "profile"]

_NO_OPTIONS = CameraOptions()


def montage(
    noisy: str,
    restored: str,
    out: Path,
    /,
    *,
    differences: str = "40,35,30,25,20,15,10,5,1",
    contrast: str = "common",
    names: str = "noisy,restored",
    crop: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw the sliced picture: strips of differences of several lengths, noisy above restored.

    NOISY and RESTORED are each an exposure (its differences from the first valid read on are made here), a stack with
    one frame per difference in their order, or a name with * in quotes that finds one file per difference, such as
    "noisy_D*.tif". Every image is divided by its difference, so that one light has one gray.

    Parameters
    ----------
    noisy
        What was measured.
    restored
        The same, denoised or fitted.
    out
        Picture to write (.png, .pdf, .svg).
    differences
        Sub-frames of each slice, from left to right.
    contrast
        common (black and white of the longest difference for all) or each (its own for every slice).
    names
        What the two rows are called, with a comma between.
    crop
        Show this part only: x,y,w,h.
    overwrite
        Replace OUT if it exists.
    """
    from ..ndr import montage as room
    from ..ndr.figures import check_format
    from ..outputs import atomic_output

    check_format(out)
    wanted, titles = room.parse_differences(differences), room.parse_names(names)
    with atomic_output(out, overwrite=overwrite) as partial:
        above, below = (room.load_slices(source, wanted).cropped(crop) for source in (noisy, restored))
        room.check_pair(above, below)
        room.draw(partial, above, below, contrast=contrast, names=titles)
    height, width = above.images.shape[1:]
    return {
        "out": str(out),
        "differences": list(wanted),
        "shape": [height, width],
        "contrast": contrast,
        "summary": [f"{out}: {len(wanted)} slices of {width} x {height} pixels, differences {differences}"],
    }


def profile(
    source: Path,
    out: Path,
    /,
    *,
    marks: str | None = None,
    row: int | None = None,
    region: str | None = None,
    axes: str | None = None,
    camera: Annotated[CameraOptions, Parameter(name="*")] = _NO_OPTIONS,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Draw how an exposure fills up: mean counts against the sub-frame, and a line profile at marked reads.

    Counts are taken since the first valid read: a single read also shows the reset noise of every pixel, which no
    difference has. They are in electrons where the gain is known, else in ADU.

    Parameters
    ----------
    source
        Exposure: a stack whose T axis counts the reads.
    out
        Picture to write (.png, .pdf, .svg).
    marks
        Reads to mark, from 1, e.g. 10,100,1000; by default four, evenly spread.
    row
        Row of the line profiles, from 0; by default through the brightest 17 x 17 square.
    region
        Where counts are averaged: an ImageJ .roi, or x,y,w,h; by default the whole image.
    axes
        Letters to use instead of the file's, e.g. TYX for a ramp that was saved as a z-stack.
    camera
        What is known of the camera.
    overwrite
        Replace OUT if it exists.
    """
    from ..ndr import profile as room
    from ..ndr.exposure import open_exposure
    from ..ndr.figures import check_format
    from ..outputs import atomic_output

    check_format(out)
    with (
        atomic_output(out, overwrite=overwrite) as partial,
        open_exposure(source, camera=camera.to_camera(), axes=axes) as exposure,
    ):
        drawn = room.make_profile(exposure, marks, row, region, progress=progress)
        room.draw(partial, drawn)
    return room.report(out, drawn)
