"""Known covariances among labelled levels; importing the package registers ours."""

from .base import Can, Covariance, covariances
from .coerce import as_covariance
from .dense import Dense
from .features import Features
from .identity import Identity
from .kronecker import Kronecker
from .marginal import Marginal
from .pedigree import Pedigree
from .pedigree_table import pedigree
from .precision import Precision
from .sparse import Sparse

__all__ = [
    "Can",
    "Covariance",
    "Dense",
    "Features",
    "Identity",
    "Kronecker",
    "Marginal",
    "Pedigree",
    "Precision",
    "Sparse",
    "as_covariance",
    "covariances",
    "pedigree",
]
