"""A final name never holds half a file: errors, a full disk, kill -9; and nothing is overwritten unasked."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from quietframe.errors import OutputError
from quietframe.images import Image, ImageMeta, read_image, write_image, write_planes
from quietframe.outputs import atomic_output, check_output


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_final_name_appears_only_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    with atomic_output(path) as partial:
        partial.write_bytes(b"half")
        assert not path.exists()
        assert partial.suffix == ".tif"
        assert partial.parent == tmp_path
    assert path.read_bytes() == b"half"
    assert names(tmp_path) == ["result.tif"]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(143)])
def test_after_an_error_nothing_new_is_there_and_the_old_file_is_whole(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_output(path, overwrite=True) as partial:
            partial.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names(tmp_path) == ["result.tif"]
    assert path.read_bytes() == b"old"


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "result.tif"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"result.tif exists; choose another name or add --overwrite"):
        check_output(path)
    with atomic_output(path, overwrite=True) as partial:
        partial.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_places_that_cannot_be_written_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(OutputError, match="is a folder; give the name of a file"):
        check_output(tmp_path / "folder.tif")
    with pytest.raises(OutputError, match="does not exist; make it first"):
        check_output(tmp_path / "none" / "a.tif")
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        check_output(tmp_path / ("a" * 300 + ".tif"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may write anywhere
    with pytest.raises(OutputError, match=r"is not writable; choose another place for a\.tif"):
        check_output(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".npy"])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(suffix: str, tmp_path: Path) -> None:
    def planes() -> Iterator[NDArray[np.float32]]:
        yield np.zeros((8, 8), np.float32)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match=r"the disk is full: .*was not written; free some space"):
        write_planes(tmp_path / f"a{suffix}", planes(), ImageMeta((3, 8, 8), "TYX"))
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, the folder where nobody may write a file")
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.npy"])
def test_a_folder_that_takes_no_file_is_one_clear_error(name: str) -> None:
    # access() says that root may write there; only opening the file tells
    with pytest.raises(OutputError, match=rf"/proc/{name} was not written: .*choose another place|not writable"):
        write_image(f"/proc/{name}", Image(np.ones((4, 4)), "YX"))


LIMITED = """
import resource, sys
import numpy as np
from quietframe.errors import OutputError
from quietframe.images import Image, write_image
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for suffix in (".tif", ".ome.tif", ".npy", ".png"):
    pixels = np.random.default_rng(0).integers(0, 65535, (400, 400)).astype("u2")
    try:
        write_image(sys.argv[1] + "/a" + suffix, Image(pixels, "YX"), dtype="uint16")
    except OutputError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
def test_a_real_limit_on_the_file_size_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    # NumPy does not say why a disk took only a part.
    assert all("was not written: File too large" in line or "the disk is full" in line for line in lines)
    assert names(tmp_path) == []


KILLED = """
import os, sys, time
import numpy as np
from quietframe.images import ImageMeta, write_planes
def planes():
    for number in range(5):
        if number == 3:
            print("writing", flush=True)
            time.sleep(60)
        yield np.full((256, 256), number)
write_planes(sys.argv[1], planes(), ImageMeta((5, 256, 256), "TYX"), overwrite=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_kill_9_leaves_no_half_file_under_the_final_name(suffix: str, tmp_path: Path) -> None:
    path = write_image(tmp_path / f"a{suffix}", Image(np.ones((4, 4)), "YX"))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert read_image(path).array.tolist() == np.ones((4, 4)).tolist()
    left = [name for name in names(tmp_path) if name != path.name]
    assert len(left) == 1
    assert left[0].startswith(".")
    assert "partial" in left[0]
