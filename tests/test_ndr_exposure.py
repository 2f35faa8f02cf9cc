"""Opening exposures: what is known is taken from the file, what is wrong is refused or named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from quietframe.camera import Camera
from quietframe.errors import InputError, QuietframeError
from quietframe.images import Image, open_image, read_image, write_image
from quietframe.ndr.exposure import open_exposure
from quietframe.ndr.modulo import parse
from quietframe.ndr.raw_planes import raw_planes
from quietframe.verbs.ndr import CameraOptions, fit, subtract


def save(path: Path, reads: np.ndarray, axes: str = "TYX", *, seconds: float | None = None, **info: Any) -> Path:
    keys = {key.replace("__", "."): str(value) for key, value in info.items()}
    dtype = reads.dtype.name if reads.dtype.kind == "u" else "float32"
    write_image(path, Image(reads, axes, {"Y": 0.1, "X": 0.1}, seconds, keys), dtype=dtype)
    return path


@pytest.fixture
def reads(rng: np.random.Generator) -> np.ndarray:
    steps = rng.poisson(20.0, (10, 24, 20))
    return (100 + np.cumsum(steps, axis=0)).astype(np.uint16)


def test_keys_time_and_pixel_size_are_read(tmp_path: Path, reads: np.ndarray) -> None:
    path = save(tmp_path / "a_E0001_NDR.tif", reads, seconds=0.25, ndr__gain_e_per_adu=0.5, ndr__first_valid=3)
    with open_exposure(path) as exposure:
        assert exposure.camera == Camera(gain_e_per_adu=0.5, t_subframe_s=0.25)
        assert exposure.interval_s == 0.25
        assert exposure.first_valid == 2
        assert exposure.reads.shape == (10, 24, 20)
        assert exposure.notes == ()
        assert exposure.exposure == "a_E0001_NDR"
        np.testing.assert_array_equal(exposure.reads.plane(4), reads[4])
        np.testing.assert_array_equal(exposure.reads.rows(3, 9, 2, 7), reads[2:7, 3:9])


def test_given_values_win_over_the_files(tmp_path: Path, reads: np.ndarray) -> None:
    path = save(tmp_path / "a.tif", reads, seconds=0.25, ndr__gain_e_per_adu=0.5, ndr__t_subframe_s=0.125)
    with open_exposure(path, camera=Camera(gain_e_per_adu=2.0)) as exposure:
        assert exposure.camera == Camera(gain_e_per_adu=2.0, t_subframe_s=0.125)


def test_an_unsettled_first_interval_is_named_and_kept(tmp_path: Path, reads: np.ndarray) -> None:
    unsettled = reads.copy()
    unsettled[0] += 40
    with open_exposure(save(tmp_path / "a.tif", unsettled)) as exposure:
        (note,) = exposure.notes
        assert "reads 1 to 2 differ by -19.7" in note  # 20 photons more in each interval, 40 ADU less in the first
        assert "--first 2 leaves it out" in note
        assert exposure.first_valid == 0


def test_bleaching_is_not_taken_for_an_unsettled_reset(tmp_path: Path, rng: np.random.Generator) -> None:
    light = 50.0 * np.exp(-0.05 * np.arange(20))[:, None, None]
    reads = np.cumsum(rng.poisson(np.broadcast_to(light, (20, 32, 32))), axis=0).astype(np.uint16)
    with open_exposure(save(tmp_path / "a.tif", reads)) as exposure:
        assert exposure.notes == ()


def test_reads_with_missing_values_are_counted_and_named(tmp_path: Path, reads: np.ndarray) -> None:
    broken = reads.astype(np.float32)
    broken[3, :2, 0] = np.nan
    broken[7, 0, 0] = np.inf
    with open_exposure(save(tmp_path / "a.tif", broken)) as exposure:
        assert exposure.notes == ("NaN or infinite pixels in 2 of 10 reads (read 4: 2, read 8: 1)",)


def test_several_exposures_in_one_file_are_told_apart(tmp_path: Path, reads: np.ndarray) -> None:
    path = save(tmp_path / "a.tif", reads, ndr__n_subframes=5)
    with open_exposure(path, number=1) as exposure:
        assert len(exposure.reads) == 5
        assert "holds 2 exposures of 5 reads: exposure 2" in exposure.notes[0]
        np.testing.assert_array_equal(exposure.reads.plane(0), reads[5])
    with pytest.raises(InputError, match="holds 2 exposures; there is no exposure 3"):
        open_exposure(path, number=2)


def test_a_z_stack_is_refused_and_axes_override(tmp_path: Path, reads: np.ndarray) -> None:
    path = save(tmp_path / "z.tif", reads, "ZYX")
    with pytest.raises(InputError, match=r"is a z-stack: 10 planes along Z.*add --axes TYX"):
        open_exposure(path)
    with open_exposure(path, axes="TYX") as exposure:
        assert len(exposure.reads) == 10


@pytest.mark.parametrize(
    ("shape", "axes", "info", "message"),
    [
        ((1, 24, 20), "TYX", {}, "is one read; an exposure has 2 reads or more"),
        ((24, 20), "YX", {}, "is one read"),
        ((5, 2, 24, 20), "TCYX", {}, "C has 2; save one of them alone"),
        ((5, 24, 20), "TYX", {"ndr__difference": 20}, "is a result already"),
        ((5, 24, 20), "TYX", {"ndr__first_valid": 5}, "leaves fewer than two of 5 reads"),
        ((5, 24, 20), "TYX", {"ndr__first_valid": "two"}, "ndr.first_valid is not a number: 'two'"),
        ((5, 24, 20), "TYX", {"ndr__gain_e_per_adu": -1}, "gain_e_per_adu must be above 0; got -1"),
        ((5, 24, 20), "TYX", {"ndr__gain_e_per_adu": "high"}, "ndr.gain_e_per_adu is not a number: 'high'"),
        ((5, 24, 20), "TYX", {"ndr__n_subframes": "many"}, "ndr.n_subframes is not a number"),
    ],
)
def test_what_is_no_exposure_is_refused(
    tmp_path: Path, shape: tuple[int, ...], axes: str, info: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "a.tif", np.zeros(shape, np.uint16), axes, **info)
    with pytest.raises(QuietframeError, match=message):
        open_exposure(path)


def test_missing_and_cut_files_are_refused(tmp_path: Path, reads: np.ndarray) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_exposure(tmp_path / "nothing.tif")
    whole = save(tmp_path / "a.tif", reads).read_bytes()
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError), open_exposure(cut) as exposure:
        exposure.reads.rows(0, 24)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float64"])
def test_number_types_and_byte_orders_are_read(tmp_path: Path, reads: np.ndarray, dtype: str, byteorder: Any) -> None:
    values = (reads // 4).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values, byteorder=byteorder, metadata={"axes": "TYX"})
    with open_exposure(path) as exposure:
        np.testing.assert_array_equal(exposure.reads.rows(0, 24), values)
        np.testing.assert_array_equal(exposure.reads.rows(5, 9, 2, 4), values[2:4, 5:9])


@pytest.mark.parametrize(("compression", "direct"), [(None, True), ("zlib", False)])
def test_rows_come_straight_from_uncompressed_files_only(
    tmp_path: Path, reads: np.ndarray, compression: str | None, direct: bool
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, reads, imagej=compression is None, compression=compression, metadata={"axes": "TYX"})
    with open_image(path) as reader:
        raw = raw_planes(reader)
        assert (raw is not None) == direct
        if raw is not None:
            np.testing.assert_array_equal(raw.rows(3, 2, 7), reads[3, 2:7])
            raw.close()
    with open_exposure(path) as exposure:
        np.testing.assert_array_equal(exposure.reads.rows(2, 7), reads[:, 2:7])


def test_the_real_and_simulated_ramps_open_without_options(data_dir: Path) -> None:
    for name in ("ndr_real/wfc3_ramp_electrons.tif", "ndr_simulated/nuclei_lowflux_ramp1.tif"):
        with open_exposure(data_dir / name) as exposure:
            assert len(exposure.reads) in (4, 16)
            assert exposure.notes == ()
    with pytest.raises(InputError, match="is a z-stack: 25 planes"):
        open_exposure(data_dir / "neubias" / "xyz_calibrated_16bit__golgi_bfa.tif")


@pytest.mark.parametrize(
    ("annotation", "reads"),
    [
        ('<ModuloAlongT Type="other" TypeDescription="read" Start="0" Step="1" End="4"/>', 5),
        ('<ModuloAlongT Type="other" Start="0" Step="0.1" End="0.4"></ModuloAlongT>', 5),
        ('<ModuloAlongT Type="other"><Label>a</Label><Label>b</Label></ModuloAlongT>', 2),
        ('<ModuloAlongT Type="other" Start="0" Step="0" End="4"/>', None),
        ('<ModuloAlongT Type="other"/>', None),
        ('<ModuloAlongZ Start="0" Step="1" End="4"/>', None),
    ],
)
def test_modulo_along_t_tells_the_reads_of_an_exposure(annotation: str, reads: int | None) -> None:
    assert parse(f"<OME><Modulo>{annotation}</Modulo></OME>") == reads


def test_exposures_of_an_ome_tiff_are_told_apart(tmp_path: Path, reads: np.ndarray) -> None:
    pixels = (
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="20" SizeY="24" '
        'SizeC="1" SizeZ="1" SizeT="10"><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/></Pixels></Image>'
    )
    modulo = '<Modulo><ModuloAlongT Type="other" Start="0" Step="1" End="4"/></Modulo>'
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'{pixels}<StructuredAnnotations><XMLAnnotation ID="Annotation:0"><Value>{modulo}</Value></XMLAnnotation>'
        "</StructuredAnnotations></OME>"
    )
    path = tmp_path / "two.ome.tif"
    tifffile.imwrite(path, reads, description=xml, metadata=None)
    with open_exposure(path, number=1) as exposure:
        assert len(exposure.reads) == 5
        np.testing.assert_array_equal(exposure.reads.rows(0, 24), reads[5:])
    rates = [tmp_path / "one.tif", tmp_path / "other.tif"]
    for number, rate in enumerate(rates, 1):
        answer = fit(path, rate, exposure_number=number, camera=CameraOptions(gain_e_per_adu=1.0, read_noise_e=1.0))
        assert answer["reads_used"] == [1, 5]
    assert not np.array_equal(read_image(rates[0]).array, read_image(rates[1]).array)
    with pytest.raises(InputError, match="holds 2 exposures; there is no exposure 3"):
        fit(path, tmp_path / "third.tif", exposure_number=3)


@pytest.mark.parametrize(("listed", "message"), [("1 2 x", "list of numbers"), ("1 2 3", "lists 3 times for 10 reads")])
def test_read_times_that_do_not_fit_are_refused(tmp_path: Path, reads: np.ndarray, listed: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_exposure(save(tmp_path / "a.tif", reads, ndr__t_reads_s=listed))


def test_equal_read_times_are_no_uneven_times(tmp_path: Path, reads: np.ndarray) -> None:
    listed = ", ".join(f"{0.1 * i:.3f}" for i in range(10))
    with open_exposure(save(tmp_path / "a.tif", reads, ndr__t_reads_s=f"[{listed}]")) as exposure:
        assert exposure.times_s is None


def test_subtract_takes_the_exposure_it_is_told_of_a_file_that_holds_several(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    reads = rng.integers(100, 4000, (10, 24, 20)).astype(np.uint16)
    path = save(tmp_path / "two.tif", reads, ndr__n_subframes=5)
    for number in (1, 2):
        out = tmp_path / f"d{number}.tif"
        subtract(path, out, difference=2, spacing="rolling", exposure_number=number)
        part = reads[5 * number - 5 : 5 * number].astype(np.float32)
        np.testing.assert_array_equal(read_image(out).array, part[2:] - part[:-2])
    for number in (0, 3):
        with pytest.raises(InputError, match=f"holds 2 exposures; there is no exposure {number}$"):
            subtract(path, tmp_path / "d3.tif", difference=2, exposure_number=number)


def test_rows_of_an_ome_zarr_are_read_without_its_other_rows(tmp_path: Path, rng: np.random.Generator) -> None:
    zarr = pytest.importorskip("zarr", reason="the extra scale is not installed")
    array = rng.integers(0, 60000, (6, 40, 24)).astype(np.uint16)
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="w", zarr_format=2)
    group.create_array("0", shape=array.shape, chunks=(1, 8, 24), dtype=array.dtype)[...] = array
    axes = [{"name": name} for name in "tyx"]
    group.attrs.update({"multiscales": [{"axes": axes, "datasets": [{"path": "0"}], "version": "0.4"}]})
    with open_exposure(tmp_path / "a.ome.zarr") as exposure:
        taken: list[tuple[int, ...]] = []
        take = zarr.Array.__getitem__
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                zarr.Array, "__getitem__", lambda self, at: taken.append(take(self, at).shape) or take(self, at)
            )
            rows = exposure.reads.rows(8, 16, 1, 5)
        np.testing.assert_array_equal(rows, array[1:5, 8:16])
    assert taken == [(1, 8, 24)] * 4
