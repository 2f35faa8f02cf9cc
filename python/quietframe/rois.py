"""ImageJ regions of interest (.roi, RoiSet.zip) as masks with exactly ImageJ's own pixels.

A mean over a region is only the same number in Python and in ImageJ when the region holds the same pixels, so the rules
here are ImageJ's: an oval takes the pixels whose centres lie in the ellipse of its box; a polygon those whose centres
lie inside, a centre on a left or upper edge counting as outside and inside; curves are first broken into lines to
1/100 pixel; a point is the pixel it is in. Lines have no area and are refused, as are text, arrows and spline fits.

>>> mask = roi_mask(rectangle(2, 1, 3, 2), (5, 8))
>>> int(mask.sum()), bool(mask[1, 2])
(6, True)

References
----------
ImageJ 1.54p, ``ij.gui.Roi.getMask`` and its overrides, ``ij.process.PolygonFiller`` (public domain).
"""

from __future__ import annotations

import logging
import math
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError, OptionError

_CURVE_FLATNESS = 0.01  # pixel; how ImageJ breaks curves into lines before it fills them
_CURVE_DEPTH = 10  # halvings of one curve at most
_ELLIPSE_VERTICES = 72
_LARGEST_FILE = 64 << 20
_SUBPIXEL, _SPLINE = 128, 1  # bits of the options of a ROI file
_POINT_OF_SEGMENT = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}  # numbers behind move, line, quadratic, cubic, close


@dataclass(frozen=True)
class Roi:
    """One region.

    Parameters
    ----------
    name
        As in the ROI manager.
    kind
        ``rectangle``, ``oval``, ``polygon`` (all that is an outline) or ``point``.
    x, y, width, height
        Whole pixels of the box; what lies outside the box is not in the region.
    outline
        (n, 2) x and y from the box's corner, pixels, closed; several outlines separated by a row of NaN (even-odd).
        For points their pixels.
    """

    name: str
    kind: str
    x: int
    y: int
    width: int
    height: int
    outline: NDArray[np.float64] | None = None


def rectangle(x: int, y: int, width: int, height: int, name: str = "") -> Roi:
    """Return a rectangle of whole pixels, as ImageJ's ``makeRectangle(x, y, width, height)``.

    Raises
    ------
    OptionError
        When width or height is below 1.
    """
    if width < 1 or height < 1:
        raise OptionError(f"a rectangle needs width and height of at least 1; got {x},{y},{width},{height}")
    return Roi(name or f"{x},{y},{width},{height}", "rectangle", x, y, width, height)


def read_rois(path: str | os.PathLike[str]) -> list[Roi]:
    """Read all regions of a ``.roi`` file or of a ROI manager's ``.zip``.

    Raises
    ------
    InputError
        When the file is missing, holds no ROI, or a ROI that has no area (a line, text, an arrow).
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path} is too large for a ROI file ({path.stat().st_size} bytes)")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give an ImageJ .roi file, a RoiSet.zip, or x,y,w,h") from None
    if data.startswith(b"Iout"):
        return [_decode(data, path.stem, str(path))]
    if not data.startswith(b"PK"):
        raise InputError(f"{path} is no ImageJ ROI (it begins with {data[:4]!r}); give a .roi file or a RoiSet.zip")
    return _read_zip(path)


def _read_zip(path: Path) -> list[Roi]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".roi")]
            if sum(entry.file_size for entry in members) > _LARGEST_FILE:
                raise InputError(f"{path} says that it unpacks to more than {_LARGEST_FILE} bytes of ROIs")
            found = [(Path(entry.filename).stem, archive.read(entry)) for entry in members]
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path} is damaged ({error}); save the ROI set again") from None
    if not found:
        raise InputError(f"{path} holds no ROI; save a set with ImageJ's ROI manager (More > Save)")
    return [_decode(data, name, f"{path}, {name}") for name, data in found]


def _decode(data: bytes, name: str, source: str) -> Roi:
    """Make a region of one ROI's bytes."""
    import roifile

    logger = logging.getLogger("roifile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        stored = roifile.ImagejRoi.frombytes(data)
        return _region(stored, stored.name or name, source)
    except (InputError, OptionError):
        raise
    except Exception as error:  # roifile raises what damaged bytes lead to
        raise InputError(f"{source} is damaged ({type(error).__name__}: {error}); save the ROI again") from None
    finally:
        logger.setLevel(level)


def _region(stored: Any, name: str, source: str) -> Roi:
    kind, subtype = stored.roitype.name.lower(), stored.subtype.name.lower()
    if stored.shape_roi_size > 0:
        return _shape(name, _flat_path(np.asarray(stored.multi_coordinates, np.float32)), source)
    if subtype in {"text", "arrow", "image"}:
        raise InputError(f"{source} is {subtype}, which has no pixels of its own; draw an area")
    if kind in {"line", "polyline", "freeline", "angle"}:
        raise InputError(
            f"{source} is a line without area; use Edit > Selection > Line to Area in ImageJ, save it again"
        )
    if int(stored.options) & _SPLINE and kind != "rect":
        raise InputError(
            f"{source} is a spline fit; use Edit > Selection > Create Mask, Create Selection, save it again"
        )
    if kind in {"rect", "oval"}:
        return _box(stored, name, kind, source)
    if kind == "freehand" and subtype == "ellipse":
        return _ellipse(name, (stored.x1, stored.y1, stored.x2, stored.y2), _float_parameter(stored))
    if kind == "freehand" and subtype == "rotated_rect":
        return _rotated(name, (stored.x1, stored.y1, stored.x2, stored.y2), _float_parameter(stored))
    if kind in {"polygon", "freehand", "traced", "point"}:
        return _outline(stored, name, kind, source)
    raise InputError(f"{source} is of kind {kind}, which has no area; draw a rectangle, oval, polygon or freehand area")


def _float_parameter(stored: Any) -> float:
    """Return the aspect ratio or width that the bytes of arrow style, head size and corner hold as one float."""
    packed = (
        (int(stored.arrow_style_or_aspect_ratio) & 0xFF) << 24
        | (int(stored.arrow_head_size) & 0xFF) << 16
        | (int(stored.rounded_rect_arc_size) & 0xFFFF)
    )
    return float(np.uint32(packed).view(np.float32))


def _box(stored: Any, name: str, kind: str, source: str) -> Roi:
    if stored.subpixelrect:
        x, y = int(stored.xd), int(stored.yd)
        width, height = math.ceil(stored.widthd), math.ceil(stored.heightd)
    else:
        x, y, width, height = stored.left, stored.top, stored.right - stored.left, stored.bottom - stored.top
    if width < 1 or height < 1:
        raise InputError(f"{source} is empty: width {width}, height {height}")
    if kind == "oval":
        return Roi(name, "oval", x, y, width, height)
    if stored.rounded_rect_arc_size > 0:
        return _shape(name, _rounded(x, y, width, height, stored.rounded_rect_arc_size), source)
    return Roi(name, "rectangle", x, y, width, height)


def _outline(stored: Any, name: str, kind: str, source: str) -> Roi:
    if stored.subpixel_coordinates is not None:
        points = np.asarray(stored.subpixel_coordinates, np.float32).astype(np.float64)
    elif stored.integer_coordinates is not None:
        points = np.add(stored.integer_coordinates, (stored.left, stored.top), dtype=np.float64)
    else:
        points = np.empty((0, 2))
    if not len(points) or not np.isfinite(points).all():
        raise InputError(f"{source} holds no points")
    if kind == "point":
        return Roi(name, "point", 0, 0, 0, 0, np.floor(points + 0.5))
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    if len(points) < 3 or (low == high).any():
        raise InputError(f"{source} is empty: {len(points)} points in a box of {' x '.join(map(str, high - low))}")
    (x, y), (width, height) = low.astype(int).tolist(), (high - low).astype(int).tolist()
    return Roi(name, "polygon", x, y, width, height, points - low)


def _from_points(name: str, points: NDArray[np.float64]) -> Roi:
    """Make the region of an ellipse or a rotated rectangle; ImageJ rounds the far side of their box."""
    points = points.astype(np.float32).astype(np.float64)
    low = np.floor(points.min(axis=0))
    size = (points.max(axis=0) - low + 0.5).astype(int)
    relative = (points - low).astype(np.float32).astype(np.float64)
    return Roi(name, "polygon", int(low[0]), int(low[1]), int(size[0]), int(size[1]), relative)


def _ellipse(name: str, axis: tuple[float, float, float, float], aspect: float) -> Roi:
    """Make the 72 corners of ImageJ's ellipse from the ends of its major axis."""
    x1, y1, x2, y2 = axis
    major = math.hypot(x2 - x1, y2 - y1)
    tilt = math.atan2(y2 - y1, x2 - x1)
    turn = np.arange(_ELLIPSE_VERTICES) * (2 * math.pi / _ELLIPSE_VERTICES)
    along, across = np.cos(turn) * major / 2, np.sin(turn) * major * min(max(aspect, 0.0), 1.0) / 2
    angle, radius = np.arctan2(across, along) + tilt, np.hypot(along, across)
    points = np.stack([(x1 + x2) / 2 + np.cos(angle) * radius, (y1 + y2) / 2 + np.sin(angle) * radius], axis=1)
    return _from_points(name, points)


def _rotated(name: str, axis: tuple[float, float, float, float], width: float) -> Roi:
    x1, y1, x2, y2 = axis
    length = math.hypot(x2 - x1, y2 - y1)
    across = np.array([(y2 - y1), -(x2 - x1)]) * (0.5 * width / length)
    start, stop = np.array([x1, y1]), np.array([x2, y2])
    return _from_points(name, np.array([start + across, stop + across, stop - across, start - across]))


def _rounded(x: int, y: int, width: int, height: int, corner: int) -> list[NDArray[np.float64]]:
    """Return the outline of a rectangle whose corners are quarter ellipses of diameter `corner`."""
    across, down = min(width, corner), min(height, corner)
    # A cubic curve follows a quarter circle best with control points at this part of the radius from its ends.
    kappa = 4 / 3 * (math.sqrt(2) - 1)
    radius = np.array([across, down]) / 2
    corners = np.array([[x, y], [x, y + height], [x + width, y + height], [x + width, y]], np.float64)
    points: list[NDArray[np.float64]] = [corners[0] + [0, radius[1]]]
    for corner_point, start, stop in zip(
        corners[[1, 2, 3, 0]],
        ([0, -1], [-1, 0], [0, 1], [1, 0]),
        ([1, 0], [0, -1], [-1, 0], [0, 1]),
        strict=True,
    ):
        begin, end = corner_point + start * radius, corner_point + stop * radius
        points.append(begin)
        controls = (begin - np.array(start) * radius * kappa, end - np.array(stop) * radius * kappa)
        points += _flatten(np.array([begin, *controls, end]))
    return [np.array(points)]


def _flatten(curve: NDArray[np.float64], depth: int = 0) -> list[NDArray[np.float64]]:
    """Break a Bezier curve of 3 or 4 points into lines, halving until it is flat; its first point is left out."""
    begin, end = curve[0], curve[-1]
    if depth >= _CURVE_DEPTH or all(_distance(point, begin, end) < _CURVE_FLATNESS for point in curve[1:-1]):
        return [end]
    first, second, layer = [begin], [end], curve
    while len(layer) > 1:  # de Casteljau at the middle
        layer = (layer[:-1] + layer[1:]) / 2
        first.append(layer[0])
        second.insert(0, layer[-1])
    return _flatten(np.array(first), depth + 1) + _flatten(np.array(second), depth + 1)


def _distance(point: NDArray[np.float64], begin: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    """Return the distance of a point from a line segment."""
    along = end - begin
    squared = float(along @ along)
    part = 0.0 if squared == 0 else min(max(float((point - begin) @ along) / squared, 0.0), 1.0)
    return math.dist(point, begin + part * along)


def _flat_path(path: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Read the segments of a composite ROI (move, line, quadratic, cubic, close) into outlines of lines."""
    outlines: list[list[NDArray[np.float64]]] = []
    position = 0
    while position < len(path):
        segment = int(path[position])
        count = _POINT_OF_SEGMENT.get(segment)
        if count is None or position + 1 + count > len(path) or (segment and not outlines):
            raise InputError(f"segment {segment} at {position} of a composite ROI is not known; save it again")
        points = path[position + 1 : position + 1 + count].astype(np.float64).reshape(-1, 2)
        position += 1 + count
        if segment == 0:
            outlines.append([points[0]])
        elif segment == 1:
            outlines[-1].append(points[0])
        elif segment < 4:
            outlines[-1] += _flatten(np.vstack([outlines[-1][-1][None], points]))
    return [np.array(outline) for outline in outlines]


def _shape(name: str, outlines: list[NDArray[np.float64]], source: str) -> Roi:
    if not outlines or not all(np.isfinite(outline).all() for outline in outlines):
        raise InputError(f"{source} holds no points")
    points = np.vstack(outlines)
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    gap = np.full((1, 2), np.nan)
    joined = np.vstack([row for outline in outlines for row in (outline - low, gap)][:-1])
    size = (high - low).astype(int)
    relative = joined.astype(np.float32).astype(np.float64)
    return Roi(name, "polygon", int(low[0]), int(low[1]), int(size[0]), int(size[1]), relative)


def roi_mask(roi: Roi, shape_yx: Sequence[int]) -> NDArray[np.bool_]:
    """Return ImageJ's pixels of a region in an image of shape (Y, X); what lies outside the image is cut.

    Returns
    -------
    ndarray of bool, shape (Y, X)

    Raises
    ------
    InputError
        When no pixel of the region lies in the image.
    """
    height, width = int(shape_yx[0]), int(shape_yx[1])
    mask = np.zeros((height, width), dtype=np.bool_)
    if roi.kind == "point" and roi.outline is not None:
        inside = ((roi.outline >= 0) & (roi.outline < (width, height))).all(axis=1)
        columns, rows = roi.outline[inside].astype(int).T
        mask[rows, columns] = True
    else:
        # Only rows and columns that the image has are made: a ROI file can announce any size.
        rows = np.arange(max(roi.y, 0), min(roi.y + roi.height, height)) - roi.y
        columns = np.arange(max(roi.x, 0), min(roi.x + roi.width, width)) - roi.x
        if len(rows) and len(columns):
            part = _filled(roi, rows, columns)
            mask[rows[0] + roi.y : rows[-1] + roi.y + 1, columns[0] + roi.x : columns[-1] + roi.x + 1] = part
    if not mask.any():
        box = f"x {roi.x} to {roi.x + roi.width - 1}, y {roi.y} to {roi.y + roi.height - 1}"
        where = "its points" if roi.kind == "point" else box
        raise InputError(
            f"region {roi.name!r} has no pixel in the image of {width} x {height} ({where}); draw it inside the image"
        )
    return mask


def _filled(roi: Roi, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Return which of the pixels rows x columns, counted from the box's corner, are in the region."""
    if roi.kind == "rectangle":
        return np.ones((len(rows), len(columns)), dtype=np.bool_)
    if roi.kind == "oval":
        across, down = roi.width / 2, roi.height / 2
        in_x, in_y = (columns - (across - 0.5)) ** 2 / across**2, (rows - (down - 0.5)) ** 2 / down**2
        oval: NDArray[np.bool_] = in_x[None, :] + in_y[:, None] <= 1.0
        return oval
    return _filled_polygon(roi, rows, columns)


def _filled_polygon(roi: Roi, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Fill by lines: in each row, pixels between an odd and the next even crossing of an edge."""
    assert roi.outline is not None
    crossings = np.zeros((len(rows), len(columns) + 1), dtype=np.int64)
    gaps = np.flatnonzero(np.isnan(roi.outline[:, 0]))
    for outline in np.split(roi.outline, gaps):
        points = outline[~np.isnan(outline[:, 0])]
        for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
            top, bottom = math.floor(y1 + 0.5), math.floor(y2 + 0.5)
            if top == bottom:
                continue
            slope = (x2 - x1) / (y2 - y1)
            # Where the edge crosses the middle of row `top`; the small part moves centres on an edge out of doubt.
            at_top = x1 + (top - y1 + 0.5) * slope + 1e-8
            if top > bottom:
                at_top, top, bottom = x2 + (bottom - y2 + 0.5) * slope + 1e-8, bottom, top
            first, last = np.searchsorted(rows, [top, bottom])
            x = at_top + (rows[first:last] - top) * slope
            column = np.clip(np.floor(x + 0.5), 0, roi.width) - columns[0]
            np.add.at(crossings, (np.arange(first, last), np.clip(column, 0, len(columns)).astype(int)), 1)
    inside: NDArray[np.bool_] = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
    return inside


def masks_from(spec: str | os.PathLike[str], shape_yx: Sequence[int]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return name and mask of every region that `spec` names.

    Parameters
    ----------
    spec
        A ``.roi`` file, a ``RoiSet.zip``, or a rectangle as text ``x,y,w,h`` (pixels; as ImageJ's ``makeRectangle``).
    shape_yx
        Shape (Y, X) of the image.

    Raises
    ------
    InputError
        When the file is no ROI file, or a region has no pixel in the image.
    OptionError
        When the text is no rectangle.
    """
    text = os.fspath(spec)
    if re.fullmatch(r"\s*-?[\d.]+\s*(,\s*-?[\d.]+\s*)+", text):
        numbers = text.split(",")
        if len(numbers) != 4 or not all(re.fullmatch(r"\s*-?\d+\s*", number) for number in numbers):
            raise OptionError(f"region {text!r}: a rectangle is four whole numbers x,y,w,h, e.g. 10,20,32,32")
        x, y, width, height = map(int, numbers)
        rois = [rectangle(x, y, width, height)]
    else:
        rois = read_rois(text)
    return [(roi.name, roi_mask(roi, shape_yx)) for roi in rois]


def mask_from(spec: str | os.PathLike[str], shape_yx: Sequence[int]) -> NDArray[np.bool_]:
    """Return the mask of the one region that `spec` names; see `masks_from`.

    Raises
    ------
    InputError
        When a RoiSet.zip holds more than one region.
    """
    masks = masks_from(spec, shape_yx)
    if len(masks) != 1:
        names = ", ".join(repr(name) for name, _ in masks[:5])
        raise InputError(f"{os.fspath(spec)} holds {len(masks)} regions ({names}); give a file with one")
    return masks[0][1]
