"""Results: numbers of a fit with names, inference, tables and pictures."""

from . import stored as _stored  # noqa: F401  (registers how point results are saved)
from . import stored_posterior as _stored_posterior  # noqa: F401  (… and posteriors)
