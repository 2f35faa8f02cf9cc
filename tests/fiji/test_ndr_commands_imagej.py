"""The NDR commands as a macro calls them: with defaults, with each option, on a virtual stack, with wrong values."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from quietframe.fiji import jar
from quietframe.fiji.bridge import Fiji
from quietframe.fiji.jvm import FijiError
from quietframe.images import Image, write_image

# What each command needs to work on the small exposure, and every option in turn: (options, images made, rows written).
KNOWN = "gain_e_per_adu=0.5 read_noise_e=4"
LINES = {
    "Quietframe NDR Fit": [
        (f"{KNOWN} {option}", 3, 0)
        for option in (
            "",
            "method=optimal",
            "method=last-first",
            "method=fowler",
            "method=lsq",
            "first=2",
            "last=20",
            "jump_sigma=0",
            "full_well_fraction=0.5 full_well_e=60000",
            "unit=auto",
            "unit=rate t_subframe_s=0.2",
            "unit=electrons",
            "unit=adu",
            "black_adu=90 full_well_e=60000",
            "dark_e_per_s=0.5",
        )
    ]
    + [("", 3, 0)],
    "Quietframe NDR Split": [
        (f"{KNOWN} {option}", 2, 0)
        for option in (
            "",
            "guard=2",
            "pairs=3",
            "pairs=3 design=n2n count=2 seed=5",
            "pairs=3 design=care",
            "pairs=0 design=halves",
            "method=lsq",
            "unit=electrons",
            "as_measured=true",
            "first=2 last=29",
            "t_subframe_s=0.2 unit=rate",
            "full_well_e=60000 black_adu=100",
        )
    ],
    "Quietframe NDR Calibrate": [("", 0, 1), ("first=2", 0, 1), ("last=20", 0, 1), ("gain_e_per_adu=0.5", 0, 1)],
    "Quietframe NDR Measure": [
        ("", 0, 30),
        ("bright=auto dark=auto", 0, 30),
        ("bright=4,4,9,9", 0, 30),
        ("dark=[0,0,9,9]", 0, 30),
        ("restored=[cells E0001_NDR.tif]", 0, 60),
    ],
    "Quietframe NDR Montage": [
        ("differences=20,10,5,1", 1, 0),
        ("differences=[20, 10]", 1, 0),
        ("differences=20,5 contrast=each", 1, 0),
        ("differences=20,5 contrast=common restored=[cells E0001_NDR.tif]", 1, 0),
    ],
}


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    reads = rng.poisson(30, (30, 40, 44)).cumsum(axis=0) + np.rint(rng.normal(200, 8, (30, 40, 44)))
    image = Image(reads.astype(np.uint16), "TYX", {"Y": 0.2, "X": 0.2}, 0.1, {"ndr.exposure": "E0001"})
    return write_image(tmp_path_factory.mktemp("exposures") / "cells E0001_NDR.tif", image, dtype="uint16")


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in LINES.items() for line in lines])
def test_each_command_runs_from_a_macro_with_each_option(
    imagej: Fiji, exposure: Path, name: str, line: tuple[str, int, int]
) -> None:
    options, images, rows = line
    macro = f"""
        setBatchMode(true);
        open("{exposure}");
        before = nImages;
        rows = nResults;
        run("{name}", "{options}");
        made = "" + (nImages - before) + " " + (nResults - rows);
        close("*");
        return made;
    """
    assert imagej.run_macro(macro).split() == [str(images), str(rows)]


@pytest.mark.parametrize("name", LINES)
def test_every_option_of_the_menu_script_is_tried_and_has_a_default(name: str) -> None:
    path = jar.scripts_folder() / "menu" / "Plugins" / "Quietframe" / f"{name.replace(' ', '_')}.groovy"
    heads = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#@ ")]
    tried = " ".join(options for options, _, _ in LINES[name])
    for head in heads:
        option = head.split()[-1]
        if option == "image":
            continue
        assert re.search(rf"(^| ){option}=", tried), option
        assert "value=" in head
        assert "persist=false" in head


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('run("Quietframe NDR Fit", "method=best");', "unknown method 'best'"),
        ('run("Quietframe NDR Fit", "jump_sigma=often");', "option jump_sigma must be a .* got 'often'"),
        ('run("Quietframe NDR Split", "guard=40");', "do not give two halves"),
        ('run("Quietframe NDR Calibrate", "last=3");', "cannot be measured from 3 reads"),
        ('run("Quietframe NDR Measure", "dark=nowhere");', "no region 'nowhere'"),
        ('run("Quietframe NDR Montage", "differences=40");', "has 30 frames for 1 differences"),
        ('close(); run("Quietframe NDR Fit");', "no image is open|no images open"),
    ],
)
def test_wrong_values_stop_the_macro_with_one_line(imagej: Fiji, exposure: Path, line: str, message: str) -> None:
    with pytest.raises(FijiError, match=message):
        imagej.run_macro(f'setBatchMode(true); open("{exposure}"); {line} exit("went on");')


@pytest.mark.parametrize("name", ["Quietframe NDR Fit", "Quietframe NDR Split", "Quietframe NDR Calibrate"])
def test_colours_and_single_images_are_no_exposure(imagej: Fiji, name: str) -> None:
    from jpype import JClass

    for kind, message in (("RGB", "is a colour image"), ("16-bit", "is a single image; an exposure is a stack")):
        image = JClass("ij.IJ").createImage("picture", kind, 20, 20, 1)
        with pytest.raises(FijiError, match=message):
            imagej.run_command(name, image)


def test_the_chain_from_an_exposure_to_its_measured_rate_runs_in_one_macro(imagej: Fiji, exposure: Path) -> None:
    macro = f"""
        setBatchMode(true);
        run("Clear Results");
        open("{exposure}");
        run("Quietframe NDR Fit", "unit=adu {KNOWN}");
        selectImage("cells E0001_NDR_RATE.tif");
        run("Quietframe NDR Measure", "bright=0,0,20,20 dark=20,20,20,20");
        result = getResult("bright_mean", 0);
        close("*");
        return "" + result;
    """
    # 30 ADU per sub-frame, 400 pixels of a variance of about 30/29: an error of 0.05.
    assert float(imagej.run_macro(macro)) == pytest.approx(30.0, abs=0.25)
