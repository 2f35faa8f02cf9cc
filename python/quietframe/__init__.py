"""Quietframe: denoising for microscopy, above all for non-destructive-readout exposures.

The verbs of the command line are functions of `quietframe.verbs`; the rooms below them (`quietframe.ndr`,
`quietframe.inference`, ...) take and give arrays. Importing this package imports neither of torch, onnxruntime,
scikit-image, dask or Java.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Camera", "Image", "QuietframeError", "__version__", "read_image", "write_image"]

_HOMES = {
    "Camera": "quietframe.camera",
    "Image": "quietframe.images",
    "QuietframeError": "quietframe.errors",
    "read_image": "quietframe.images",
    "write_image": "quietframe.images",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that ``import quietframe`` stays cheap."""
    if name == "__version__":
        from importlib.metadata import version

        return version("quietframe")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'quietframe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
