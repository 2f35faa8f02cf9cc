"""Damaged and hostile files: a picture or one line of error each, in little time and memory, never a wrong picture."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe.errors import InputError
from quietframe.images import read_image

SECONDS, BYTES = 10, 1 << 30
"""Limits per file."""

# A pillow test picture with a harmless oddity each: a loop of directories behind the pages, unusual tags.
PICTURES = {
    "pillow_hopper_unknown_pixel_mode.tif": [3, 128, 128],
    "pillow_multipage_multiple_frame_loop.tiff": [2, 10, 10],
    "pillow_multipage_single_frame_loop.tiff": [10, 10],
    "pillow_tiff_wrong_bits_per_sample_2.tiff": [3, 16, 16],
}

# One process for all files: it is killed at once by whatever would take more memory than allowed, and a crash of a
# decoder ends it. Everything printed by C code goes to the real stderr, which has to stay empty.
INFO_OF_ALL = """
import contextlib, io, json, resource, sys, time
from quietframe.cli import run
from quietframe.verbs.info import info
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
for path in sys.argv[2:]:
    out, err = io.StringIO(), io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["info", path, "--json"])
    seconds = time.perf_counter() - start
    # Not ru_maxrss: that one starts with the memory of the process which started this one.
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(json.dumps([path, code, out.getvalue(), err.getvalue(), seconds, peak]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and units of memory as Linux has them")
def test_info_of_every_malformed_tiff_is_a_picture_or_one_line(data_dir: Path) -> None:
    paths = sorted((data_dir / "tiff" / "malformed").glob("*.tif*"))
    assert len(paths) == 44
    done = subprocess.run(
        [sys.executable, "-c", INFO_OF_ALL, str(BYTES), *map(str, paths)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-500:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(path) for path in paths]
    pictures = {}
    for path, code, out, err, seconds, peak in rows:
        name = Path(path).name
        assert seconds < SECONDS, name
        assert peak < BYTES, name
        if code == 0:
            assert err == "", name
            pictures[name] = json.loads(out)["shape"]
        else:
            assert code == 2, name
            assert out == "", name
            assert err.startswith("quietframe: "), name
            assert err.count("\n") == 1, name
            assert name in err
    assert pictures == PICTURES


@pytest.mark.parametrize("name, code", [
    ("fuzz_oor_panic_030.tif", 2),  # tifffile alone returns a picture with five of six strips black
    ("pillow_multipage_single_frame_loop.tiff", 0),
])  # fmt: skip
def test_the_command_line_prints_one_line_and_no_traceback(
    name: str, code: int, data_dir: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = quietframe("info", data_dir / "tiff" / "malformed" / name)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (1 if code else 0)
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == "" if code else "2 x" not in done.stdout


VALUES = np.arange(6 * 24 * 40, dtype=np.uint16).reshape(6, 24, 40) * 37
KINDS: dict[str, dict[str, Any]] = {
    "imagej": {
        "imagej": True,
        "byteorder": "<",
        "metadata": {"axes": "TYX", "unit": "um", "Info": "a = b\n", "Labels": list("abcdef")},
    },
    "ome": {"ome": True, "metadata": {"axes": "TYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}},
    "deflate": {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
    "lzw tiles": {"compression": "lzw", "tile": (16, 16)},
    "packbits": {"compression": "packbits"},
    "big": {"bigtiff": True, "compression": "zlib"},
}


def stored(kind: str) -> bytes:
    stream = io.BytesIO()
    options = dict(KINDS[kind])
    writer = {key: options.pop(key) for key in ("imagej", "ome", "bigtiff", "byteorder") if key in options}
    with tifffile.TiffWriter(stream, **writer) as tif:
        tif.write(VALUES, photometric="minisblack", **options)
    return stream.getvalue()


FILES = {kind: stored(kind) for kind in KINDS}


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_give_a_picture_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(FILES[kind])
    # Most of the damage goes where the tags are: to the first and the last kilobyte.
    places = rng.choice([512, -512, len(data) // 2]) + rng.integers(-512, 512, int(rng.integers(1, 6)))
    for place in places:
        data[int(place) % len(data)] = int(rng.integers(256))
    path = tmp_path_factory.getbasetemp() / "damaged.tif"
    path.write_bytes(bytes(data))
    # Any other exception, warning or output fails the test.
    with contextlib.suppress(InputError):
        image = read_image(path)
        assert image.array.size > 0
        assert image.axes.endswith("YX")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_file_cut_anywhere_is_an_error_or_still_whole(kind: str, tmp_path: Path) -> None:
    data = FILES[kind]
    path = tmp_path / "cut.tif"
    errors = 0
    for length in np.linspace(0, len(data) - 1, 25).astype(int):
        path.write_bytes(data[:length])
        try:
            image = read_image(path)
        except InputError:
            errors += 1
            continue
        # What lies behind the last page may be lost, a part of the pages may not.
        assert np.array_equal(image.array, VALUES), length
    assert errors >= 20


def with_tags(data: bytes, values: dict[int, int]) -> bytes:
    """Give tags of the first directory other values; an entry is 12 bytes: code, type, count, value."""
    changed = bytearray(data)
    start = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[start : start + 2], "little")
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        tag = int.from_bytes(data[entry : entry + 2], "little")
        if tag in values:
            changed[entry + 2 : entry + 4] = (4).to_bytes(2, "little")  # 32-bit integer
            changed[entry + 8 : entry + 12] = values[tag].to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.parametrize("kind", ["imagej", "deflate", "lzw tiles", "packbits"])
@pytest.mark.parametrize("width, height", [(2**31 - 1, 2**31 - 1), (60_000, 60_000), (40, 2**31 - 1)])
def test_sizes_the_file_cannot_hold_are_refused_without_memory(
    kind: str, width: int, height: int, tmp_path: Path
) -> None:
    path = tmp_path / "huge.tif"
    data = FILES[kind]
    path.write_bytes(with_tags(data, {256: width, 257: height}))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"huge\.tif"):
        read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
