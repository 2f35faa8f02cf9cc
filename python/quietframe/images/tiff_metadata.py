r"""What a TIFF says about itself besides pixels: calibration, frame interval, labels, Info; ImageJ's way and OME's.

Info is ImageJ's free text ("Image > Show Info..."). Quietframe reads its ``key = value`` lines into a dict and keeps
all other lines, in their order, under the key ``notes``; it writes the notes first and the keys after them.

>>> parse_info("taken on Monday\nndr.spacing = guarded")
{'notes': 'taken on Monday', 'ndr.spacing': 'guarded'}
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from ..errors import InputError

NOTES = "notes"
"""Key of the Info lines that are no ``key = value``."""

NAMESPACE = "quietframe"
"""Start of the namespaces of the annotations that hold Info and labels in an OME-TIFF."""

_MICROMETRES = {
    "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "pm": 1e-6, "picometer": 1e-6, "å": 1e-4, "angstrom": 1e-4,
    "mm": 1e3, "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6, "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
_SECONDS = {
    "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3,
    "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "usec": 1e-6, "microsecond": 1e-6, "ns": 1e-9, "nanosecond": 1e-9,
    "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
}  # fmt: skip
_KEY_VALUE = re.compile(r"\s*([^=\n]*[^=\s]) = ?(.*)")
_CENTIMETRE = 3  # value of the ResolutionUnit tag


@dataclass(frozen=True)
class Description:
    """What an image file says about itself.

    Parameters
    ----------
    pixel_size_um
        Micrometres per pixel, keys out of "ZYX"; empty when unknown.
    frame_interval_s
        Seconds from frame to frame, None when unknown.
    info
        Keys and texts of the Info field; lines that are no ``key = value`` under ``notes``.
    labels
        One per plane in stored order, or none.
    remarks
        Sentences for the user about what was taken for granted.
    """

    pixel_size_um: Mapping[str, float] = field(default_factory=dict)
    frame_interval_s: float | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def parse_info(text: str) -> dict[str, str]:
    """Read the ``key = value`` lines of an Info text into a dict; all other lines go to ``notes``.

    A key that comes twice keeps its last value; the earlier lines are kept among the notes.
    """
    found: dict[str, str] = {}
    notes: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").split("\n"):
        match = _KEY_VALUE.fullmatch(line)
        if match is None or match[1] == NOTES:
            notes.append(line.rstrip())
            continue
        if match[1] in found:
            notes.append(f"{match[1]} = {found.pop(match[1])}")
        found[match[1]] = match[2].strip()
    kept = "\n".join(notes).strip("\n")
    return {NOTES: kept, **found} if kept.strip() else found


def format_info(info: Mapping[str, Any]) -> str:
    """Write an Info text that `parse_info` reads back: the notes, then one ``key = value`` line per key.

    A line break inside a value becomes a space, because the line is what ends a value.

    Raises
    ------
    InputError
        When a key cannot be read back: empty, with a line break or with an equals sign.
    """
    lines = [str(info[NOTES])] if info.get(NOTES) else []
    for key, value in info.items():
        if key == NOTES:
            continue
        if not key.strip() or key != key.strip() or re.search(r"[=\n\r\0]", key):
            raise InputError(f"Info key {key!r} cannot be stored: a key is one word without spaces around it or '='")
        lines.append(f"{key} = {' '.join(str(value).splitlines()).strip()}")
    return "".join(line + "\n" for line in lines)


def positive_number(value: Any) -> float | None:
    """Return a finite positive number, or None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def micrometres(unit: str) -> float | None:
    """Return the micrometres of a unit of length; None when it is unknown."""
    return _MICROMETRES.get(unit.strip().lower())


def seconds(unit: str) -> float | None:
    """Return the seconds of a unit of time; None when it is unknown. No unit stands for seconds."""
    return _SECONDS.get(unit.strip().lower())


def _unit(value: Any) -> str:
    """Return a unit's text; ImageJ writes characters beyond ASCII as backslash, u and four hexadecimal digits."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), str(value)).strip()


def _per_pixel(tag: Any) -> float | None:
    """Return units per pixel from a TIFF resolution tag (numerator, denominator: pixels per unit)."""
    try:
        pixels, units = tag.value
    except (AttributeError, TypeError, ValueError):
        return None
    return positive_number(units / pixels) if pixels else None


def imagej_description(tif: Any, planes: int) -> Description:
    """Read calibration, frame interval, Info and labels the way ImageJ writes them.

    Parameters
    ----------
    tif
        An open `tifffile.TiffFile` with ImageJ metadata.
    planes
        How many planes the image has, to match the labels.
    """
    meta = tif.imagej_metadata or {}
    tags = tif.pages.first.tags
    unit = _unit(meta.get("unit", ""))
    units = {"X": unit, "Y": _unit(meta.get("yunit", unit)), "Z": _unit(meta.get("zunit", unit))}
    sizes = {
        "Z": positive_number(abs(meta["spacing"])) if isinstance(meta.get("spacing"), int | float) else 1.0,
        "Y": _per_pixel(tags.get(283)),
        "X": _per_pixel(tags.get(282)),
    }
    pixel_size = {
        axis: size * _MICROMETRES[units[axis].lower()]
        for axis, size in sizes.items()
        if size is not None and units[axis].lower() in _MICROMETRES
    }
    if not {"X", "Y"} <= set(pixel_size) or (meta.get("slices", 1) == 1 and "spacing" not in meta):
        pixel_size.pop("Z", None)
    if not {"X", "Y"} <= set(pixel_size):
        pixel_size = {}
    interval = positive_number(meta.get("finterval"))
    seconds = _SECONDS.get(_unit(meta.get("tunit", "sec")).lower())
    info = parse_info(str(meta.get("Info", "")))
    properties = meta.get("Properties")
    if isinstance(properties, dict):
        info.update({str(key): str(value) for key, value in properties.items() if _KEY_VALUE.fullmatch(f"{key} = x")})
    return Description(
        pixel_size, interval * seconds if interval and seconds else None, info, _labels(meta, planes), _curve(meta)
    )


def _labels(meta: Mapping[str, Any], planes: int) -> tuple[str, ...]:
    """Return one label per plane; ImageJ stores fewer when the last ones are empty."""
    labels = meta.get("Labels", ())
    labels = [labels] if isinstance(labels, str) else [str(label) for label in labels]
    labels = (labels + [""] * planes)[:planes]
    return tuple(labels) if any(labels) else ()


def _curve(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Say that ImageJ would show values through a calibration curve (a straight line for signed 16 bit)."""
    if "cf" not in meta or is_signed_16(meta):
        return ()
    return ("ImageJ shows this file's values through a calibration curve; the values here are the stored ones",)


def is_signed_16(meta: Mapping[str, Any]) -> bool:
    """Tell whether ImageJ stored signed 16-bit values in unsigned ones: a straight line of offset -32768."""
    return meta.get("cf") == 0 and meta.get("c0") == -32768 and meta.get("c1") == 1


def plain_description(tif: Any) -> Description:
    """Read what a TIFF without ImageJ's or OME's metadata says: its description lines, and a resolution per cm.

    A resolution per inch is what programs write for printing, so it is not taken for a calibration.
    """
    page = tif.pages.first
    text = str(page.description or "")
    info = {} if text.startswith('{"shape"') else parse_info(text)
    for key, value in (tif.shaped_metadata or [{}])[0].items():  # tifffile's own way, as JSON
        if key not in {"shape", "axes", "truncated"} and _KEY_VALUE.fullmatch(f"{key} = x"):
            info[str(key)] = str(value)
    sizes: dict[str, float] = {}
    unit = page.tags.get(296)
    if unit is not None and unit.value == _CENTIMETRE:
        found = {"Y": _per_pixel(page.tags.get(283)), "X": _per_pixel(page.tags.get(282))}
        sizes = {axis: size * 1e4 for axis, size in found.items() if size is not None}
    return Description(sizes if len(sizes) == 2 else {}, None, info)


def _elements(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Return all elements of a name whatever their namespace; old OME files use several."""
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _annotation(root: ElementTree.Element, name: str) -> dict[str, str]:
    for element in _elements(root, "MapAnnotation"):
        if element.get("Namespace") == f"{NAMESPACE}/{name}":
            return {entry.get("K", ""): entry.text or "" for entry in _elements(element, "M")}
    return {}


def ome_description(xml: str) -> Description:
    """Read calibration, time increment, channel names, and the Info and labels that Quietframe wrote."""
    root = ElementTree.fromstring(xml)
    pixels = next(iter(_elements(root, "Pixels")), None)
    if pixels is None:
        return Description()
    sizes: dict[str, float] = {}
    for axis in "ZYX":
        size = positive_number(pixels.get(f"PhysicalSize{axis}"))
        factor = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower())
        if size is not None and factor is not None:
            sizes[axis] = size * factor
    interval = positive_number(pixels.get("TimeIncrement"))
    seconds = _SECONDS.get(pixels.get("TimeIncrementUnit", "s").lower())
    info = _annotation(root, "info")
    if not info:
        names = [channel.get("Name") for channel in _elements(pixels, "Channel")]
        info = {f"ome.channel_{number}": name for number, name in enumerate(names, 1) if name}
    labels = _annotation(root, "labels")
    return Description(
        sizes if {"X", "Y"} <= set(sizes) else {},
        interval * seconds if interval and seconds else None,
        info,
        tuple(labels[str(number)] for number in range(len(labels)) if str(number) in labels),
    )


def check_ome_sizes(xml: str, limit: int = 4_000_000) -> None:
    """Refuse OME-XML that announces more planes than any file holds, before anything is made of that size.

    Raises
    ------
    InputError
        When a size or a plane number is above `limit`.
    """
    for name, digits in re.findall(r'\b(Size[CTZ]|PlaneCount|NumPlanes|First[CTZ]|IFD)="(\d+)"', xml):
        if len(digits) > 7 or int(digits) > limit:
            raise InputError(f'its OME metadata announce {name}="{digits[:20]}", more than any file holds')
    for pixels in re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", xml):
        sizes = dict(re.findall(r'\bSize([CTZ])="(\d+)"', pixels))
        if math.prod(int(size) for size in sizes.values()) > limit:
            raise InputError(f"its OME metadata announce {sizes} planes, more than any file holds")


def imagej_tags(description: Description, shape: Sequence[int], axes: str) -> dict[str, Any]:
    """Return keywords for `tifffile.TiffWriter.write` that make ImageJ show the same calibration, Info and labels."""
    metadata: dict[str, Any] = {"axes": axes}
    options: dict[str, Any] = {"metadata": metadata}
    sizes = description.pixel_size_um
    if sizes:
        options["resolution"] = (1 / sizes["X"], 1 / sizes["Y"])
        metadata["unit"] = "um"
        if "Z" in sizes:
            metadata["spacing"] = repr(float(sizes["Z"]))
    if description.frame_interval_s is not None:
        metadata["finterval"] = repr(float(description.frame_interval_s))
    if "C" in axes and 1 < shape[axes.index("C")] <= 7:  # ImageJ composes up to seven channels
        metadata["mode"] = "composite"
    info = format_info(description.info)
    if info:
        metadata["Info"] = _encodable(info)
    if any(description.labels):
        metadata["Labels"] = [_encodable(label) for label in description.labels]
    return options


def _encodable(text: str) -> str:
    """Replace what cannot be stored as UTF-16 (single surrogates)."""
    return text.encode("utf-16-le", "replace").decode("utf-16-le")


def ome_tags(description: Description, axes: str) -> dict[str, Any]:
    """Return keywords for `tifffile.TiffWriter.write` that store the same in OME-XML; Info, labels as annotations."""
    metadata: dict[str, Any] = {"axes": axes}
    for axis, size in description.pixel_size_um.items():
        metadata |= {f"PhysicalSize{axis}": float(size), f"PhysicalSize{axis}Unit": "µm"}
    if description.frame_interval_s is not None:
        metadata |= {"TimeIncrement": float(description.frame_interval_s), "TimeIncrementUnit": "s"}
    format_info(description.info)  # the same keys are allowed in both kinds of file
    labels = {str(number): label for number, label in enumerate(description.labels)}
    annotations = [
        {"Namespace": f"{NAMESPACE}/{name}", "Value": {key: _xml_text(str(value)) for key, value in content.items()}}
        for name, content in (("info", description.info), ("labels", labels))
        if content
    ]
    if annotations:
        metadata["MapAnnotation"] = annotations
    return {"metadata": metadata}


def _xml_text(text: str) -> str:
    """Drop the control characters that XML 1.0 cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", "", text)
