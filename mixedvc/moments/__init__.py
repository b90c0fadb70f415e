"""Second moments: the equations S θ = q of the Haseman-Elston family; importing registers ours."""

from .base import Equations, Moments, Variant, moment_kinds

__all__ = ["Equations", "Moments", "Variant", "moment_kinds"]
