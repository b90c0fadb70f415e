"""One likelihood for many responses: where rows are rotated or compressed, all columns are so at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Likelihood
from .gaussian import Frame

Float = NDArray[np.float64]


def with_responses(likelihood: Likelihood, Y: Float) -> list[Likelihood]:
    """`likelihood.with_response` of every column of Y (n, B); by a method `with_responses` where there is one."""
    many = getattr(likelihood, "with_responses", None)
    return [likelihood.with_response(y) for y in Y.T] if many is None else list(many(Y))


def frames_of(frame: Frame, Y: Float) -> list[Frame]:
    """The working coordinates of `frame` for every column of Y (n, B)."""
    many = getattr(frame, "with_responses", None)
    return [frame.with_response(y) for y in Y.T] if many is None else list(many(Y))
