"""Mismatch warnings, Model Info and Doctor in the real ImageJ."""

from __future__ import annotations

import json
import runpy
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.fiji import jar
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError

pytest.importorskip("onnx")
onnx_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("onnx_models.py"))))
STATISTICS = {"mean": 100.0, "std": 10.0, "p01": 80.0, "p50": 100.0, "p999": 160.0, "min": 60, "max": 200}
RECORD = {
    "statistics": {**STATISTICS, "channels": [STATISTICS]},
    "settings": {"steps": 400, "seed": 1, "loss": 'l1 "robust" µ', "resume": None},
    "provenance": {"files": [{"name": "cells.tif"}]},
}


def package(path: Path, record: str = json.dumps(RECORD)) -> Path:
    onnx_models.write_model(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("quietframe.json", record)
    return path


def test_imagej_says_what_the_vectors_say(imagej: Fiji, vectors: Any) -> None:
    from jpype import JArray, JClass, JDouble, JFloat

    compare, arrays, maps = (
        JClass("org.quietframe.Mismatch").compare,
        JClass("java.util.ArrayList"),
        JClass("java.util.HashMap"),
    )
    for case in vectors("mismatch.json")["cases"]:
        planes, known = arrays(), maps()
        for plane in case["planes"]:
            planes.add(JArray(JFloat)([value for row in plane for value in row]))
        for key, value in case["statistics"].items():
            known.put(key, JClass("java.lang.Double")(JDouble(value)))
        said = compare(planes, known, -1 if case["channel"] is None else case["channel"])
        assert [str(text) for text in said] == case["said"], case["name"]


@pytest.mark.parametrize(
    "value", [0.0, 1.0, 12345.678, 99995.0, 0.00012345, 1.2345e-5, -3.25, 1234.5, 1e10, 0.1, 100.0, 7.03125]
)
def test_numbers_are_written_as_python_writes_them(imagej: Fiji, value: float) -> None:
    from jpype import JClass

    assert str(JClass("org.quietframe.Mismatch").brief(value)) == f"{value:.4g}"


@pytest.mark.parametrize(
    ("scale", "offset", "words"), [(1.0, 0.0, []), (1.0, 500.0, ["median"]), (20.0, -1900.0, ["deviation"])]
)
def test_a_picture_unlike_the_training_data_is_named_in_log_and_info(
    imagej: Fiji, tmp_path: Path, capfd: pytest.CaptureFixture[str], scale: float, offset: float, words: list[str]
) -> None:
    pixels = (np.random.default_rng(5).normal(100, 10, (3, 40, 41)) * scale + offset).astype(np.float32)
    result = imagej.run_command("Quietframe Denoise", pixels, model=package(tmp_path / "cells.zip"))["result"]
    said = result.info.get("quietframe.mismatch", "")
    assert [word for word in ("median", "deviation") if word in said] == words
    assert ("Quietframe Denoise: warning: the " in capfd.readouterr().out) == bool(words)


def test_model_info_tells_what_the_package_says(imagej: Fiji, tmp_path: Path) -> None:
    path = package(tmp_path / "my cells.zip")
    report = imagej.run_command("Quietframe Model Info", model=path)["report"].splitlines()
    for line in (
        f"file: {path}",
        "made by: Quietframe 0.1.0",
        "opset: 17, IR 8",
        "method: tiny",
        "unit: adu",
        "axes: NCYX (planes)",
        "outputs: denoised",
        "halo [px]: 4",
        "normalised by: mean 0, std 1",
        "training data p999: 160",
        "setting steps: 400",
        'setting loss: l1 "robust" µ',
    ):
        assert line in report
    assert any(line.startswith("runs here: on CPU, onnxruntime") for line in report)
    macro = f'run("Quietframe Model Info", "model=[{path}]"); return getInfo("quietframe.model");'
    assert imagej.run_macro(macro).splitlines() == report


def test_model_info_tells_of_others_models_that_they_do_not_run(imagej: Fiji, tmp_path: Path) -> None:
    tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "tiny_models.py")))
    path = tmp_path / "other.onnx"
    path.write_bytes(tiny.box_model(properties={}))
    report = imagej.run_command("Quietframe Model Info", model=path)["report"]
    assert "not by Quietframe" in report
    assert "runs here: to mend: no: other.onnx does not say what its axes are" in report


@pytest.mark.parametrize("record", ["{", '{"a": 01x}', '{"a" 1}', "[1, 2", '{"a": "\\q"}', "[" * 200, "1 2"])
def test_a_record_that_is_no_json_is_named(imagej: Fiji, tmp_path: Path, record: str) -> None:
    with pytest.raises(FijiError, match=r"quietframe\.json cannot be read \(no JSON at character \d+\)"):
        imagej.run_command("Quietframe Model Info", model=package(tmp_path / "a.zip", record))


def test_json_is_read_as_python_reads_it(imagej: Fiji) -> None:
    from jpype import JClass

    value = {
        "a": [1, -2.5, 1e-3, True, False, None, 'x"\\/\b\f\n\r\t\u00b5\u20ac'],
        "b": {"": {}},
        "c": [],
        "d": float("nan"),
    }
    for indent in (None, 2):
        found = JClass("org.quietframe.Json").parse(json.dumps(value, indent=indent))
        assert [str(key) for key in found.keySet()] == ["a", "b", "c", "d"]
        numbers = [float(item) for item in list(found.get("a"))[:3]]
        assert numbers == [1, -2.5, 1e-3]
        assert str(found.get("a")[6]) == value["a"][6]  # type: ignore[index]
        assert np.isnan(float(found.get("d")))


def test_doctor_finds_this_imagej_in_order(imagej: Fiji) -> None:
    outputs = imagej.run_command("Quietframe Doctor")
    report = outputs["report"]
    lines = dict(line.split(": ", 1) for line in report.splitlines())
    assert list(lines) == [
        "Java", "memory for Java", "ImageJ", "Quietframe", "ONNX Runtime", "CUDA", "models folder",
    ]  # fmt: skip
    assert lines["Quietframe"].endswith(jar.jar_name())
    assert "1.54p" in lines["ImageJ"]
    assert lines["ONNX Runtime"].startswith("1.26.0, ")
    assert lines["CUDA"].startswith("not used: the ONNX Runtime jar here is the one for CPUs")
    assert int(outputs["problems"]) == report.count("to mend")
    assert imagej.run_macro('run("Quietframe Doctor"); return getInfo("quietframe.doctor");') == report


def test_doctor_names_what_is_wrong_and_what_to_do(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    doctor, problem, files = JClass("org.quietframe.Doctor"), JClass("org.quietframe.Problem"), JClass("java.io.File")
    texts = JClass("java.util.ArrayList")
    for row, message in (
        (doctor.runtime(texts(["a/onnxruntime-1.jar", "b/onnxruntime_gpu-2.jar"])), "hold the same classes: keep one"),
        (doctor.runtime(texts([])), "not in Fiji's jars folder: run 'quietframe fiji install'"),
        (doctor.ours(texts(["a/quietframe-fiji-1.jar", "b/quietframe-fiji-2.jar"])), "are both there: keep the newer"),
        (doctor.models(files(str(tmp_path / "gone" / "models"))), "is not writable for you"),
    ):
        assert not row.isOk(), row
        assert message in str(row)
    assert doctor.models(files(str(tmp_path))).isOk()
    for version, major in (("1.8", 8), ("9", 9), ("10.0.2", 10)):
        with pytest.raises(
            problem, match=f"runs on Java {major}; Quietframe needs Java 11 or newer: download Fiji again"
        ):
            JClass("org.quietframe.Command").requireJava(version)
    JClass("org.quietframe.Command").requireJava("11")


def test_the_library_is_compiled_for_java_8_so_that_it_can_say_that_it_is_too_old() -> None:
    with zipfile.ZipFile(jar.ensure_jar()) as packed:
        versions = {packed.read(name)[7] for name in packed.namelist() if name.endswith(".class")}
    assert versions == {52}  # the class files' version of Java 8


def test_cuda_libraries_are_looked_for_by_name(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    libraries = JClass("org.quietframe.CudaLibraries")
    folders = JClass("java.util.ArrayList")([JClass("java.io.File")(str(tmp_path))])
    wanted = {str(key): str(libraries.wanted().get(key)) for key in libraries.wanted().keySet()}
    for name in list(wanted.values())[:-1]:
        (tmp_path / name).write_text("")
    said = str(libraries.describe(libraries.wanted(), folders))
    assert said.startswith("not on the library path of this Fiji: cuDNN 9 (libcudnn.so.9); install them")
    (tmp_path / wanted["cuDNN 9"]).write_text("")
    assert str(libraries.describe(libraries.wanted(), folders)) == "all its libraries are on the library path"
