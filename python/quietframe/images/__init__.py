"""Images in and out: TIFF (ImageJ, OME and others), OME-Zarr, PNG, NPY; whole or plane by plane.

An image is an array, its axes (a string over ``STCZYX`` that always ends in YX) and what its file says of it:
micrometres per pixel, seconds per frame, ImageJ's Info and slice labels. They are kept from reading to writing, so that
a file written here opens in ImageJ with the same axes, and the other way round. Axes of length 1 other than Y and X are
not kept by files.

>>> import numpy as np, tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "reads.tif"
>>> image = Image(np.zeros((5, 32, 32)), "TYX", {"Y": 0.1, "X": 0.1}, 0.05, {"ndr.exposure": "E0001"})
>>> read_image(write_image(path, image)).axes
'TYX'
"""

from .image import Image, ImageMeta
from .reading import ImageReader, open_image, read_image, require_gray
from .writing import check_image, file_order, write_image, write_planes

__all__ = [
    "Image",
    "ImageMeta",
    "ImageReader",
    "check_image",
    "file_order",
    "open_image",
    "read_image",
    "require_gray",
    "write_image",
    "write_planes",
]
