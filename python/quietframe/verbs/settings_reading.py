"""Read the settings of a method or filter from its file, without running the rest of it.

Torch, numba and scikit-image take seconds to import; a help text, or an option that is refused, must not wait for them.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import ModuleType

_PLAIN = {"__future__", "collections", "cyclopts", "dataclasses", "math", "pathlib", "typing"}


def settings_module(room: str, name: str) -> ModuleType | None:
    """Run the part of a file that its settings rest on.

    Parameters
    ----------
    room, name
        Folder of the package and file in it, e.g. ``"filters"`` and ``"median"``.

    Returns
    -------
    module or None
        With constants in capitals and ``Settings``; None when the settings rest on more than can be run apart.
    """
    package = f"{__name__.partition('.')[0]}.{room}"
    file = Path(str(import_module(package).__file__)).with_name(f"{name}.py")
    try:
        return _run_part(file, package, ["Settings"])
    except (NameError, ImportError):
        return None


def _run_part(file: Path, package: str, names: Iterable[str]) -> ModuleType:
    """Run the statements of a file that `names` rest on, and its constants."""
    module = ModuleType(f"{__name__}.{package.rpartition('.')[2]}.{file.stem}")
    module.__file__ = str(file)  # cyclopts reads the help of the fields in the source
    module.__package__ = package
    sys.modules[module.__name__] = module  # where dataclasses and cyclopts look up the types of the fields
    kept: list[ast.stmt] = []
    for node in _part(ast.parse(file.read_text(encoding="utf-8")).body, set(names)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "kernels":
            # Of a file of kernels, too, only what is named: most of them import numba.
            vars(module).update(_imported(node, package))
        else:
            kept.append(node)
    exec(compile(ast.Module(kept, []), str(file), "exec", dont_inherit=True), vars(module))
    return module


def _imported(node: ast.ImportFrom, package: str) -> dict[str, object]:
    """Return what an import from the kernels makes, without running the rest of their file."""
    found = find_spec(resolve_name("." * node.level + (node.module or ""), package))
    if found is None or not found.origin or not found.parent:
        raise ImportError(node.module)
    part = _run_part(Path(found.origin), found.parent, [alias.name for alias in node.names])
    return {alias.asname or alias.name: getattr(part, alias.name) for alias in node.names}


def _part(body: list[ast.stmt], wanted: set[str]) -> list[ast.stmt]:
    """Keep what makes the wanted names, what that rests on, plain imports, and constants in capitals."""
    while True:
        named = {name for node in body if wanted & set(_binds(node)) for name in _names(node)}
        if named <= wanted:
            break
        wanted = wanted | named
    return [_trimmed(node, wanted) for node in body if _is_plain(node) or wanted & set(_binds(node))]


def _trimmed(node: ast.stmt, wanted: set[str]) -> ast.stmt:
    """Leave of a relative import the names that are wanted."""
    if not isinstance(node, ast.ImportFrom) or not node.level:
        return node
    names = [alias for alias in node.names if (alias.asname or alias.name) in wanted]
    return ast.copy_location(ast.ImportFrom(node.module, names, node.level), node)


def _binds(node: ast.stmt) -> Iterator[str]:
    """Give the names that a statement at the top of a file makes."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name):
            yield target.id


def _names(node: ast.stmt) -> Iterator[str]:
    """Give the names that a statement looks up."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        parts = (part for part in ast.walk(node) if isinstance(part, ast.Name))
        yield from (part.id for part in parts if isinstance(part.ctx, ast.Load))


def _is_plain(node: ast.stmt) -> bool:
    """Tell whether a statement costs nothing: an import of the standard library, or a constant in capitals."""
    if isinstance(node, ast.Import):
        return all(alias.name.partition(".")[0] in _PLAIN for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return not node.level and (node.module or "").partition(".")[0] in _PLAIN
    return isinstance(node, ast.Assign | ast.AnnAssign) and _is_constant(node)


def _is_constant(node: ast.Assign | ast.AnnAssign) -> bool:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    try:
        ast.literal_eval(node.value or ast.Constant(None))
    except ValueError:
        return False
    return isinstance(target, ast.Name) and target.id.isupper()
