"""Pictures of a fit (needs the extra ``mixedvc[plots]``): caterpillar, residuals, varshare; each returns its axes.

Examples
--------
>>> import mixedvc as mv
>>> from mixedvc.results.plots import caterpillar
>>> axes = caterpillar(mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")))
>>> axes.get_xlabel()
'Effect'
"""

from .caterpillar import caterpillar
from .residuals import residuals
from .varshare import varshare

__all__ = ["caterpillar", "residuals", "varshare"]
