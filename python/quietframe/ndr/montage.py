"""The sliced picture: one image cut into strips, each from a difference of another length, noisy above restored."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import PREFIX, Camera
from ..errors import InputError, OptionError, unknown
from ..images import open_image, require_gray
from ..metrics import single
from . import figures
from .exposure import open_exposure
from .subtract import difference_windows, differences

CONTRASTS = ("common", "each")
NARROWEST = 4
"""A slice is at least this wide [px]."""


@dataclass(frozen=True)
class Slices:
    """Images of differences of several lengths, each divided by its length.

    Parameters
    ----------
    differences
        k of each image.
    images
        Shape (n, Y, X), float32, per sub-frame.
    pixel_size_um
        Micrometres per pixel; None when unknown.
    unit
        ``e-``, ``ADU``, or empty when unknown.
    """

    differences: tuple[int, ...]
    images: NDArray[np.float32]
    pixel_size_um: float | None = None
    unit: str = ""

    def sliced(self) -> NDArray[np.float32]:
        """Return one picture (Y, X): the i-th vertical strip is that of the i-th image."""
        edges = self.edges()
        picture = np.empty(self.images.shape[1:], np.float32)
        for image, (start, stop) in zip(self.images, pairwise(edges), strict=True):
            picture[:, start:stop] = image[:, start:stop]
        return picture

    def cropped(self, crop: str | None) -> Slices:
        """Return the part ``x,y,w,h`` of every image; all of it for None.

        Raises
        ------
        InputError, OptionError
            When it is no such text, or does not lie inside the image.
        """
        if crop is None:
            return self
        try:
            x, y, width, height = (int(part) for part in crop.split(","))
        except ValueError:
            raise OptionError(f"crop is four whole numbers x,y,w,h; got {crop!r}") from None
        single.Block(x, y, width, height).mask(self.images.shape[1:])  # its check and message
        return replace(self, images=self.images[:, y : y + height, x : x + width])

    def edges(self) -> list[int]:
        """Return where the strips begin, and the end [px]."""
        width = self.images.shape[2]
        return [round(width * i / len(self.differences)) for i in range(len(self.differences) + 1)]


def parse_differences(text: str) -> tuple[int, ...]:
    """Read ``40,35,30`` (in the order of the slices).

    Raises
    ------
    OptionError
    """
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise OptionError(
            f"differences are whole numbers with commas between them, as 40,20,5,1; got {text!r}"
        ) from None
    if min(values) < 1:
        raise OptionError(f"differences are 1 or more sub-frames; got {text}")
    return values


def parse_names(text: str) -> tuple[str, str]:
    """Read the names of the two rows, ``noisy,restored``.

    Raises
    ------
    OptionError
    """
    names = [part.strip() for part in text.split(",")]
    if len(names) != 2 or not all(names):
        raise OptionError(f"names are two, with a comma between them, as noisy,restored; got {text!r}")
    return names[0], names[1]


def load_slices(source: str, wanted: Sequence[int], first: int = 0) -> Slices:
    """Take one image for each difference.

    Parameters
    ----------
    source
        An exposure, whose differences from its first valid read on are made here; a stack with one frame per
        difference, in their order; or a name with ``*`` that finds files of one difference each (ndr.difference).
    wanted
        Differences, in the order of the slices.
    first
        For an exposure: first read, from 0; its own first valid read wins when it is later.

    Raises
    ------
    InputError
        When a difference is missing, shapes differ, or the file is none of the three.
    """
    if "*" in source or "?" in source:
        return _from_files(source, wanted)
    with open_image(source) as reader:
        require_gray(reader, source)
        made = [key for key in ("ndr.difference", "ndr.fit", "ndr.unit") if key in reader.info]
        if not made and reader.n_planes > max(wanted):
            return _from_exposure(source, wanted, first)
        if reader.n_planes != len(wanted):
            raise InputError(
                f"{source} has {reader.n_planes} frames for {len(wanted)} differences; give a stack with one frame per "
                "difference, an exposure, or a name with * that finds one file per difference"
            )
        planes = zip(reader.planes(), wanted, strict=True)
        images = [_per_sub_frame(plane, _scale(reader.info, k)[0]) for plane, k in planes]
        return Slices(tuple(wanted), np.stack(images), reader.pixel_size_um.get("X"), _scale(reader.info, 1)[1])


def _scale(info: Mapping[str, str], difference: int) -> tuple[float, str]:
    """Return the factor that makes electrons per sub-frame of a difference image (else ADU), and the unit."""
    camera = Camera.from_mapping(info, source="Info", prefix=PREFIX)
    gain, seconds = camera.gain_e_per_adu, camera.t_subframe_s
    unit = info.get("ndr.unit", "")
    if unit == "rate" and seconds is not None:
        return seconds, "e-"
    if unit == "adu" and gain is not None:
        return gain / difference, "e-"
    return 1.0 / difference, {"adu": "ADU", "electrons": "e-"}.get(unit, "")


def _per_sub_frame(plane: NDArray[Any], scale: float) -> NDArray[np.float32]:
    return (np.asarray(plane, np.float64) * scale).astype(np.float32)


def _from_exposure(source: str, wanted: Sequence[int], first: int) -> Slices:
    with open_exposure(source) as exposure:
        start, gain = max(first, exposure.first_valid), exposure.camera.gain_e_per_adu
        made = {}
        for k in sorted(set(wanted)):
            window = difference_windows(len(exposure.reads), k, start, "single")
            made[k] = _per_sub_frame(next(differences(exposure.reads, window)), (gain or 1.0) / k)
        unit = "ADU" if gain is None else "e-"
        return Slices(tuple(wanted), np.stack([made[k] for k in wanted]), exposure.pixel_size_um.get("X"), unit)


def _from_files(pattern: str, wanted: Sequence[int]) -> Slices:
    found: dict[int, tuple[str, NDArray[Any]]] = {}
    pixel_size, units = None, set()
    for name in sorted(glob.glob(pattern)):
        with open_image(name) as reader:
            require_gray(reader, name)
            text = reader.info.get("ndr.difference", "")
            if not text.isdigit() or int(text) not in wanted:
                continue
            if int(text) in found:
                raise InputError(f"{found[int(text)][0]} and {name} both hold difference {text}; {pattern} is too wide")
            scale, unit = _scale(reader.info, int(text))
            found[int(text)] = (name, _per_sub_frame(reader.plane(0), scale))
            units.add(unit)
            pixel_size = pixel_size or reader.pixel_size_um.get("X")
    missing = [str(k) for k in dict.fromkeys(wanted) if k not in found]
    if missing:
        raise InputError(
            f"{pattern} finds no file with difference {', '.join(missing)} (key ndr.difference of its Info); it finds "
            f"{', '.join(map(str, sorted(found))) or 'none of those asked for'}"
        )
    shapes = {found[k][1].shape for k in wanted}
    if len(shapes) > 1:
        raise InputError(f"the files of {pattern} have several shapes: {', '.join(map(str, sorted(shapes)))}")
    if len(units) > 1:
        raise InputError(f"the files of {pattern} are in several units: {', '.join(sorted(units))}; make all in one")
    return Slices(tuple(wanted), np.stack([found[k][1] for k in wanted]), pixel_size, units.pop())


def check_pair(noisy: Slices, restored: Slices) -> None:
    """Check that both rows can be shown above each other, and that the strips are wide enough to be seen.

    Raises
    ------
    InputError, OptionError
    """
    shapes = noisy.images.shape[1:], restored.images.shape[1:]
    if shapes[0] != shapes[1]:
        raise InputError(f"noisy and restored must have one shape (Y, X); got {shapes[0]} and {shapes[1]}")
    if noisy.unit and restored.unit and noisy.unit != restored.unit:
        raise InputError(
            f"noisy is in {noisy.unit} and restored in {restored.unit}: one gray would stand for two lights; make both "
            "in one unit, or give the gain"
        )
    if shapes[0][1] < NARROWEST * len(noisy.differences):
        raise OptionError(
            f"{len(noisy.differences)} slices of an image {shapes[0][1]} px wide are narrower than {NARROWEST} px; "
            "give fewer --differences"
        )


def contrast_limits(rows: Sequence[Slices], contrast: str) -> list[tuple[float, float]]:
    """Return black and white for each slice: of the longest difference for all of them, or of each by itself.

    With ``common`` one light has one gray everywhere. With ``each`` every slice spans its own range (percentiles 0.5
    and 99.8), which shows structure in the noisiest ones and hides how noisy they are.
    """
    if contrast not in CONTRASTS:
        raise unknown("contrast", contrast, CONTRASTS)
    count = len(rows[0].differences)
    if contrast == "each":
        # One range for both rows: that of the restored one, so that above and below can be compared.
        return [_range(rows[-1].images[i]) for i in range(count)]
    longest = int(np.argmax(rows[-1].differences))
    return [_range(rows[-1].images[longest])] * count


def _range(image: NDArray[np.float32]) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, (0.5, 99.8)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def draw(
    path: Path,
    noisy: Slices,
    restored: Slices,
    *,
    contrast: str = "common",
    names: tuple[str, str] = ("noisy", "restored"),
) -> None:
    """Draw the sliced picture, noisy above restored, every slice labelled with its difference.

    Parameters
    ----------
    path
        PNG, PDF or SVG.
    noisy, restored
        With the same differences and shape.
    contrast
        ``common`` or ``each``.
    names
        Of the two rows.
    """
    limits = contrast_limits((noisy, restored), contrast)
    edges, (height, width) = noisy.edges(), noisy.images.shape[1:]
    inches = 7.2 if height < 0.7 * width else 5.0
    figure = figures.new_figure(inches, 2 * (inches - 0.35) * height / width + 0.45)
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.02, hspace=0.01)
    panels = figure.subplots(2, 1)
    for axes, slices, name in zip(panels, (noisy, restored), names, strict=True):
        picture = slices.sliced()
        for (start, stop), (low, high) in zip(pairwise(edges), limits, strict=True):
            picture[:, start:stop] = (picture[:, start:stop] - low) / (high - low)
        axes.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, interpolation="none", aspect="equal")
        for edge in edges[1:-1]:
            axes.axvline(edge - 0.5, color="#f2a900", linewidth=0.7)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(name, color=figures.INK, fontsize=10, fontweight="bold")
        for spine in axes.spines.values():
            spine.set_visible(False)
    _label(panels[0], noisy, edges)
    _scale_bar(panels[1], restored)
    figures.save(figure, path)


def _label(axes: Any, slices: Slices, edges: Sequence[int]) -> None:
    """Write the differences over the slices, the word only over the first."""
    size = 9.0 if len(slices.differences) <= 10 else 7.5
    middles = [(start + stop) / 2 - 0.5 for start, stop in pairwise(edges)]
    texts = [f"{k}" for k in slices.differences]
    texts[0] = f"k = {texts[0]}"
    axes.xaxis.tick_top()
    axes.set_xticks(middles, texts, fontsize=size, color=figures.INK)
    axes.tick_params(length=0, pad=2)


def _scale_bar(axes: Any, slices: Slices) -> None:
    """Draw a bar of a round length, at most a fifth of the width, in the lower right corner."""
    if not slices.pixel_size_um:
        return
    from matplotlib.patches import Rectangle

    height, width = slices.images.shape[1:]
    target = 0.2 * width * slices.pixel_size_um
    decade = 10.0 ** np.floor(np.log10(target))
    length = max(step * decade for step in (1, 2, 5) if step * decade <= target * 1.0001)
    pixels = length / slices.pixel_size_um
    x, y = 0.97 * width - pixels, 0.955 * height
    axes.add_patch(Rectangle((x, y), pixels, 0.012 * height, facecolor="white", edgecolor="black", linewidth=0.5))
    box = {"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "pad": 1.5}
    text = {"color": "white", "fontsize": 8, "ha": "center", "va": "bottom", "bbox": box}
    axes.text(x + pixels / 2, y - 0.015 * height, f"{length:g} µm", **text)
