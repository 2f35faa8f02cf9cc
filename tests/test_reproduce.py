"""The Siegen recipe: its scenes, its columns, and the place for figures that others published."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio

from quietframe.errors import InputError, OutputError
from quietframe.reproduce.published import read_published
from quietframe.reproduce.siegen import FILTERS, NOISE_SIGMA, Scene, best, run, scenes
from quietframe.verbs.reproduce import siegen


def test_the_clean_picture_gets_noise_of_standard_deviation_100() -> None:
    first, second = scenes(None)
    noise = first.noisy[first.plane] - first.truth
    # 65536 pixels: the standard error of a standard deviation is 100 / sqrt(131072) = 0.28.
    assert float(noise.std()) == pytest.approx(NOISE_SIGMA, abs=1.2)
    assert np.corrcoef(noise.ravel(), (first.noisy[0] - first.truth).ravel())[0, 1] == pytest.approx(0.0, abs=0.02)
    assert "simulated" in second.made_of


def test_real_data_are_used_where_they_are(data_dir: Path) -> None:
    given = scenes(data_dir)
    assert [scene.name for scene in given][:2] == ["gaussian-100", "Confocal_BPAE_B"]
    assert len(given) == 8
    assert "nuclei" in given[0].made_of
    # Raw 2 of this set is raw 1 again and is not among the data.
    assert len(given[6].noisy) == 3


def tiny() -> Scene:
    y, x = np.mgrid[:40, :48]
    truth = 1000.0 + 300.0 * np.sin(x / 6.0) * np.cos(y / 7.0)
    noisy = truth + np.random.default_rng(1).normal(0, 100.0, (5, 40, 48))
    return Scene("tiny", noisy.astype(np.float32), truth, 2, 600.0, "a wave")


def test_a_column_is_the_best_of_the_filters_grid_against_the_truth() -> None:
    scene = tiny()
    row = best(scene, "box")
    expected = {
        size: peak_signal_noise_ratio(
            scene.truth, uniform_filter(scene.noisy[2].astype(float), size, mode="nearest"), data_range=600.0
        )
        for size in (3, 5, 7)
    }
    assert row.psnr == pytest.approx(max(expected.values()), abs=0.3)
    assert row.settings["size"] == max(expected, key=expected.__getitem__)


def test_box3d_sees_the_planes_around() -> None:
    rows = {row.filter: row for row in run([tiny()])}
    assert list(rows) == ["noisy", *FILTERS]
    # Five planes of one scene with noise of their own: at least 2 dB more than one of them.
    assert rows["box3d"].psnr > rows["box"].psnr + 1.5
    assert rows["noisy"].psnr == pytest.approx(20 * np.log10(600.0 / 100.0), abs=0.4)


@pytest.fixture
def two_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quietframe.reproduce.siegen.scenes", lambda data: [tiny()])
    monkeypatch.delenv("QUIETFRAME_DATA", raising=False)


@pytest.mark.usefixtures("two_scenes")
def test_published_figures_are_missing_and_said_to_be(tmp_path: Path) -> None:
    done = siegen(out=tmp_path / "out")
    assert done["published_available"] is False
    assert "published figures: not available here" in "\n".join(done["summary"])
    assert all(row["published"] is None for row in done["rows"])
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| tiny | median | radius" in text
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["filter"] for row in rows] == ["noisy", *FILTERS]
    assert {row["published_psnr"] for row in rows} == {""}
    assert (tmp_path / "out" / "picture.png").read_bytes().startswith(b"\x89PNG")
    json.dumps(done)
    with pytest.raises(OutputError, match="exists"):
        siegen(out=tmp_path / "out")


@pytest.mark.usefixtures("two_scenes")
def test_published_figures_that_are_given_stand_beside_ours(tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text("scene,filter,psnr,nrmse,ssim\ntiny,median,20.5,,0.4\nother,box,1,1,1\n")
    done = siegen(out=tmp_path / "out", published=file)
    median = next(row for row in done["rows"] if row["filter"] == "median")
    assert median["published"] == {"psnr": 20.5, "ssim": 0.4}
    line = next(line for line in done["summary"] if "| median |" in line)
    assert "/ 20.50 |" in line
    assert "/ - |" in line
    assert "1 of them for no row of ours" in done["summary"][-2]


@pytest.mark.parametrize(
    "text, message",
    [
        ("scene,filter\na,b\n", "needs the columns scene, filter, psnr, nrmse, ssim"),
        ("scene,filter,psnr,nrmse,ssim\na,b,many,,\n", "line 2: 'many' is no number"),
        ("scene,filter,psnr,nrmse,ssim\na,b,nan,,\n", "'nan' is no number"),
        (None, "cannot be read"),
    ],
)
def test_files_that_hold_no_figures_are_refused(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "published.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_published(file)


@pytest.mark.parametrize("options", [{"data": Path("nowhere")}, {"published": Path("nowhere.csv")}])
def test_data_and_figures_that_are_not_there_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="nowhere"):
        siegen(out=tmp_path / "out", **options)
