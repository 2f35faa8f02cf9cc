"""Read what an ONNX file says of itself (versions, string properties) without any ONNX library.

An ONNX file is one protocol-buffers message; only its outermost fields are looked at, the graph is skipped. So a
package can be described and refused before a runtime is started, and where none is installed.

References
----------
ONNX, ``onnx.proto``, message ``ModelProto``: fields 1 (ir_version), 2 (producer_name), 7 (graph), 8 (opset_import),
14 (metadata_props).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Header:
    """The outermost fields of an ONNX file.

    Parameters
    ----------
    ir_version
        Version of the file format.
    opset
        Version of the standard operators.
    producer
        The program that wrote it.
    properties
        String properties; Quietframe's begin with ``quietframe.``.
    """

    ir_version: int
    opset: int
    producer: str = ""
    properties: dict[str, str] = field(default_factory=dict)


def read_header(data: bytes, name: str) -> Header:
    """Read the header of an ONNX file.

    Parameters
    ----------
    data
        The whole file.
    name
        What to call it in an error.

    Raises
    ------
    InputError
        When the bytes are no ONNX model.
    """
    ir_version, opset, producer, has_graph = 0, 0, "", False
    properties: dict[str, str] = {}
    try:
        for number, value in _fields(data):
            if number == 1:
                ir_version = int(value)
            elif number == 2:
                producer = bytes(value).decode()
            elif number == 7:
                has_graph = True
            elif number == 8:
                entry = dict(_fields(value))
                if not entry.get(1):  # the domain of the standard operators is the empty string
                    opset = int(entry.get(2, 0))
            elif number == 14:
                entry = dict(_fields(value))
                properties[bytes(entry.get(1, b"")).decode()] = bytes(entry.get(2, b"")).decode()
    except (IndexError, TypeError, ValueError):
        has_graph = False
    if not has_graph or not ir_version or not opset:
        raise InputError(f"{name} is no ONNX model ({len(data)} bytes that do not parse as one); give a complete .onnx")
    return Header(ir_version, opset, producer, properties)


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a message: int for numbers, memoryview for everything with a length."""
    view = memoryview(data)
    position = 0
    while position < len(view):
        key, position = _varint(view, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(view, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(view, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if number == 0 or position + size > len(view):
            raise ValueError("truncated")
        yield number, view[position : position + size]
        position += size


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = view[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise ValueError("a number longer than 64 bits")
