"""Every error and warning of the package: one root, messages that name the thing, the place and the remedy."""

from __future__ import annotations

import sys
import warnings


class MixedVCError(ValueError):
    """Root of all errors raised on purpose by mixedvc."""


class FormulaError(MixedVCError):
    """A formula that cannot be read, with a caret under the place.

    Parameters
    ----------
    message : str
        What is wrong and what to write instead.
    source : str
        The formula as the user wrote it.
    start, stop : int
        Character positions in `source`; the carets stand under ``source[start:stop]``.
    """

    def __init__(self, message: str, source: str = "", start: int | None = None, stop: int | None = None):
        self.message, self.source, self.start, self.stop = message, source, start, stop
        super().__init__(message if start is None else f"{message}\n{_pointed(source, start, stop)}")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.message, self.source, self.start, self.stop)


def _pointed(source: str, start: int, stop: int | None, width: int = 88) -> str:
    """Two lines: a window of the source around `start`, and carets under the place."""
    left = max(0, start - width // 2)
    window = "".join(c if c.isprintable() else "?" for c in source[left : left + width])
    carets = max(1, min((stop or start + 1) - start, width - (start - left)))
    return f"    {window}\n    {' ' * (start - left)}{'^' * carets}"


class BindError(MixedVCError):
    """A formula that does not fit the data or the covariances it names."""


class DataError(MixedVCError):
    """A table, column or cell that cannot be used."""


class DegenerateResponse(DataError):
    """A response without variation."""


class CovarianceError(MixedVCError):
    """A known covariance that is malformed, mislabelled or indefinite."""


class PedigreeError(CovarianceError):
    """A pedigree with a loop, a duplicate or a contradictory parent."""


class StructureError(MixedVCError):
    """An unknown-covariance structure that does not fit its effects."""


class IdentifiabilityError(MixedVCError):
    """Variance components that the design cannot tell apart."""


class MemoryLimitError(MixedVCError):
    """An array that would not fit, with the method that would."""


class ConvergenceError(MixedVCError):
    """An estimator that cannot go on."""


class StoredModelError(MixedVCError):
    """A saved model that is truncated, altered or from another version."""


class OptionError(MixedVCError, TypeError):
    """An option that does not exist or has a value outside its domain."""


class NotProvided(MixedVCError, AttributeError):
    """A quantity this estimator does not give; the message says which one does."""


class MissingExtra(MixedVCError, ImportError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(f"{purpose} needs the package {package!r}: pip install 'mixedvc[{extra}]'")


class MixedVCWarning(UserWarning):
    """Root of all warnings of mixedvc."""


class ConvergenceWarning(MixedVCWarning):
    """An iteration that stopped before it converged."""


class BoundaryWarning(MixedVCWarning):
    """A variance at zero or a correlation at one: the fit is singular."""


class DroppedRowsWarning(MixedVCWarning):
    """Rows left out because a value was missing."""


class RankWarning(MixedVCWarning):
    """Fixed-effect columns that are (nearly) linear combinations of others."""


class IdentifiabilityWarning(MixedVCWarning):
    """A component that the data hardly inform."""


class CovarianceWarning(MixedVCWarning):
    """A known covariance whose scale or shape deserves a second look."""


def warn(message: str, category: type[MixedVCWarning] = MixedVCWarning) -> None:
    """Warn so that the warning points at the caller's line outside the package."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("mixedvc"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
