"""Write a simulated exposure and its truth, read by read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OptionError
from ..images import Image, ImageMeta, ImageReader, open_image, require_gray, write_image, write_planes
from ..outputs import check_output
from ..progress import Progress, silent
from .results import made_by
from .scene import draw_scene
from .simulate import Simulation, Truth, scene_from_image
from .simulated_camera import SimulatedCamera

USUAL_SIZE = 512
"""Edge of a drawn scene [px]."""


@dataclass(frozen=True)
class SimulatedPaths:
    """The three files of a simulated exposure."""

    exposure: Path
    truth: Path
    parts: Path


def check_outputs(out: Path, *, overwrite: bool) -> SimulatedPaths:
    """Name the truth's files after the exposure's and check that all can be written."""
    out = Path(out)
    suffix = ".ome.tif" if out.name.lower().endswith(".ome.tif") else out.suffix
    if suffix.lower() not in {".tif", ".tiff", ".ome.tif"}:
        raise InputError(f"an exposure is written as TIFF; {out.name} does not end in .tif")
    stem = out.name[: -len(suffix)]
    paths = SimulatedPaths(out, out.with_name(f"{stem}_TRUTH.tif"), out.with_name(f"{stem}_TRUTH_PARTS.tif"))
    for path in (paths.exposure, paths.truth, paths.parts):
        check_output(path, overwrite=overwrite)
    return paths


def scene_for(
    image: Path | None, drawn: str | None, size: int | None, light: tuple[float, float], seed: int
) -> tuple[NDArray[np.float32], str, dict[str, float], dict[str, Any]]:
    """Return the scene of an image, or a drawn one.

    Parameters
    ----------
    image
        File of the scene, one gray plane; or None.
    drawn
        Kind of scene to draw; or None. Just one of both is given.
    size
        Edge of a drawn scene [px]; None: 512.
    light
        Of the bright structures, and of the background [e-/px/sub-frame].
    seed
        Of a drawn scene; its randomness is another one than the camera's.

    Returns
    -------
    scene : ndarray of shape (Y, X), float32
        e-/px/sub-frame.
    scaling : str
        How it was scaled, in words.
    pixel_size_um : dict
        As the image has it.
    options : dict
        What was simulated, for the output's Info.

    Raises
    ------
    OptionError
        When both or none are given, `size` with an image, or a seed below 0.
    """
    flux, background = light
    if (image is None) == (drawn is None):
        given = "neither was given" if image is None else "both were given"
        raise OptionError(f"give the scene to simulate as --image FILE, or --scene filaments or blobs; {given}")
    if seed < 0:
        raise OptionError(f"a seed is a whole number of 0 or more; got {seed}")
    if image is None:
        edge = USUAL_SIZE if size is None else size
        plane = draw_scene(str(drawn), edge, np.random.default_rng([seed, 1]))
        scene, words = scene_from_image(plane, flux, background_e=background)
        words = words.replace("image", f"{drawn}, {edge} x {edge},", 1)
        return scene, words, {}, {"scene": drawn, "size": edge}
    if size is not None:
        raise OptionError(f"--size {size} goes with --scene; an image keeps its own size")
    with open_image(image) as reader:
        require_gray(reader, image)
        scene, words = scene_from_image(one_plane(reader), flux, background_e=background)
        return scene, words, dict(reader.pixel_size_um), {"image": Path(image).name}


def one_plane(reader: ImageReader) -> NDArray[Any]:
    """Return the only plane of an image."""
    if reader.n_planes != 1:
        raise InputError(
            f"{reader.path} has {reader.n_planes} planes (axes {reader.axes}); a scene is one plane: save one of them"
        )
    return reader.plane(0)


def write_simulation(
    paths: SimulatedPaths,
    simulation: Simulation,
    pixel_size_um: Mapping[str, float],
    options: Mapping[str, Any],
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Truth:
    """Write the exposure, its true rate, and the parts of the truth; memory: a few planes.

    Returns
    -------
    Truth
    """
    settings = simulation.settings
    keys = {
        **made_by("ndr simulate", {**asdict(settings), **options}),
        **settings.camera.to_info(),
        "ndr.exposure": "E0001",
        "ndr.n_subframes": str(settings.reads),
        "ndr.first_valid": "1",
        "ndr.count_from": "1",
        "ndr.simulated": "true",
    }
    size = {letter: value for letter, value in pixel_size_um.items() if letter in "YX"}
    meta = _meta(simulation, size, keys)

    def reads() -> Iterator[NDArray[np.uint16]]:
        for done, plane in enumerate(simulation.reads(), 1):
            yield plane
            progress("simulating", done, settings.reads)

    with ExitStack() as undo:
        write_planes(paths.exposure, reads(), meta, dtype="uint16", overwrite=overwrite)
        # An exposure without its truth would be taken for a real one.
        undo.callback(lambda: paths.exposure.unlink(missing_ok=True))
        truth = simulation.truth()
        _write_truth(paths, truth, size, keys, overwrite=overwrite)
        undo.pop_all()
    return truth


def _write_truth(
    paths: SimulatedPaths, truth: Truth, pixel_size_um: Mapping[str, float], keys: Mapping[str, str], *, overwrite: bool
) -> None:
    """Write the true rate, and the parts it is made of."""
    info = {key: value for key, value in keys.items() if key != "ndr.n_subframes"} | {"ndr.unit": "electrons"}
    rate = {**info, "ndr.unit_text": "e-/px/sub-frame, dark current included"}
    write_image(paths.truth, Image(truth.rate, "YX", pixel_size_um, None, rate, ("true rate",)), overwrite=overwrite)
    parts = {
        "scene e-/sub-frame": truth.scene,
        "dark e-/sub-frame": truth.dark,
        "read noise e-": truth.read_noise,
        "first read after a jump": truth.jump,
        "first read saturated": truth.saturated,
    }
    stack = np.stack([np.asarray(part, np.float32) for part in parts.values()])
    write_image(paths.parts, Image(stack, "CYX", pixel_size_um, None, info, tuple(parts)), overwrite=overwrite)


def _meta(simulation: Simulation, pixel_size_um: Mapping[str, float], keys: Mapping[str, str]) -> ImageMeta:
    """Describe the exposure: TYX, one label per read with its time."""
    settings = simulation.settings
    milliseconds = 1e3 * settings.t_subframe_s
    labels = tuple(f"read {i:04d} t={i * milliseconds:.3f} ms" for i in range(1, settings.reads + 1))
    shape = (settings.reads, *simulation.scene.shape)
    return ImageMeta(shape, "TYX", pixel_size_um, settings.t_subframe_s, keys, labels)


def report(paths: SimulatedPaths, settings: SimulatedCamera, truth: Truth, scaling: str) -> dict[str, Any]:
    """Return what ``ndr simulate`` answers."""
    jumps, saturated = int(np.count_nonzero(truth.jump)), int(np.count_nonzero(truth.saturated))
    height, width = truth.rate.shape
    median = float(np.median(truth.rate))
    return {
        "exposure": str(paths.exposure),
        "truth": str(paths.truth),
        "truth_parts": str(paths.parts),
        "shape": [settings.reads, height, width],
        "scaling": scaling,
        "camera": settings.camera.known(),
        "median_true_rate": median,
        "pixels_with_jump": jumps,
        "pixels_saturated": saturated,
        "summary": [
            f"{paths.exposure}: {settings.reads} reads of {height} x {width}; {scaling}",
            f"{paths.truth}: median rate {median:.4g} e-/px/sub-frame, dark current included",
            f"{paths.parts}: {jumps} pixels with a cosmic ray, {saturated} that saturate",
        ],
    }
