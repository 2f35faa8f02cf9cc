"""`quietframe fiji`: install into a Fiji, take it out, diagnose, run commands, macros and scripts in ImageJ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import OptionError


def install(*, fiji: Path | None = None, gpu: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Install the menu Plugins > Quietframe into a Fiji: two jars and the macros.

    Parameters
    ----------
    fiji
        Folder of the Fiji; default: environment variable FIJI_DIR.
    gpu
        Take ONNX Runtime for CUDA (Windows, Linux) instead of the one for CPUs.
    dry_run
        Only say what would be done.

    Returns
    -------
    dict
        fiji, dry_run, steps: action and path of each file, and before: the version that was there.
    """
    from ..fiji.install import fiji_folder, recorded_version
    from ..fiji.install import install as install_into

    folder = fiji_folder(fiji)
    before = recorded_version(folder)
    told = _told(folder, install_into(folder, gpu=gpu, dry_run=dry_run), dry_run, "restart Fiji to see the menu")
    if before is not None:
        told["summary"].insert(0, f"version {before} is {'there and would be' if dry_run else 'now'} replaced")
    return {**told, "before": before}


def uninstall(*, fiji: Path | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Remove from a Fiji exactly what install wrote.

    Parameters
    ----------
    fiji
        Folder of the Fiji; default: environment variable FIJI_DIR.
    dry_run
        Only say what would be done.

    Returns
    -------
    dict
        fiji, dry_run, and steps: action and path of each file.
    """
    from ..fiji.install import fiji_folder
    from ..fiji.install import uninstall as uninstall_from

    folder = fiji_folder(fiji)
    return _told(folder, uninstall_from(folder, dry_run=dry_run), dry_run, "restart Fiji")


def _told(folder: Path, steps: list[Any], dry_run: bool, then: str) -> dict[str, Any]:
    words = {"write": "write", "remove": "remove", "keep": "keep (changed since)"}
    lines = [f"{'would ' if dry_run else ''}{words[step.action]} {folder / step.path}" for step in steps]
    return {
        "fiji": str(folder),
        "dry_run": dry_run,
        "steps": [{"action": step.action, "path": step.path} for step in steps],
        "summary": [*lines, "nothing was changed (--dry-run)" if dry_run else then],
    }


def doctor(*, fiji: Path | None = None) -> dict[str, Any]:
    """Say whether Java is there and whether a Fiji is fit: version, jars in conflict, write access.

    Parameters
    ----------
    fiji
        Folder of the Fiji; default: environment variable FIJI_DIR; without either only Java is looked at.

    Returns
    -------
    dict
        java, imagej, fiji, problems.
    """
    import os

    from ..fiji.doctor import examine
    from ..fiji.install import fiji_folder

    found = examine(fiji_folder(fiji) if fiji or os.environ.get("FIJI_DIR") else None)
    java, place = found["java"], found["fiji"]
    lines = [f"Java: {java['version']} ({java['source']}, {java['home']})" if java else "Java: none"]
    lines.append(f"plain ImageJ for commands, macros and tests: {found['imagej']}")
    if place:
        brought = f", Java {place['java']}" if place["java"] else ""
        version = f" {place['version']}" if place["version"] else ""
        lines.append(f"Fiji{version}: {place['folder']}, ImageJ {place['imagej'] or 'of unknown version'}{brought}")
        lines.append(f"  ONNX Runtime: {', '.join(place['onnxruntime']) or 'none'}")
        lines.append(f"  models: {', '.join(place['models']) or 'none in its folder models'}")
        lines += [f"  installed: {path}" for path in place["installed"]]
    else:
        lines.append("Fiji: none given (--fiji or FIJI_DIR)")
    lines += [f"to mend: {problem}" for problem in found["problems"]] or ["nothing is missing"]
    return {**found, "summary": lines}


def run(
    script: str,
    *settings: str,
    image: Path | None = None,
    out: Path | None = None,
    fiji: Path | None = None,
    timeout_s: float | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Run a menu command, a macro or a script in ImageJ, without a display.

    Parameters
    ----------
    script
        Label of a menu command ("Quietframe Denoise", "Gaussian Blur..."), or a file: .ijm, .groovy, .py.
    settings
        Its options, key=value each.
    image
        The image that a menu command works on.
    out
        Where to write the image that comes out (TIFF).
    fiji
        A Fiji to run it in; default: FIJI_DIR, else the plain ImageJ that pip brings.
    timeout_s
        Stop it after this many seconds.
    overwrite
        Replace an existing output.

    Returns
    -------
    dict
        script, imagej (version), out, and outputs: what the script returned by name.
    """
    from ..fiji.bridge import Fiji
    from ..images import Image, read_image, write_image
    from ..outputs import check_output

    options = _options(settings)
    is_file = Path(script).suffix in {".ijm", ".groovy", ".py"}
    if is_file and image is not None:
        raise OptionError(f"--image is for menu commands; {script} opens its files itself (give them as key=value)")
    if out is not None:
        check_output(out, overwrite=overwrite)
    picture = None if image is None else read_image(image)
    with Fiji(fiji, timeout_s=timeout_s) as imagej:
        imagej.print_to_stderr()
        outputs = imagej.run_script(script, **options) if is_file else imagej.run_command(script, picture, **options)
        version = imagej.imagej_version
    pictures = [name for name, value in outputs.items() if isinstance(value, Image)]
    if out is not None:
        if len(pictures) != 1:
            raise OptionError(f"--out needs one image to write, but {script} returned {len(pictures)}")
        write_image(out, outputs[pictures[0]], overwrite=overwrite)
    plain = {name: _plain(value) for name, value in outputs.items()}
    lines = [f"{name}: {value}" for name, value in plain.items()]
    return {
        "script": script,
        "imagej": version,
        "out": None if out is None else str(out),
        "outputs": plain,
        "summary": [*lines, *([f"written: {out}"] if out else [])],
    }


def _options(settings: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise OptionError(f"{setting!r} is no option; write key=value, e.g. difference=20")
        options[key] = {"true": True, "false": False}.get(value, value)
    return options


def _plain(value: Any) -> Any:
    if hasattr(value, "axes"):
        return f"image, axes {value.axes}, shape {tuple(value.array.shape)}, {value.array.dtype}"
    return value
