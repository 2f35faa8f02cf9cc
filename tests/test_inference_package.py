"""Reading packages: ours, others', bare ONNX; everything that is none, or hostile, is refused by name."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe.errors import InputError, MissingExtraError
from quietframe.inference.onnx_header import read_header
from quietframe.inference.package import read_array, read_file, read_package

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))
BOX = tiny.box_model()


def test_header_says_what_the_onnx_library_says() -> None:
    model = onnx.load_from_string(BOX)
    header = read_header(BOX, "box.onnx")
    assert header.ir_version == model.ir_version == 8
    assert header.opset == model.opset_import[0].version == 17
    assert header.properties == {entry.key: entry.value for entry in model.metadata_props} == tiny.OWN


def test_every_truncated_onnx_file_is_refused() -> None:
    """The properties stand last: without all of them the file may parse, but never with an error that is ours."""
    for stop in range(0, len(BOX), 3):
        try:
            header = read_header(BOX[:stop], "box.onnx")
        except InputError:
            continue
        assert header.properties != tiny.OWN


@given(st.binary(max_size=400), st.integers(0, 400))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_random_bytes_give_a_header_or_a_named_error(noise: bytes, position: int) -> None:
    for data in (noise, BOX[:position] + noise + BOX[position + len(noise) :]):
        with suppress(InputError):
            assert read_header(data, "noise.onnx").ir_version > 0


@pytest.mark.parametrize("form", ["zip", "folder", "description", "onnx"])
def test_own_package_reads_the_same_in_every_form(tmp_path: Path, form: str) -> None:
    path = tiny.write_box_package(tmp_path / "box.zip")
    if form != "zip":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path / "box")
        path = {
            "folder": tmp_path / "box",
            "description": tmp_path / "box" / "rdf.yaml",
            "onnx": tmp_path / "box" / "weights.onnx",
        }[form]
    package = read_package(path)
    assert (package.kind, package.axes) == ("quietframe", "NCYX")
    assert (package.halo, package.step, package.minimum) == ((4, 4), (4, 4), (8, 8))
    assert package.any_size
    assert package.sha256 == hashlib.sha256(BOX).hexdigest()
    assert package.own("unit") == "adu"
    assert package.own("nothing") == ""


def test_statistics_come_from_the_record(tmp_path: Path) -> None:
    record = {"statistics": {"mean": 5, "std": 2.5, "target": {"mean": 1}, "note": "x"}}
    path = tiny.write_box_package(tmp_path / "box.zip", {"quietframe.json": json.dumps(record).encode()})
    assert read_package(path).statistics == {"mean": 5.0, "std": 2.5}


def test_others_onnx_without_properties_is_read_as_such(tmp_path: Path) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny.box_model(properties=None))
    package = read_package(tmp_path / "box.onnx")
    assert (package.kind, package.any_size, package.halo) == ("onnx", False, (0, 0))
    with pytest.raises(InputError, match="bare ONNX file"):
        read_file(package, "README.md")


@pytest.mark.parametrize("name", ["", "bioimageio.yaml", "v0_4_9.bioimageio.yaml", "v0_4_0.bioimageio.yaml"])
def test_a_published_package_of_others_is_read(data_dir: Path, name: str) -> None:
    package = read_package(data_dir / "bioimageio" / "unet2d_nuclei_broad" / name)
    assert package.kind == "bioimage.io"
    assert (package.size, package.halo, package.axes) == ((512, 512), (32, 32), "NCYX")
    assert "zero_mean_unit_variance" in [step.name for step in package.preprocessing]
    assert "sigmoid" in [step.name for step in package.postprocessing]
    assert "unet2d.py" in package.missing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "unet2d_nuclei_broad/invalid_v0_4_0_duplicate_tensor_names.bioimageio.yaml",
            "weights.onnx has sha256 85f5ac80[0-9a-f]{56}, but f1f086d5[0-9a-f]{56} is declared",
        ),
        ("n2v-sem-demo", r"format 0\.3\.2; 0\.4 and 0\.5 are read"),
    ],
)
def test_published_descriptions_that_are_wrong_or_old_are_refused(data_dir: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_package(data_dir / "bioimageio" / name)


def test_a_changed_byte_in_any_declared_file_is_found(tmp_path: Path) -> None:
    content = b"said of the model"
    attachment = [{"source": "about.txt", "sha256": hashlib.sha256(content).hexdigest()}]
    path = tiny.write_box_package(tmp_path / "good.zip", {"about.txt": content}, attachments=attachment)
    assert set(read_package(path).files) == {"about.txt", "weights.onnx"}
    path = tiny.write_box_package(tmp_path / "bad.zip", {"about.txt": b"Said of the model"}, attachments=attachment)
    with pytest.raises(InputError, match=rf"about.txt has sha256 [0-9a-f]{{64}}, but {attachment[0]['sha256']}"):
        read_package(path)


def _axes(*sizes: Any) -> dict[str, Any]:
    axes = [{"type": "batch"}, {"type": "channel", "channel_names": ["c"]}]
    return {"id": "input", "axes": axes + [{"type": "space", "id": i, "size": s} for i, s in sizes]}


GOOD = {"min": 8, "step": 4}
BAD_DESCRIPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"type": "dataset"}, "does not describe a model"),
    ({"format_version": "0.6.0"}, r"format 0\.6\.0; 0\.4 and 0\.5"),
    ({"format_version": None}, "format None"),
    ({"weights": {"torchscript": {"source": "weights.pt"}}}, "no ONNX weights; it has torchscript"),
    ({"weights": None}, "no ONNX weights; it has none"),
    ({"weights": {"onnx": {"source": "https://example.com/w.onnx"}}}, "download the complete package"),
    ({"weights": {"onnx": {"source": "missing.onnx"}}}, "does not hold missing.onnx; it holds"),
    ({"weights": {"onnx": {"source": "../weights.onnx"}}}, "points outside"),
    ({"weights": {"onnx": {"source": "rdf.yaml"}}}, "is no ONNX model"),
    ({"weights": {"onnx": {"source": "weights.onnx", "external_data": {}, "x": 1}}}, None),
    ({"weights": {"onnx": {"source": "weights.onnx", "external_data": {"source": "d"}}}}, "split over two files"),
    ({"inputs": [{"id": "a", "axes": []}, {"id": "b", "axes": []}]}, r"takes 2 inputs \(a, b\)"),
    ({"inputs": []}, "takes 0 inputs"),
    ({"inputs": "input"}, "takes 5 inputs|not described"),
    ({"inputs": [_axes(("z", GOOD), ("y", GOOD), ("x", GOOD))]}, "models of planes"),
    ({"inputs": [_axes(("y", GOOD))]}, "models of planes"),
    ({"inputs": [_axes(("y", "large"), ("x", GOOD))]}, "not described as the format demands"),
    ({"inputs": [{**_axes(("y", GOOD), ("x", GOOD)), "preprocessing": [{"id": "magic"}]}]}, "step 'magic' is not"),
    (
        {"inputs": [{**_axes(("y", GOOD), ("x", GOOD)), "preprocessing": [{"id": "binarize"}]}]},
        "binarize cannot be applied",
    ),
]


@pytest.mark.parametrize(("changes", "message"), BAD_DESCRIPTIONS)
def test_descriptions_that_cannot_be_used_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str | None
) -> None:
    path = tiny.write_box_package(tmp_path / "box.zip", **changes)
    if message is None:
        assert read_package(path).name == "Box"
        return
    with pytest.raises(InputError, match=message):
        read_package(path)


BAD_YAML: list[tuple[bytes, str]] = [
    (b"\xff\xfe\x00", "is not YAML"),
    (b"name: [", "is not YAML"),
    (b"[" * 5000, "is not YAML"),
    (b"- a\n- b\n", "does not describe a model"),
    (b"!!python/object/apply:os.system ['true']", "is not YAML"),
    (b"#" * (4 * 1024**2 + 1), "at most 4194304"),
]


@pytest.mark.parametrize(("text", "message"), BAD_YAML)
def test_descriptions_that_are_no_yaml_are_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "rdf.yaml").write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_package(tmp_path)


def test_nested_anchors_do_not_take_forever(tmp_path: Path) -> None:
    lines = ["type: model", "format_version: 0.5.4", "a0: &a0 [{source: x}]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 25)]
    (tmp_path / "rdf.yaml").write_text("\n".join(lines))
    begin = time.process_time()
    with pytest.raises(InputError, match="no ONNX weights"):
        read_package(tmp_path)
    assert time.process_time() - begin < 2


def _zip(path: Path, entries: list[tuple[zipfile.ZipInfo | str, bytes]], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def _encrypted(path: Path) -> Path:
    data = bytearray(_zip(path, [("rdf.yaml", b"a: 1")]).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1  # the flag in the central directory
    path.write_bytes(bytes(data))
    return path


def _bomb(path: Path) -> Path:
    return _zip(path, [("rdf.yaml", bytes(70 * 1024**2))], compression=zipfile.ZIP_LZMA)


def _liar(path: Path) -> Path:
    """Announce 3.9 GB for four bytes."""
    data = bytearray(_zip(path, [("rdf.yaml", b"a: 1")]).read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = (3_900_000_000).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return path


def _damaged(path: Path) -> Path:
    data = bytearray(tiny.write_box_package(path).read_bytes())
    at = data.index(b"format_version")
    data[at : at + 4] = b"FORM"
    path.write_bytes(bytes(data))
    return path


BAD_FILES: list[tuple[Any, str]] = [
    (lambda path: path, "does not exist"),
    (lambda path: path.write_bytes(b""), "is no model package"),
    (lambda path: path.write_bytes(b"II*\0picture"), "is no model package"),
    (lambda path: _zip(path, []), "holds no rdf.yaml, but nothing"),
    (lambda path: _zip(path, [("weights.onnx", BOX)]), "holds no rdf.yaml, but weights.onnx"),
    (lambda path: _zip(path, [("../rdf.yaml", b"")]), "points outside"),
    (lambda path: _zip(path, [("/etc/rdf.yaml", b"")]), "points outside"),
    (lambda path: _zip(path, [("a/../../rdf.yaml", b"")]), "points outside"),
    (lambda path: _zip(path, [("C:/rdf.yaml", b"")]), "points outside"),
    (_encrypted, "encrypted"),
    (_bomb, "would unpack from"),
    (_liar, "would unpack from"),
    (_damaged, "rdf.yaml is damaged"),
]


@pytest.mark.parametrize(("make", "message"), BAD_FILES)
def test_files_that_are_no_package_or_hostile_are_refused(tmp_path: Path, make: Any, message: str) -> None:
    path = tmp_path / "model.zip"
    make(path)
    with pytest.raises(InputError, match=message):
        read_package(path)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 3))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_a_zip_with_changed_bytes_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], tail: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    data = bytearray(tiny.write_box_package(path).read_bytes())
    for where, value in changes:  # the directory of a zip stands at its end
        data[-1 - int(where * (len(data) // (1 + 4 * tail) - 1))] = value
    path.write_bytes(bytes(data))
    with suppress(InputError):
        assert read_package(path).sha256 == hashlib.sha256(BOX).hexdigest()


def test_a_zip_with_too_many_files_is_refused(tmp_path: Path) -> None:
    _zip(tmp_path / "m.zip", [(f"{number}.txt", b"") for number in range(10_001)])
    with pytest.raises(InputError, match="10001 files"):
        read_package(tmp_path / "m.zip")


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no rdf\.yaml, but nothing"):
        read_package(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("quietframe.halo", "wide", "quietframe.halo must be a whole number >= 0; it is 'wide'"),
        ("quietframe.step", "0", "quietframe.step must be a whole number >= 1"),
        ("quietframe.min", "-8", "quietframe.min must be"),
        ("quietframe.min", "8²", "quietframe.min must be"),
        ("quietframe.axes", "NZYX", "axes 'NZYX' are not run by this version of Quietframe; NCYX and NCZYX are"),
        ("quietframe.axes", "NCZYX", r"quietframe.min must be three whole numbers \(z,y,x\) >= 1; it is '8'"),
        ("quietframe.halo", "4,4", "quietframe.halo must be a whole number >= 0; it is '4,4'"),
    ],
)
def test_own_properties_that_make_no_sense_are_named(tmp_path: Path, key: str, value: str, message: str) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny.box_model({**tiny.OWN, key: value}))
    with pytest.raises(InputError, match=message):
        read_package(tmp_path / "box.onnx")


def test_without_yaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.write_box_package(tmp_path / "box.zip")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'quietframe\[cpu\]'"):
        read_package(path)


def test_arrays_inside_are_read_without_pickles(tmp_path: Path) -> None:
    files = {
        "a.npy": tiny.npy(np.arange(6).reshape(2, 3)),
        "evil.npy": tiny.npy(np.array([{}], dtype=object)),
        "text.npy": b"no array",
    }
    package = read_package(tiny.write_box_package(tmp_path / "box.zip", files))
    assert read_array(package, "a.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    for name in ("evil.npy", "text.npy"):
        with pytest.raises(InputError, match=f"{name} is no .npy array"):
            read_array(package, name)
    with pytest.raises(InputError, match=r"does not hold b\.npy"):
        read_array(package, "b.npy")


def test_a_folder_and_its_zip_give_equal_packages(tmp_path: Path) -> None:
    path = tiny.write_box_package(tmp_path / "box.zip")
    shutil.unpack_archive(path, tmp_path / "box")
    assert yaml.safe_load((tmp_path / "box" / "rdf.yaml").read_text())["name"] == "Box"
    assert read_package(path).description == read_package(tmp_path / "box").description
