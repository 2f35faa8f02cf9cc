"""``model info`` and ``model run`` on others' packages and on bare ONNX files, and their errors."""

from __future__ import annotations

import json
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from quietframe.errors import InputError, QuietframeError
from quietframe.images import read_image
from quietframe.verbs.model import check, info, run

tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("tiny_models.py"))))


def test_run_reproduces_the_published_output_of_others(data_dir: Path, tmp_path: Path) -> None:
    package = data_dir / "bioimageio" / "unet2d_nuclei_broad"
    result = run(package, package / "test_input.npy", tmp_path / "out.npy", provider="cpu")
    assert (result["provider"], result["shape"]) == ("cpu", [1, 1, 512, 512])
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), np.load(package / "test_output.npy"), atol=1e-5)


def test_check_reproduces_the_published_output_of_others(data_dir: Path) -> None:
    result = check(data_dir / "bioimageio" / "unet2d_nuclei_broad", skip_zoo=True)
    assert (result["passed"], result["exit_code"]) == (True, 0)
    assert {item["name"]: item["passed"] for item in result["checks"]} == {
        "files": True,
        "versions": None,
        "test tensors": True,
    }


def test_run_of_a_fixed_size_names_the_size(data_dir: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((512, 511)))
    with pytest.raises(InputError, match="exactly 512 x 512 pixels"):
        run(data_dir / "bioimageio" / "unet2d_nuclei_broad", tmp_path / "a.npy", tmp_path / "out.tif")


def test_run_applies_what_the_package_declares(tmp_path: Path) -> None:
    model = tiny.box_model(properties=None)
    described = tiny.description(model)
    inputs, outputs = described["inputs"][0], described["outputs"][0]
    inputs["preprocessing"] = [{"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 0.0}}]
    outputs["postprocessing"] = [{"id": "scale_linear", "kwargs": {"gain": 1.0, "offset": -7.0}}]
    path = tiny.write_box_package(
        tmp_path / "box.zip",
        {"weights.onnx": model},
        inputs=[inputs],
        outputs=[outputs],
        weights={"onnx": {"source": "weights.onnx"}},
    )
    picture = np.random.default_rng(0).poisson(80, (32, 36)).astype(np.float32)
    np.save(tmp_path / "a.npy", picture)
    run(path, tmp_path / "a.npy", tmp_path / "out.tif", tile="20")
    image = read_image(tmp_path / "out.tif")
    # 25 products in float32, then 7 is taken off: a few 1e-6 of 160
    np.testing.assert_allclose(image.array, 2 * tiny.box_truth(picture) - 7, atol=1e-3)
    assert image.info["quietframe.command"] == "model run"


def test_info_says_what_a_package_is_without_running_it(tmp_path: Path) -> None:
    record = {"settings": {"steps": 400}, "statistics": {"mean": 5.0, "std": 2.0}, "provenance": {"seed": 3}}
    path = tiny.write_box_package(tmp_path / "box.zip", {"quietframe.json": json.dumps(record).encode()}, id="box-1")
    result = info(path)
    assert (result["name"], result["kind"], result["id"], result["format"]) == ("Box", "quietframe", "box-1", "0.5.4")
    assert (result["method"], result["unit"], result["opset"], result["ir_version"]) == ("n2v", "adu", 17, 8)
    assert (result["halo"], result["step"], result["minimum"]) == (4, 4, 8)
    assert result["provenance"] == {"seed": 3}
    text = "\n".join(result["summary"])
    for part in ("Box (quietframe, box-1)", "method n2v, unit adu", "opset 17", "mean 5, std 2", "authors: not said"):
        assert part in text


def test_info_of_a_bare_file_and_of_others(tmp_path: Path, data_dir: Path) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny.box_model(properties=None))
    assert info(tmp_path / "box.onnx")["kind"] == "onnx"
    result = info(data_dir / "bioimageio" / "unet2d_nuclei_broad")
    assert (result["size"], result["opset"], result["license"]) == ([512, 512], 20, "MIT")
    assert "sigmoid" in result["postprocessing"]
    assert any("exactly 512 x 512" in line for line in result["summary"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.zip", None, "does not exist"),
        ("a.zip", b"PK\3\4 half", "is no model package"),
        ("a.onnx", b"text", "is no ONNX model"),
        ("a.onnx", b"", "is no ONNX model"),
        ("a.tif", b"II*\0", "is no model package"),
    ],
)
def test_what_is_no_package_is_named_by_every_command(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    np.save(tmp_path / "a.npy", np.ones((9, 9)))
    for command in (
        lambda: info(path),
        lambda: check(path),
        lambda: run(path, tmp_path / "a.npy", tmp_path / "out.tif"),
    ):
        with pytest.raises(QuietframeError, match=message):
            command()
    assert not (tmp_path / "out.tif").exists()


def test_a_wrong_test_tensor_fails_the_check_with_its_figure(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).poisson(80, (1, 1, 16, 16)).astype(np.float32)
    tensors = {"a.npy": tiny.npy(picture), "b.npy": tiny.npy(tiny.box_truth(picture[0, 0])[None, None] + 5)}
    described = tiny.description(tiny.box_model())
    inputs, outputs = described["inputs"][0], described["outputs"][0]
    inputs["test_tensor"], outputs["test_tensor"] = {"source": "a.npy"}, {"source": "b.npy"}
    path = tiny.write_box_package(tmp_path / "box.zip", tensors, inputs=[inputs], outputs=[outputs])
    result = check(path, skip_zoo=True)
    assert (result["passed"], result["exit_code"]) == (False, 2)
    (failed,) = [item for item in result["checks"] if item["passed"] is False]
    assert failed["name"] == "test tensors"
    assert "of the data range" in failed["note"]
    assert result["summary"][-1] == "Box: FAILED"


def test_the_check_finds_a_halo_that_is_too_small(tmp_path: Path) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny.box_model({**tiny.OWN, "quietframe.halo": "0"}))
    result = check(tmp_path / "box.onnx", skip_zoo=True)
    failed = [item["name"] for item in result["checks"] if item["passed"] is False]
    assert failed == ["tiles of 64 against the whole"]


def test_the_command_line_ends_with_2_when_a_check_fails(
    tmp_path: Path, quietframe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "box.onnx").write_bytes(tiny.box_model({**tiny.OWN, "quietframe.halo": "0"}))
    done = quietframe("model", "check", tmp_path / "box.onnx", "--skip-zoo")
    assert done.returncode == 2
    assert "FAILED: tiles of 64 against the whole" in done.stdout
    assert "Traceback" not in done.stderr
