"""export: write the model package of a training run again, with a card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import MissingExtraError
from ..progress import Progress, silent


def export(
    run: Path,
    out: Path,
    /,
    *,
    card: Path | None = None,
    overwrite: bool = False,
    progress: Annotated[Progress, Parameter(parse=False)] = silent,
) -> dict[str, Any]:
    """Write a training run as a model package for Fiji, deepImageJ, bioimageio.core and ONNX Runtime.

    Parameters
    ----------
    run
        Run folder that quietframe train made.
    out
        Package to write, a .zip.
    card
        Model card (YAML): name, authors, licence, citations, texts of the README. Without one the package says nothing
        in your name.
    overwrite
        Replace an existing package.
    """
    from ..outputs import check_output
    from .model import sizes_line

    check_output(out, overwrite=overwrite)
    try:
        from quietframe_export.card import Card, read_card
        from quietframe_export.package import write_package

        from ..training.checkpoint import load_trained
    except ModuleNotFoundError as error:
        raise MissingExtraError("exporting a model", str(error.name), "train") from None
    said = read_card(card) if card is not None else Card()
    result = write_package(load_trained(run), out, said, overwrite=overwrite, progress=progress)
    return {
        **result,
        "summary": [
            f"{result['package']}: {result['name']} ({result['id']}), {result['bytes'] / 1e6:.1f} MB",
            f"opset {result['opset']}, {sizes_line(result)}",
        ],
    }
