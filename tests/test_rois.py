"""Regions: what the files hold, closed-form masks, and what is refused. Pixels of every kind: tests/fiji."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe.errors import InputError, OptionError
from quietframe.rois import Roi, mask_from, masks_from, read_rois, rectangle, roi_mask

SHAPE = (240, 320)


def read_roi_json(path: Path) -> dict[str, Any]:
    return next(iter(json.loads(path.read_text()).values()))


@pytest.mark.parametrize("name", ["rectangle", "oval", "oval-left", "oval-top"])
def test_boxes_are_those_of_the_json_truth(name: str, data_dir: Path) -> None:
    folder = data_dir / "roi" / "read-roi"
    truth = read_roi_json(folder / f"{name}.json")
    (roi,) = read_rois(folder / f"{name}.roi")
    assert (roi.x, roi.y, roi.width, roi.height) == tuple(truth[key] for key in ("left", "top", "width", "height"))
    assert roi.kind == truth["type"]


@pytest.mark.parametrize("name", ["polygon", "polygon-left", "polygon-top", "freehand"])
def test_outlines_are_those_of_the_json_truth(name: str, data_dir: Path) -> None:
    folder = data_dir / "roi" / "read-roi"
    truth = read_roi_json(folder / f"{name}.json")
    (roi,) = read_rois(folder / f"{name}.roi")
    assert roi.outline is not None
    # read-roi leaves negative corners as they are stored: relative to the box.
    expected = np.stack([truth["x"], truth["y"]], axis=1) - np.min([truth["x"], truth["y"]], axis=1)
    assert np.array_equal(roi.outline, expected)


@pytest.mark.parametrize("name", ["point", "multipoint"])
def test_points_are_the_pixels_of_the_json_truth(name: str, data_dir: Path) -> None:
    folder = data_dir / "roi" / "read-roi"
    truth = read_roi_json(folder / f"{name}.json")
    expected = np.zeros(SHAPE, bool)
    expected[np.floor(np.array(truth["y"]) + 0.5).astype(int), np.floor(np.array(truth["x"]) + 0.5).astype(int)] = True
    assert np.array_equal(mask_from(folder / f"{name}.roi", SHAPE), expected)


def test_a_roi_set_gives_every_region_with_its_name(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "roi" / "read-roi"
    archive = tmp_path / "RoiSet.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for name in ("rectangle", "oval", "polygon"):
            target.write(folder / f"{name}.roi", f"{name}.roi")
    masks = masks_from(archive, SHAPE)
    assert [name for name, _ in masks] == ["rectangle", "oval", "polygon"]
    for name, mask in masks:
        assert np.array_equal(mask, mask_from(folder / f"{name}.roi", SHAPE))
    with pytest.raises(InputError, match=r"holds 3 regions \('rectangle', 'oval', 'polygon'\); give a file with one"):
        mask_from(archive, SHAPE)


def test_a_line_in_a_roi_set_is_refused_by_its_name(data_dir: Path) -> None:
    with pytest.raises(InputError, match=r"roiset_packed_by_us.zip, line.* is a line without area"):
        read_rois(data_dir / "roi" / "roiset_packed_by_us.zip")


BOXES = st.tuples(st.integers(-5, 25), st.integers(-5, 25), st.integers(1, 20), st.integers(1, 20))


@given(BOXES)
@settings(max_examples=40, deadline=None)
def test_rectangles_and_their_text_are_array_slices(box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    expected = np.zeros((20, 22), bool)
    expected[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    if not expected.any():
        with pytest.raises(InputError, match="has no pixel in the image of 22 x 20"):
            roi_mask(rectangle(x, y, width, height), expected.shape)
        return
    assert np.array_equal(roi_mask(rectangle(x, y, width, height), expected.shape), expected)
    ((name, mask),) = masks_from(f"{x},{y}, {width} ,{height}", expected.shape)
    assert np.array_equal(mask, expected)
    assert name == f"{x},{y},{width},{height}"


@given(BOXES)
@settings(max_examples=40, deadline=None)
def test_an_oval_holds_the_pixels_whose_centres_are_in_its_ellipse(box: tuple[int, int, int, int]) -> None:
    x, y, width, height = box
    rows, columns = np.mgrid[:60, :60] + 0.5
    distance = ((columns - x - width / 2) / (width / 2)) ** 2 + ((rows - y - height / 2) / (height / 2)) ** 2
    if not (distance <= 1).any():
        return
    mask = roi_mask(Roi("", "oval", x, y, width, height), (60, 60))
    certain = np.abs(distance - 1) > 1e-9  # a centre exactly on the ellipse is in, as far as numbers are exact
    assert np.array_equal(mask[certain], (distance <= 1)[certain])


def winding_parity(points: np.ndarray, y: float, x: float) -> bool:
    """Even-odd rule by a ray to the right, edge by edge."""
    inside = False
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            inside = not inside
    return inside


@given(st.integers(0, 2**32 - 1), st.integers(3, 9))
@settings(max_examples=15, deadline=None)
def test_a_polygon_holds_the_pixels_whose_centres_are_inside(seed: int, corners: int) -> None:
    # Whole corners: no centre of a pixel is level with one, and the brute force has one answer.
    points = np.random.default_rng(seed).integers(-6, 26, (corners, 2)).astype(float)
    expected = np.zeros((20, 20), bool)
    for y, x in np.ndindex(20, 20):
        # ImageJ counts a centre that lies on a left edge as outside, on a right edge as inside.
        expected[y, x] = winding_parity(points, y + 0.5, x + 0.5 - 1e-7)
    if not expected.any():
        return
    low = points.min(axis=0)
    size = (points.max(axis=0) - low).astype(int)
    roi = Roi("", "polygon", int(low[0]), int(low[1]), int(size[0]), int(size[1]), points - low)
    assert np.array_equal(roi_mask(roi, (20, 20)), expected)


def encoded(**fields: Any) -> bytes:
    roi = roifile.ImagejRoi()
    for key, value in {"top": 2, "left": 3, "bottom": 9, "right": 12, **fields}.items():
        setattr(roi, key, value)
    return roi.tobytes()


RECT, LINE, TYPES, SUBTYPES = (
    roifile.ROI_TYPE.RECT, roifile.ROI_TYPE.LINE, roifile.ROI_TYPE, roifile.ROI_SUBTYPE,
)  # fmt: skip
BAD = [
    ("a.roi", b"", "is no ImageJ ROI"),
    ("a.roi", b"Iout", "is damaged"),
    ("a.roi", b"II*\0 this is a TIFF", r"is no ImageJ ROI \(it begins with b'II"),
    ("a.roi", encoded(roitype=RECT)[:40], "is damaged"),
    ("a.roi", encoded(roitype=LINE), "is a line without area; use Edit > Selection > Line to Area"),
    ("a.roi", encoded(roitype=TYPES.NOROI), "is of kind noroi, which has no area"),
    ("a.roi", encoded(roitype=RECT, right=3), "is empty: width 0, height 7"),
    ("a.roi", encoded(roitype=RECT, subtype=SUBTYPES.TEXT), "is text, which has no pixels|damaged"),
    ("a.zip", b"PK\x03\x04 no zip", "is damaged"),
]


@pytest.mark.parametrize("name, content, words", BAD, ids=[row[2] for row in BAD])
def test_a_bad_roi_file_is_one_error_with_its_name(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_rois(path)
    assert name in str(caught.value)


def test_regions_that_are_none_say_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file.*give an ImageJ .roi file, a RoiSet.zip, or x,y,w,h"):
        masks_from(tmp_path / "none.roi", SHAPE)
    for text in ("1,2,3", "1,2,3,4,5", "1.5,2,3,4"):
        with pytest.raises(OptionError, match=r"a rectangle is four whole numbers x,y,w,h, e.g. 10,20,32,32"):
            masks_from(text, SHAPE)
    with pytest.raises(OptionError, match="width and height of at least 1; got 1,2,0,4"):
        masks_from("1,2,0,4", SHAPE)
    with pytest.raises(InputError, match=r"no pixel in the image of 320 x 240 \(x 400 to 409, y 0 to 9\)"):
        masks_from("400,0,10,10", SHAPE)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    (tmp_path / "empty.zip").write_bytes(b"PK\x05\x06" + b"\0" * 18)
    with pytest.raises(InputError, match="holds no ROI; save a set with ImageJ's ROI manager"):
        read_rois(tmp_path / "empty.zip")


def test_a_region_far_larger_than_the_image_costs_only_the_image() -> None:
    mask = roi_mask(Roi("", "oval", -(10**6), -(10**6), 2 * 10**6, 2 * 10**6), (50, 60))
    assert mask.all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_damaged_roi_bytes_give_a_region_or_an_error(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(roifile.ImagejRoi.frompoints(rng.integers(0, 30, (8, 2))).tobytes())
    for position in rng.integers(4, len(data), 3):
        data[position] = rng.integers(256)
    path = tmp_path_factory.getbasetemp() / "damaged.roi"
    path.write_bytes(bytes(data))
    # Any other exception fails the test.
    with contextlib.suppress(InputError):
        assert roi_mask(read_rois(path)[0], (40, 40)).any()
