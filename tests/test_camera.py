"""The camera: values, their limits, JSON, the Info field, and who wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quietframe.camera import PREFIX, Camera
from quietframe.errors import InputError, OptionError

POSITIVE = st.none() | st.floats(1e-6, 1e9)
CAMERAS = st.builds(
    Camera,
    gain_e_per_adu=POSITIVE,
    read_noise_e=st.none() | st.floats(0, 1e4),
    t_subframe_s=POSITIVE,
    full_well_e=POSITIVE,
    black_adu=st.none() | st.floats(-1e5, 1e5),
    dark_e_per_s=st.none() | st.floats(0, 1e4),
)


@given(CAMERAS)
@settings(max_examples=40, deadline=None)
def test_the_info_field_gives_back_exactly_the_same_camera(camera: Camera) -> None:
    assert Camera.from_mapping(camera.to_info(), source="a.tif", prefix=PREFIX) == camera


@given(CAMERAS, CAMERAS)
@settings(max_examples=40, deadline=None)
def test_later_values_win_and_unknown_ones_change_nothing(first: Camera, second: Camera) -> None:
    updated = first.updated(second)
    for name in Camera.__dataclass_fields__:
        expected = getattr(second, name) if getattr(second, name) is not None else getattr(first, name)
        assert getattr(updated, name) == expected


@pytest.mark.parametrize("name, value, words", [
    ("gain_e_per_adu", 0.0, "gain_e_per_adu must be above 0; got 0.0"),
    ("gain_e_per_adu", -1.0, "must be above 0"),
    ("t_subframe_s", 0.0, "t_subframe_s must be above 0"),
    ("full_well_e", -5.0, "full_well_e must be above 0"),
    ("read_noise_e", -0.1, "read_noise_e must not be negative; got -0.1"),
    ("dark_e_per_s", -0.1, "dark_e_per_s must not be negative"),
    ("black_adu", float("nan"), "black_adu must be a finite number; got nan"),
    ("read_noise_e", float("inf"), "must be a finite number"),
])  # fmt: skip
def test_impossible_values_are_refused(name: str, value: float, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Camera(**{name: value})


def test_zero_read_noise_zero_dark_and_negative_black_are_possible() -> None:
    assert Camera(read_noise_e=0.0, dark_e_per_s=0.0, black_adu=-3.0).known() == {
        "read_noise_e": 0.0, "black_adu": -3.0, "dark_e_per_s": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("content, words", [
    ("{", "is not JSON"),
    ("[1, 2]", "must hold one JSON object with keys out of gain_e_per_adu"),
    (json.dumps({"gain": 1}), "unknown key 'gain'; allowed: gain_e_per_adu"),
    (json.dumps({"gain_e_per_adu": "high"}), "gain_e_per_adu is not a number: 'high'"),
    (json.dumps({"gain_e_per_adu": [1]}), "gain_e_per_adu is not a number"),
    (b"\xff\xfe\x00", "is not JSON"),
])  # fmt: skip
def test_a_wrong_camera_file_is_refused_by_name(content: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        Camera.from_json(path)
    assert "camera.json" in str(caught.value)


def test_a_missing_camera_file_is_refused_and_a_right_one_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No such file.*give a camera file"):
        Camera.from_json(tmp_path / "none.json")
    path = tmp_path / "camera.json"
    path.write_text('{"gain_e_per_adu": 0.46, "read_noise_e": null}')
    assert Camera.from_json(path) == Camera(gain_e_per_adu=0.46)
