"""Second moments: the equations S θ = q of the Haseman-Elston family; importing registers ours."""

from . import blocks, factors, hutchinson, panels  # noqa: F401  (they register themselves)
from .base import Equations, Moments, Variant, moment_kinds
from .choose import choose_moments, rank_moments

__all__ = ["Equations", "Moments", "Variant", "choose_moments", "moment_kinds", "rank_moments"]
