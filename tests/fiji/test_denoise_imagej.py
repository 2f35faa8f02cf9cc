"""Denoise in the real ImageJ against ONNX Runtime in Python: the same network, the same pixels, the same values."""

from __future__ import annotations

import runpy
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image

onnx_models = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("onnx_models.py"))))

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
COMMAND = "Quietframe Denoise"
TOLERANCE = 1e-5
"""Of the range of the result: what the project promises; both run float32 kernels of ONNX Runtime."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.write_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).poisson(100, shape).astype(np.float32)


def assert_equal(result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    assert result.shape == expected.shape
    assert np.abs(result - expected).max() <= TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize("tile", ["auto", "0", "32", "40"])
@pytest.mark.parametrize("shape", [(64, 64), (61, 83), (9, 200), (8, 8)])
def test_pixels_equal_those_of_python_tiled_and_not(
    imagej: Fiji, model: Path, shape: tuple[int, int], tile: str
) -> None:
    pixels = picture(*shape)
    result = imagej.run_command(COMMAND, pixels, model=model, tile=tile)["result"]
    assert result.array.dtype == np.float32
    assert_equal(result.array, onnx_models.run_model(model, pixels))


@pytest.mark.parametrize(("axes", "shape"), [("ZYX", (3, 31, 40)), ("TYX", (3, 31, 40)), ("TZCYX", (2, 3, 2, 24, 20))])
def test_every_plane_of_a_stack_is_denoised_and_axes_calibration_and_labels_stay(
    imagej: Fiji, model: Path, axes: str, shape: tuple[int, ...]
) -> None:
    pixels = picture(*shape)
    labels = tuple(f"plane {number}" for number in range(int(np.prod(shape[:-2]))))
    sizes = {"Y": 0.1, "X": 0.1} | ({"Z": 0.5} if "Z" in axes else {})
    given = Image(pixels, axes, sizes, 0.25, {"sample": "cells"}, labels)
    result = imagej.run_command(COMMAND, given, model=model)["result"]
    assert_equal(result.array, onnx_models.run_model(model, pixels))
    assert (result.axes, result.labels) == (axes, labels)
    assert result.pixel_size_um == pytest.approx(sizes)
    assert result.frame_interval_s == pytest.approx(0.25)
    assert result.info["sample"] == "cells"
    assert result.info["quietframe.command"] == "denoise"
    assert result.info["quietframe.provider"] == "cpu"
    assert "not CUDA" in result.info["quietframe.provider_note"]
    assert result.info["quietframe.tile"] == "one shot"


def test_a_package_runs_as_its_bare_network_and_sixteen_bit_as_float(imagej: Fiji, model: Path, tmp_path: Path) -> None:
    package = onnx_models.write_model(tmp_path / "my model.zip")
    pixels = picture(40, 50)
    result = imagej.run_command(COMMAND, pixels.astype(np.uint16), model=package, provider="cpu")["result"]
    assert_equal(result.array, onnx_models.run_model(model, pixels))
    assert result.info["quietframe.model"] == "my model.zip"


def test_signed_sixteen_bit_images_are_denoised_by_their_real_values(imagej: Fiji, model: Path) -> None:
    # ImageJ stores -5 as 32763 with a calibration curve; the network must see -5.
    pixels = (picture(24, 24) - 100).astype(np.int16)
    imageplus = imagej.to_imageplus((pixels.astype(np.int32) + 32768).astype(np.uint16))
    imageplus.getCalibration().setSigned16BitCalibration()
    np.testing.assert_array_equal(imagej.from_imageplus(imageplus).array, pixels)
    result = imagej.run_command(COMMAND, imageplus, model=model)["result"]
    assert_equal(result.array, onnx_models.run_model(model, pixels))


@pytest.mark.slow
def test_a_hundred_calls_from_macros_leave_the_resident_memory_as_the_first_ten_did(imagej: Fiji, model: Path) -> None:
    psutil = pytest.importorskip("psutil")
    from jpype import JClass

    macro = f"""
        setBatchMode(true);
        newImage("noise", "32-bit noise", 512, 512, 1);
        for (i = 0; i < CALLS; i++) {{
            run("Quietframe Denoise", "model=[{model}] provider=cpu tile=256 threads=1");
            close();
        }}
    """

    runtime = JClass("java.lang.Runtime").getRuntime()

    def memory(calls: int) -> tuple[int, int, int]:
        imagej.run_macro(macro.replace("CALLS", str(calls)))
        JClass("java.lang.System").gc()
        heap = int(runtime.totalMemory())
        # Java's compiler takes some 100 MB for moments; the lowest of a second is what stays.
        readings = [(time.sleep(0.1), psutil.Process().memory_info().rss)[1] for _ in range(10)]
        return min(readings), heap, heap - int(runtime.freeMemory())

    before, heap_before, used_before = memory(10)
    after, heap_after, used_after = memory(90)
    # The bound that the project promises. A leak of the results alone would be 90 x 1 MB, of the sessions far more.
    # Java takes and returns memory for its heap as it likes; what lies in it after a collection must not grow.
    assert used_after <= 1.05 * used_before
    assert after - max(0, heap_after - heap_before) <= 1.05 * before


def test_the_session_is_kept_until_file_provider_or_threads_change(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    of = JClass("org.quietframe.OnnxModel").of
    path = onnx_models.write_model(tmp_path / "kept.onnx")
    first = of(str(path), "cpu", 1)
    assert of(str(path), "cpu", 1).equals(first)
    assert not of(str(path), "cpu", 2).equals(first)
    assert not of(str(path), "auto", 2).equals(of(str(path), "cpu", 2))
    kept = of(str(path), "cpu", 1)
    onnx_models.write_model(path, properties={"method": "another name, so another size"})
    changed = of(str(path), "cpu", 1)
    assert not changed.equals(kept)
    assert str(changed.getSource().property("method")) == "another name, so another size"


def test_models_of_the_models_folder_are_called_by_their_names(imagej: Fiji, tmp_path: Path) -> None:
    from jpype import JClass

    system, models = JClass("java.lang.System"), JClass("org.quietframe.Models")
    package = onnx_models.write_model(tmp_path / "cells 2.zip")
    onnx_models.write_model(tmp_path / "bare.onnx")
    (tmp_path / "unpacked").mkdir()
    onnx_models.write_model(tmp_path / "unpacked" / "weights.onnx")
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "empty").mkdir()
    before = system.setProperty("quietframe.models", str(tmp_path))
    try:
        assert [str(name) for name in models.names()] == ["bare.onnx", "cells 2.zip", "unpacked"]
        pixels = picture(24, 24)
        expected = onnx_models.run_model(tmp_path / "bare.onnx", pixels)
        for name in ("cells 2", "cells 2.zip", "bare", "unpacked", package):
            result = imagej.run_command(COMMAND, pixels, model=name)["result"]
            assert_equal(result.array, expected)
        with pytest.raises(FijiError, match=r"no model is given: .* or one of bare.onnx, cells 2.zip, unpacked \(in "):
            imagej.run_command(COMMAND, pixels)
        with pytest.raises(FijiError, match=r"the model gone does not exist; .* or one of bare.onnx"):
            imagej.run_command(COMMAND, pixels, model="gone")
    finally:
        if before is None:
            system.clearProperty("quietframe.models")
        else:
            system.setProperty("quietframe.models", before)


def test_tiled_memory_does_not_grow_with_calls(imagej: Fiji, model: Path) -> None:
    psutil = pytest.importorskip("psutil")
    from jpype import JClass

    imageplus = imagej.to_imageplus(picture(256, 256))
    denoise = JClass("org.quietframe.OnnxDenoiser").denoise

    def resident(calls: int) -> int:
        for _ in range(calls):
            denoise(imageplus, str(model), "cpu", "64", 0)
        JClass("java.lang.System").gc()
        return int(psutil.Process().memory_info().rss)

    before = resident(10)
    # 30 calls allocate 30 x 25 tensors of 16 kB and 30 buffers; a leak of tensors alone would be 24 MB.
    assert resident(30) - before < 12e6


@pytest.mark.parametrize(
    ("options", "properties", "message"),
    [
        ({"model": ""}, None, "no model is given"),
        ({"model": "gone.zip"}, None, "does not exist"),
        ({"provider": "cuda"}, None, "provider cuda cannot be used: .*provider=cpu"),
        ({"provider": "gpu"}, None, "unknown provider 'gpu': allowed: auto, cpu, cuda"),
        ({"threads": 5000}, None, r"threads must be 0 \(all \d+ of this machine\) to 1024; got 5000"),
        ({"threads": "two"}, None, "option threads must be a .* got 'two'"),
        ({"tile": "8"}, None, "tile 8 is too small .* smallest tile is 12"),
        ({"tile": "big"}, None, "tile must be auto, 0 .* got 'big'"),
        ({"til": "8"}, None, "unknown option 'til'"),
        ({}, {"axes": None}, "does not say what its axes are"),
        ({}, {"axes": "NZYX"}, r"takes axes NZYX; models for planes \(NCYX\) and volumes \(NCZYX\) run"),
        ({}, {"halo": "x"}, "quietframe.halo is x, not a number of pixels; export"),
        ({}, {"halo": "4,4"}, "quietframe.halo is 4,4, not a number of pixels"),
        ({}, {"outputs": "mean"}, "no output mean; it has denoised"),
        ({}, {"min": "64"}, "needs at least 64 x 64"),
    ],
)
def test_what_cannot_be_run_is_said_in_one_line(
    imagej: Fiji, tmp_path: Path, options: dict[str, Any], properties: dict[str, str | None] | None, message: str
) -> None:
    path = onnx_models.write_model(tmp_path / "tiny.onnx", properties=properties)
    with pytest.raises(FijiError, match=message) as error:
        imagej.run_command(COMMAND, picture(30, 30), **{"model": path, **options})
    assert "\n" not in str(error.value)


def test_models_of_two_channels_and_damaged_files_are_refused(imagej: Fiji, tmp_path: Path) -> None:
    empty = tmp_path / "empty.zip"
    empty.write_bytes(onnx_models.write_model(tmp_path / "a.zip").read_bytes()[:200])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no protobuf at all")
    for path, message in {
        onnx_models.write_model(tmp_path / "two.onnx", channels=2): "takes 2 channels at once",
        empty: "not a readable zip",
        broken: "is no ONNX model",
    }.items():
        with pytest.raises(FijiError, match=message):
            imagej.run_command(COMMAND, picture(30, 30), model=path)


def test_networks_of_others_are_refused_with_what_is_wrong_and_what_to_do(imagej: Fiji, tmp_path: Path) -> None:
    import onnx

    tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "tiny_models.py")))

    def identity(dtype: int) -> bytes:
        node = onnx.helper.make_node("Identity", ["input"], ["denoised"])
        return tiny.finish([node], ["input"], ("batch", 1, "height", "width"), dtype, {}, tiny.OWN)

    newer = onnx.load_from_string(tiny.box_model())
    newer.opset_import[0].version = 99
    damaged = onnx.load_from_string(tiny.box_model())
    damaged.graph.node[0].op_type = "NoSuchOperator"
    for number, (content, message) in enumerate(
        {
            identity(onnx.TensorProto.DOUBLE): "input is double; .* export the model with a float32 input",
            identity(onnx.TensorProto.INT64): "input is int64; .* export the model with a float32 input",
            tiny.box_model(inputs=2): r"takes 2 inputs \(input, second\); networks with one run here",
            tiny.box_model(shape=("batch", 1, 32, 40)): "exactly 32 x 40 .* this one has 30 x 30; crop it",
            tiny.box_model(shape=("batch", 1, "height", 40)): "takes pictures of exactly any x 40",
            tiny.box_model(properties={}): r"does not say what its axes are \(.*opset 17\); .* others in deepImageJ",
            newer.SerializeToString(): r"cannot load it \(opset 99, IR 8; Quietframe exports float32, opset 17",
            damaged.SerializeToString(): "cannot load it .*NoSuchOperator",
            tiny.box_model(gain=float("nan")): "returns NaN or infinite values; its weights are damaged",
        }.items()
    ):
        path = tmp_path / f"other {number}.onnx"
        path.write_bytes(content)
        with pytest.raises(FijiError, match=message) as error:
            imagej.run_command(COMMAND, picture(30, 30), model=path)
        assert "\n" not in str(error.value)


def test_a_network_of_one_size_runs_on_pictures_of_that_size_also_where_tiles_would_be_cut(
    imagej: Fiji, tmp_path: Path
) -> None:
    tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "tiny_models.py")))
    path = tmp_path / "fixed.onnx"
    path.write_bytes(tiny.box_model(shape=("batch", 1, 1040, 2048)))  # above 2 Mpixel, where auto cuts tiles
    pixels = picture(1040, 2048)
    result = imagej.run_command(COMMAND, pixels, model=path)["result"]
    assert_equal(result.array, tiny.box_truth(pixels))


def test_a_package_whose_weights_were_changed_is_refused(imagej: Fiji, tmp_path: Path) -> None:
    import zipfile

    tiny = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "tiny_models.py")))
    path = tiny.write_box_package(tmp_path / "box.zip")
    assert imagej.run_command(COMMAND, picture(30, 30), model=path)["result"].array.shape == (30, 30)
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        new.writestr("rdf.yaml", old.read("rdf.yaml"))
        new.writestr("weights.onnx", tiny.box_model(gain=2))
    with pytest.raises(FijiError, match=r"does not have the checksum that rdf\.yaml declares"):
        imagej.run_command(COMMAND, picture(30, 30), model=changed)


def test_nan_and_colour_are_refused(imagej: Fiji, model: Path) -> None:
    from jpype import JClass

    pixels = picture(3, 30, 30)
    pixels[1, 4, 4] = np.nan
    with pytest.raises(FijiError, match=r"plane 2 of 3: 1 of 900 pixels are NaN"):
        imagej.run_command(COMMAND, pixels, model=model)
    colour = JClass("ij.IJ").createImage("photo", "RGB white", 20, 20, 1)
    with pytest.raises(FijiError, match=r"'photo' is a colour image \(RGB\)"):
        imagej.run_command(COMMAND, colour, model=model)
    with pytest.raises(FijiError, match="no image is open"):
        imagej.run_command(COMMAND, model=model)
