"""Installing into a Fiji, without Java: what is written, recorded, removed, refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from quietframe.errors import OutputError
from quietframe.fiji import doctor, install, jar, jvm, update_site
from quietframe.fiji.doctor import examine
from quietframe.fiji.jvm import FijiError
from quietframe.verbs import fiji as verb

MACROS = {f"macros/Quietframe/{path.name}" for path in (jar.scripts_folder() / "macros").glob("*.ijm")}
APPOSE = {f"jars/{name}-{version}.jar" for _, name, version in (text.split(":") for text in jvm.APPOSE_ENDPOINTS)}
SITE = {"jars/quietframe-fiji-1.0.jar", "jars/onnxruntime-1.26.0.jar", *MACROS}
OURS = SITE | APPOSE


@pytest.fixture
def fiji(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Fiji; the jars that would be fetched and built are two small files."""
    made = tmp_path / "made"
    made.mkdir()
    for name in ("quietframe-fiji-1.0.jar", "onnxruntime-1.26.0.jar", "onnxruntime_gpu-1.26.0.jar"):
        (made / name).write_text(name)
    monkeypatch.setattr(jar, "ensure_jar", lambda: made / "quietframe-fiji-1.0.jar")

    def resolved(endpoints: Sequence[str]) -> list[Path]:
        jars = [made / f"{name}-{version}.jar" for _, name, version in (text.split(":") for text in endpoints)]
        for jar_file in jars:
            jar_file.write_text(jar_file.name)
        return jars

    monkeypatch.setattr(jvm, "resolve_jars", resolved)
    monkeypatch.delenv("FIJI_DIR", raising=False)
    folder = tmp_path / "Fiji"
    for name in ("jars", "plugins", "macros"):
        (folder / name).mkdir(parents=True)
    (folder / "jars" / "ij-1.54p.jar").write_text("ImageJ")
    (folder / "macros" / "StartupMacros.txt").write_text("theirs")
    return folder


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_uninstall_leaves_the_fiji_as_it_was(fiji: Path) -> None:
    before = files(fiji)
    steps = install.install(fiji)
    assert {step.path for step in steps} == OURS
    assert set(files(fiji)) - set(before) == {*OURS, install.RECORD}
    install.uninstall(fiji)
    assert files(fiji) == before
    assert not (fiji / "macros" / "Quietframe").exists()


def test_what_fiji_has_of_appose_is_not_copied_a_second_time(fiji: Path) -> None:
    for name in ("appose-0.12.0.jar", "linux64/jna-5.17.0.jar"):
        (fiji / "jars" / name).parent.mkdir(exist_ok=True)
        (fiji / "jars" / name).write_text("theirs")
    written = {step.path for step in install.install(fiji)}
    assert written & APPOSE == {"jars/jna-platform-5.14.0.jar", "jars/groovy-json-4.0.28.jar"}
    assert install.install(fiji) == install.install(fiji)  # its own jars do not count as Fiji's
    install.uninstall(fiji)
    assert (fiji / "jars" / "appose-0.12.0.jar").read_text() == "theirs"


def test_dry_run_says_the_same_and_changes_nothing(fiji: Path) -> None:
    before = files(fiji)
    planned = install.install(fiji, dry_run=True)
    assert files(fiji) == before
    assert install.install(fiji) == planned
    installed = files(fiji)
    planned = install.uninstall(fiji, dry_run=True)
    assert files(fiji) == installed
    assert install.uninstall(fiji) == planned


def test_installing_again_for_cuda_replaces_the_other_runtime(fiji: Path) -> None:
    install.install(fiji)
    install.install(fiji, gpu=True)
    assert install.onnxruntime_jars(fiji) == ["jars/onnxruntime_gpu-1.26.0.jar"]
    install.install(fiji)
    assert install.onnxruntime_jars(fiji) == ["jars/onnxruntime-1.26.0.jar"]
    install.uninstall(fiji)
    assert install.onnxruntime_jars(fiji) == []


def test_an_upgrade_removes_the_old_version(fiji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install.install(fiji)
    newer = tmp_path / "made" / "quietframe-fiji-2.0.jar"
    newer.write_text("new")
    monkeypatch.setattr(jar, "ensure_jar", lambda: newer)
    install.install(fiji)
    assert [path.name for path in (fiji / "jars").glob("quietframe*")] == ["quietframe-fiji-2.0.jar"]


def test_a_file_that_somebody_changed_is_kept(fiji: Path) -> None:
    install.install(fiji)
    macro = fiji / "macros" / "Quietframe" / "denoise_folder.ijm"
    macro.write_text("my own version")
    steps = install.uninstall(fiji)
    assert [step.path for step in steps if step.action == "keep"] == ["macros/Quietframe/denoise_folder.ijm"]
    assert macro.read_text() == "my own version"


@pytest.mark.parametrize(
    "name", ["jars/onnxruntime-1.13.1.jar", "plugins/deep/onnxruntime_gpu-1.20.0.jar", "jars/onnxruntime.jar"]
)
def test_another_onnxruntime_is_named_and_nothing_is_written(fiji: Path, name: str) -> None:
    (fiji / name).parent.mkdir(exist_ok=True)
    (fiji / name).write_text("theirs")
    before = files(fiji)
    with pytest.raises(FijiError, match=name):
        install.install(fiji)
    assert files(fiji) == before


def test_a_file_of_the_same_name_is_not_replaced(fiji: Path) -> None:
    (fiji / "jars" / "quietframe-fiji-1.0.jar").write_text("by hand")
    with pytest.raises(FijiError, match="was not installed by quietframe"):
        install.install(fiji)


def test_another_quietframe_jar_is_named_and_nothing_is_written(fiji: Path) -> None:
    (fiji / "plugins" / "quietframe-fiji-0.9.jar").write_text("from an update site")
    before = files(fiji)
    with pytest.raises(
        FijiError, match=r"plugins/quietframe-fiji-0\.9\.jar, which was not installed by quietframe here"
    ):
        install.install(fiji)
    assert files(fiji) == before


def test_an_upgrade_that_was_killed_can_be_done_again_or_undone(fiji: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(fiji)
    copy = install.shutil.copyfile

    def killed(source: Path, target: Path) -> None:
        if source.name.endswith(".ijm"):
            raise KeyboardInterrupt
        copy(source, target)

    install.install(fiji, gpu=True)
    monkeypatch.setattr(install.shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        install.install(fiji)
    monkeypatch.setattr(install.shutil, "copyfile", copy)
    assert {step.path for step in install.install(fiji)} == OURS
    assert set(files(fiji)) - set(before) == {*OURS, install.RECORD}
    install.uninstall(fiji)
    assert files(fiji) == before


def test_the_verb_says_which_version_was_replaced(fiji: Path) -> None:
    assert verb.install(fiji=fiji)["before"] is None
    again = verb.install(fiji=fiji, dry_run=True)
    assert again["summary"][0] == f"version {again['before']} is there and would be replaced"


def test_what_is_no_fiji_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIJI_DIR", raising=False)
    with pytest.raises(FijiError, match="which Fiji"):
        install.fiji_folder(None)
    with pytest.raises(FijiError, match="is no Fiji"):
        install.fiji_folder(tmp_path)
    with pytest.raises(FijiError, match="is no Fiji"):
        install.fiji_folder(tmp_path / "gone")


def test_uninstall_needs_a_record_and_stays_inside_the_fiji(fiji: Path, tmp_path: Path) -> None:
    with pytest.raises(FijiError, match="has installed nothing"):
        install.uninstall(fiji)
    outside = tmp_path / "precious.txt"
    outside.write_text("keep me")
    for path in ("../precious.txt", str(outside)):
        (fiji / install.RECORD).write_text(json.dumps({"files": {path: "0" * 64}}))
        with pytest.raises(FijiError, match="outside the Fiji folder"):
            install.uninstall(fiji)
    for damaged in ("{", "[]", '{"files": 3}'):
        (fiji / install.RECORD).write_text(damaged)
        with pytest.raises(FijiError, match="is damaged"):
            install.uninstall(fiji)
    assert outside.read_text() == "keep me"


def test_a_folder_without_write_access_is_named(fiji: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.access
    jars = fiji / "jars"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != jars and allowed(path, mode))
    with pytest.raises(OutputError, match="jars is not writable"):
        install.install(fiji)
    assert any("not writable" in problem for problem in examine(fiji)["problems"])


def test_doctor_names_two_runtimes_two_jars_and_what_is_gone(fiji: Path) -> None:
    assert any("is not installed in" in problem for problem in examine(fiji)["problems"])
    install.install(fiji)
    found = examine(fiji)["fiji"]
    assert (found["imagej"], set(found["installed"])) == ("1.54p", OURS)
    (fiji / "plugins" / "onnxruntime_gpu-1.20.0.jar").write_text("theirs")
    (fiji / "plugins" / "quietframe-fiji-0.9.jar").write_text("old")
    (fiji / "macros" / "Quietframe" / "denoise_folder.ijm").unlink()
    problems = " ".join(examine(fiji)["problems"])
    assert "hold the same classes" in problems
    assert "are both there" in problems
    assert "denoise_folder.ijm was installed and is gone" in problems


def test_doctor_names_an_older_version_and_an_old_java_of_the_fiji(fiji: Path) -> None:
    install.install(fiji)
    record = json.loads((fiji / install.RECORD).read_text())
    (fiji / install.RECORD).write_text(json.dumps({**record, "version": "0.0.1"}))
    home = fiji / "java" / "linux-amd64" / "jdk1.8.0_322"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("")
    (home / "release").write_text('JAVA_VERSION="1.8.0_322"\n')
    (fiji / "jars" / "fiji-2.18.0.jar").write_text("Fiji")
    found = examine(fiji)
    assert (found["fiji"]["version"], found["fiji"]["java"]) == ("2.18.0", 8)
    problems = " ".join(found["problems"])
    assert "version 0.0.1 is installed there" in problems
    assert "this Fiji brings Java 8; Quietframe needs Java 11 or newer: download Fiji again" in problems
    lines = verb.doctor(fiji=fiji)["summary"]
    assert any(line.startswith("Fiji 2.18.0: ") and line.endswith("ImageJ 1.54p, Java 8") for line in lines)


def test_doctor_looks_for_the_libraries_of_cuda_where_its_runtime_is_installed(
    fiji: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LIBRARY_FOLDERS", ())
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    install.install(fiji)
    assert examine(fiji)["fiji"]["cuda_missing"] == []  # nobody asked for CUDA
    install.install(fiji, gpu=True)
    names = list(examine(fiji)["fiji"]["cuda_missing"])
    assert "libcudnn.so.9" in names
    assert any("libcudnn.so.9 is not on the library path" in problem for problem in examine(fiji)["problems"])
    for name in names:
        (tmp_path / name).write_text("")
    assert examine(fiji)["fiji"]["cuda_missing"] == []


def test_doctor_lists_the_models_and_names_a_folder_of_them_that_cannot_be_written(
    fiji: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = fiji / "models"
    models.mkdir()
    (models / "cells.zip").write_text("")
    assert examine(fiji)["fiji"]["models"] == ["cells.zip"]
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != models and allowed(path, mode))
    assert any(f"{models} is not writable" in problem for problem in examine(fiji)["problems"])


def test_the_update_site_is_what_install_writes_with_checksums(fiji: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "site"
    for _ in range(2):  # one that is there already is replaced
        assert set(update_site.write_tree(out)) == SITE
        assert set(files(out)) == {*SITE, update_site.CHECKSUMS}
        (out / "jars" / "old.jar").write_text("of an older version")
    assert update_site.main([str(out)]) == 0
    assert not (out / "jars" / "old.jar").exists()
    for line in (out / update_site.CHECKSUMS).read_text().splitlines():
        digest, path = line.split("  ")
        assert hashlib.sha256((out / path).read_bytes()).hexdigest() == digest
    install.install(fiji)
    assert {path: text for path, text in files(fiji).items() if path in SITE} == {
        path: text for path, text in files(out).items() if path in SITE
    }


def test_an_update_site_does_not_replace_other_folders(fiji: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(fiji)
    with pytest.raises(OutputError, match="is no update site written earlier"):
        update_site.write_tree(fiji)
    assert update_site.main([str(fiji)]) == 2
    assert "is no update site" in capsys.readouterr().err
    assert files(fiji) == before


@pytest.mark.parametrize(
    ("text", "version"), [("17.0.15", 17), ("1.8.0_312", 8), ("21", 21), ("25.0.2+10", 25), ("nothing", None)]
)
def test_java_versions_are_read(tmp_path: Path, text: str, version: int | None) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "java"
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{text}\"' >&2\n")
    program.chmod(0o755)
    assert jvm.java_version(tmp_path) == version
    (tmp_path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{text}"\n')
    assert jvm.java_version(tmp_path) == version


def test_an_old_java_is_passed_over_and_no_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    (tmp_path / "release").write_text('JAVA_VERSION="1.8.0_312"\n')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("QUIETFRAME_JAVA", raising=False)
    monkeypatch.setattr(jvm, "_bundled_java", lambda: None)
    with pytest.raises(FijiError, match=r"no Java >= 11 was found \(JAVA_HOME is Java 8, PATH is Java 8\)"):
        jvm.find_java()
    monkeypatch.setenv("QUIETFRAME_JAVA", str(tmp_path))
    with pytest.raises(FijiError, match=r"QUIETFRAME_JAVA=.* holds no Java >= 11"):
        jvm.find_java()


def test_jars_that_cannot_be_fetched_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jgo = pytest.importorskip("jgo")

    def unreachable(*arguments: object, **options: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jgo, "build", unreachable)
    with pytest.raises(FijiError, match=r"could not be fetched from Maven Central \(ConnectionError\)"):
        jvm.resolve_jars(["a:b:1"])
    assert not list((tmp_path / "quietframe" / "jars").iterdir())
