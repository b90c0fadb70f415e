"""Pictures (need the extra ``mixedvc[plots]``): one function each, which returns its axes.

Examples
--------
>>> import mixedvc as mv
>>> from mixedvc.results.plots import caterpillar
>>> axes = caterpillar(mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")))
>>> axes.get_xlabel()
'Effect'
"""

from .caterpillar import caterpillar
from .comparison import comparison
from .correlations import correlations
from .cross_validation import cross_validation
from .influence import influence
from .marginal_means import marginal_means
from .profile import profile
from .residuals import residuals
from .trait_shares import trait_shares
from .varshare import varshare

__all__ = [
    "caterpillar",
    "comparison",
    "correlations",
    "cross_validation",
    "influence",
    "marginal_means",
    "profile",
    "residuals",
    "trait_shares",
    "varshare",
]
