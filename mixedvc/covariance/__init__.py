"""Known covariances among labelled levels; importing the package registers ours."""

from .base import Can, Covariance, covariances
from .identity import Identity

__all__ = ["Can", "Covariance", "Identity", "covariances"]
