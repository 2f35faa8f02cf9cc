"""Errors that are the user's to mend, each one clear sentence: what was given, what is allowed, what to do.

Everything derived from `QuietframeError` is shown by the command line as one line with exit code 2. Any other
exception is a bug of ours (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class QuietframeError(Exception):
    """Base of all errors that the user's input, options or machine caused."""


class InputError(QuietframeError):
    """A file or array cannot be used: missing, unreadable, wrong axes, wrong shape, not finite."""


class OptionError(QuietframeError):
    """An option or a name has a value that is not allowed."""


class OutputError(QuietframeError):
    """A result cannot be written: it exists, the folder is not writable, the disk is full."""


class MissingExtraError(QuietframeError):
    """A part of Quietframe needs a package that is not installed.

    Parameters
    ----------
    what
        What was asked for, e.g. ``"training"``.
    package
        The import name that is missing, e.g. ``"torch"``.
    extra
        The extra of the distribution that brings it, e.g. ``"train"``.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'quietframe[{extra}]'")


def unknown(kind: str, given: object, allowed: Iterable[str]) -> OptionError:
    """Make the error for a name that is not in a list, with the nearest names first.

    Parameters
    ----------
    kind
        What the name stands for, e.g. ``"method"``.
    given
        The name that was given.
    allowed
        The names that exist.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(str(given), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return OptionError(f"unknown {kind} {str(given)!r}: {hint}allowed: {', '.join(names)}")
