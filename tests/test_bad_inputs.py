"""Every verb against every bad input, through the command line: exit code 2, one line that names it, nothing written.

What a verb takes although it is odd (a constant picture can be denoised) is in the table too, as what it answers.
"""

from __future__ import annotations

import json
import runpy
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from quietframe import cli

tiny: dict[str, Any] = runpy.run_path(str(Path(__file__).with_name("tiny_models.py")))

TINY = [("--steps", "2"), ("--batch-size", "2"), ("--patch-px", "16"), ("--filters", "2"), ("--depth", "1")]


@pytest.fixture(scope="session")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of every kind of bad input, and the good ones they are put beside."""
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(7)
    stack = rng.poisson(100, (6, 40, 48)).astype(np.uint16)
    arrays = {
        "stack": stack,
        "good": stack[0],
        "other": stack[1, :32],
        "pixel": stack[0, :1, :1],
        "small": stack[0, :6, :6],
        "nan": np.where(np.arange(48) == 9, np.nan, stack[0].astype(np.float32)),
        "inf": np.where(np.arange(48) == 9, np.inf, stack[0].astype(np.float32)),
        "nan_only": np.full((40, 48), np.nan, np.float32),
        "constant": np.full((40, 48), 7, np.uint16),
        "zero": np.zeros((40, 48), np.uint16),
    }
    for name, array in arrays.items():
        tifffile.imwrite(folder / f"{name}.tif", array, imagej=True, metadata={"axes": "TYX"[-array.ndim :]})
    Pillow.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(folder / "rgb.png")
    np.save(folder / "no_pixels.npy", np.zeros((0, 48)))
    np.save(folder / "line.npy", np.zeros(48))
    np.save(folder / "complex.npy", np.zeros((40, 48), complex))
    (folder / "folder.tif").mkdir()
    (folder / "bytes.tif").write_bytes(b"")
    (folder / "text.tif").write_text("no image", encoding="utf-8")
    (folder / "cut.tif").write_bytes((folder / "stack.tif").read_bytes()[:3000])
    tiny["write_box_package"](folder / "box.zip")
    (folder / "text.zip").write_text("no zip", encoding="utf-8")
    with zipfile.ZipFile(folder / "empty.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    weights = {"onnx": {"source": "weights.onnx", "sha256": "0" * 64}}
    tiny["write_box_package"](folder / "changed.zip", weights=weights)
    (folder / "broken.onnx").write_bytes(bytes(100))
    return folder


UNREADABLE = {
    "missing.tif": "missing.tif does not exist",
    "folder.tif": "is a folder; give one image file",
    "bytes.tif": "is empty (0 bytes)",
    "text.tif": "is not TIFF, PNG or NPY",
    "cut.tif": "is cut off or damaged",
    "no_pixels.npy": "is empty: shape (0, 48)",
    "line.npy": "an image has 2 to 6 axes; this array has 1",
    "complex.npy": "holds values of type complex128",
}
"""What no verb reads, and what each says."""

COLOUR = {"rgb.png": "is a colour picture (axes SYX, shape (3, 40, 48))"}
NOT_FINITE = {"nan.tif": "40 of 1920 pixels", "inf.tif": "40 of 1920 pixels"}
NO_PACKAGE = {
    "missing.zip": "does not exist; give a model package (.zip)",
    "folder.tif": "is no model package: it holds no rdf.yaml",
    "text.zip": "is no model package: File is not a zip file",
    "empty.zip": "is no model package: it holds no rdf.yaml, but a.txt",
    "changed.zip": "is declared; it is damaged or was changed",
    "broken.onnx": "is no ONNX model",
}
TRAINED = {
    **UNREADABLE,
    **COLOUR,
    "pixel.tif": "is constant",
    "constant.tif": "is constant (every pixel is 7)",
    "nan.tif": "holds 40 pixels that are NaN or infinite",
    "inf.tif": "holds 40 pixels that are NaN or infinite",
}
PAIRED = {**TRAINED, "small.tif": "a pair differs in shape", "other.tif": "a pair differs in shape"}
DENOISED = {
    **UNREADABLE,
    **COLOUR,
    **NOT_FINITE,
    "pixel.tif": "has 1 x 1 pixels; Box needs at least 8 x 8",
    "small.tif": "has 6 x 6 pixels; Box needs at least 8 x 8",
}
SHAPES = {"pixel.tif": "they must be equal", "other.tif": "they must be equal", "stack.tif": "they must be equal"}

VERBS: dict[str, tuple[str, dict[str, str]]] = {
    "info": ("info BAD", UNREADABLE),
    "train n2v": (
        "train n2v BAD --out OUT/run",
        {**TRAINED, "small.tif": "is 6 x 6 px, smaller than a patch of 16 px; leave it out"},
    ),
    "train care": ("train care BAD --target good.tif --out OUT/run", PAIRED),
    "train care --target": (
        "train care good.tif --target BAD --out OUT/run",
        {**PAIRED, "zero.tif": "is zero everywhere; there is nothing to learn"},
    ),
    "denoise": ("denoise BAD OUT/a.tif --model box.zip", DENOISED),
    "denoise --model": ("denoise good.tif OUT/a.tif --model BAD", NO_PACKAGE),
    "model run": ("model run box.zip BAD OUT/a.tif", DENOISED),
    "model run PACKAGE": ("model run BAD good.tif OUT/a.tif", NO_PACKAGE),
    "model info": ("model info BAD", NO_PACKAGE),
    "model check": ("model check BAD --skip-zoo", NO_PACKAGE),
    "export": (
        "export BAD OUT/a.zip",
        dict.fromkeys(("missing", "folder.tif", "text.tif", "box.zip"), "holds no checkpoint.pt; give the folder"),
    ),
    "score": ("score BAD --truth good.tif", {**UNREADABLE, **COLOUR, **NOT_FINITE, **SHAPES}),
    "score --truth": (
        "score good.tif --truth BAD",
        {
            **UNREADABLE,
            **COLOUR,
            **NOT_FINITE,
            **SHAPES,
            "constant.tif": "is constant (7)",
            "zero.tif": "is constant (0)",
        },
    ),
    "judge": (
        "judge BAD good.tif --out OUT/a.html",
        {**UNREADABLE, **COLOUR, **SHAPES, "constant.tif": "is constant (7)", "nan_only.tif": "has no finite pixel"},
    ),
    "judge RESULT": ("judge good.tif BAD --out OUT/a.html", {**UNREADABLE, **COLOUR, **SHAPES}),
    "judge --repeat": (
        "judge good.tif good.tif --repeat BAD --out OUT/a.html",
        {
            **UNREADABLE,
            **COLOUR,
            "other.tif": "a repeat is the same picture taken again",
            "good.tif": "the picture and its repeat are equal",
            "constant.tif": "of the repeat is constant (7)",
        },
    ),
    "judge --exposure": (
        "judge good.tif good.tif --exposure BAD --out OUT/a.html",
        {**UNREADABLE, **COLOUR, "good.tif": "is one read; an exposure has 2 reads or more"},
    ),
    "judge --model": ("judge good.tif good.tif --model BAD --out OUT/a.html", NO_PACKAGE),
    "ndr subtract": (
        "ndr subtract BAD OUT/a.tif --difference 2",
        {**UNREADABLE, **COLOUR, "good.tif": "is one read; an exposure has 2 reads or more"},
    ),
    "ndr fit": (
        "ndr fit BAD OUT/a.tif",
        {**UNREADABLE, **COLOUR, "good.tif": "is one read; an exposure has 2 reads or more"},
    ),
    "ndr measure": ("ndr measure BAD", {**UNREADABLE, **COLOUR, **NOT_FINITE}),
    "ndr simulate": ("ndr simulate OUT/a.tif --image BAD", {**UNREADABLE, **COLOUR, "nan.tif": "NaN or infinite"}),
    "fiji run": ("fiji run Invert --image BAD", UNREADABLE),
}

ROWS = [(line, name, message) for line, table in VERBS.values() for name, message in table.items()]


@pytest.fixture
def run(bad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a line of the tables in this process; BAD, OUT and names of files become paths."""

    def call(line: str, name: str = "") -> tuple[int, str, str]:
        words = []
        for word in line.replace("BAD", name).replace("OUT", str(tmp_path)).split():
            words.append(str(bad / word) if (bad / word).exists() or word == name else word)
        if words[0] == "train":
            words += [word for pair in TINY if pair[0] not in words for word in pair]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code = cli.run(words)
        written = capsys.readouterr()
        return code, written.out, written.err

    return call


@pytest.mark.parametrize(("line", "name", "message"), ROWS, ids=[f"{line}-{name}" for line, name, _ in ROWS])
def test_a_bad_input_is_one_line_and_leaves_nothing(
    run: Any, tmp_path: Path, line: str, name: str, message: str
) -> None:
    if line.startswith("fiji"):
        pytest.importorskip("jpype")
    code, out, err = run(line, name)
    assert code == 2, err
    assert err.count("\n") == 1
    assert err.startswith("quietframe: ")
    assert message in err
    assert "--axes" not in err or not line.startswith(("train", "score"))  # which have no such option
    assert out == ""
    assert list(tmp_path.iterdir()) == []


OPTIONS = [
    ("inof good.tif", 'Did you mean "info"?'),
    ("train n3v good.tif --out OUT/run", 'Did you mean "n2v"?'),
    ("train n2v good.tif --out OUT/run --stepz 3", "Did you mean --steps?"),
    ("train n2v good.tif --out OUT/run --steps 0", "--steps 0: give 1 or more"),
    ("train n2v good.tif --out OUT/run --patch-px 15", "--patch-px 15: give 16 or more"),
    ("train n2v good.tif --out OUT/run --device gpu", 'Did you mean "cpu"?'),
    ("train n2v good.tif", "--out requires an argument"),
    ("train care good.tif --out OUT/run", "care learns from pairs: give --target"),
    ("train care good.tif stack.tif --target good.tif --out OUT/run", "2 pictures but 1 targets"),
    ("denoise good.tif OUT/a.tif --model box.zip --axes ZQ", "'Q' is not one of STCZYX"),
    ("denoise stack.tif OUT/a.tif --model box.zip --axes YXT", "must end in YX"),
    ("denoise good.tif OUT/a.tif --model box.zip --provider gpu", "unknown provider 'gpu': did you mean cpu?"),
    ("denoise good.tif OUT/a.tif --model box.zip --tile 5", "the smallest tile is 12"),
    ("denoise good.tif OUT/a.tif --model box.zip --threads 1000000", "threads must be 1 to 1024"),
    ("denoise good.tif OUT/a.png --model box.zip", "PNG holds uint8 or uint16, not float32"),
    ("denoise good.tif OUT/a.xyz --model box.zip", "unknown suffix '.xyz'; allowed: .tif"),
    ("model chek box.zip", 'Did you mean "check"?'),
    ("score good.tif --truth good.tif --data-range nan", "the data range must be a number above 0; got nan"),
    ("ndr subtract stack.tif OUT/a.tif --difference 60", "6"),
    ("ndr subtract stack.tif OUT/a.tif --difference 2 --spacing guardd", "guarded"),
    ("fiji install --fiji OUT", "is no Fiji: it has no folders 'jars' and 'plugins'"),
    ("fiji uninstall --fiji OUT", "is no Fiji: it has no folders 'jars' and 'plugins'"),
    ("fiji run Invert sigma", "'sigma' is no option; write key=value"),
    ("fiji run none.ijm --image good.tif", "--image is for menu commands"),
]


@pytest.mark.parametrize(("line", "message"), OPTIONS, ids=[line for line, _ in OPTIONS])
def test_a_bad_option_is_one_line_and_leaves_nothing(run: Any, tmp_path: Path, line: str, message: str) -> None:
    code, out, err = run(line)
    assert code == 2, err
    assert err.count("\n") == 1
    assert message in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


WRITERS = [
    "train n2v good.tif --out PLACE",
    "train care good.tif --target good.tif --out PLACE",
    "denoise good.tif PLACE.tif --model box.zip",
    "model run box.zip good.tif PLACE.tif",
    "export RUN PLACE.zip",
    "judge good.tif good.tif --out PLACE.html",
    "ndr subtract stack.tif PLACE.tif --difference 2",
    "ndr fit stack.tif PLACE.tif",
    "ndr simulate PLACE.tif --image good.tif --reads 4",
]


@pytest.mark.parametrize("line", WRITERS)
def test_an_output_that_exists_stays_as_it_was(run: Any, tmp_path: Path, line: str) -> None:
    place = tmp_path / "taken"
    for suffix in ("", ".tif", ".zip", ".html"):
        place.with_suffix(suffix).write_bytes(b"mine")
    code, _, err = run(line.replace("PLACE", str(place)).replace("RUN", str(tmp_path)))
    assert code == 2
    assert err.count("\n") == 1
    assert "exists; choose another name or add --overwrite" in err or "is a file; --out takes a folder" in err
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"mine"}


@pytest.mark.parametrize("line", WRITERS)
@pytest.mark.parametrize("where", ["missing folder", "file as folder", "/proc"])
def test_a_place_that_cannot_be_written_is_one_line(run: Any, tmp_path: Path, line: str, where: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    # /proc says even to root that it may write there, until it does
    place = {"missing folder": tmp_path / "none" / "a", "file as folder": file / "a", "/proc": Path("/proc/a")}[where]
    if where == "/proc" and not Path("/proc/self").is_dir():
        pytest.skip("no /proc here")
    if where == "/proc" and line.startswith("export"):
        pytest.skip("needs a run; the package goes through the same door as all other files")
    code, out, err = run(line.replace("PLACE", str(place)).replace("RUN", str(tmp_path)))
    assert code == 2, err
    assert err.count("\n") == 1
    assert "does not exist; make it first" in err or "/proc/a" in err
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


ODD = [
    ("info rgb.png", "axes", "SYX"),
    ("info nan.tif", "n_nan", 40),
    ("info nan_only.tif", "mean", None),
    ("info pixel.tif", "shape", [1, 1]),
    ("info constant.tif", "noise_sigma", 0),
    ("denoise constant.tif OUT/a.tif --model box.zip", "axes", "YX"),
    ("score good.tif --truth good.tif", "psnr", None),
    ("judge nan.tif good.tif --out OUT/a.html", "evidence", "none"),
]


@pytest.mark.parametrize(("line", "key", "value"), ODD)
def test_an_odd_input_has_a_stated_answer_in_valid_json(run: Any, line: str, key: str, value: object) -> None:
    code, out, err = run(f"{line} --json")
    assert (code, err) == (0, "")
    answer = json.loads(out, parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    assert answer[key] == value
