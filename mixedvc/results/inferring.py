"""Inference a user asks of a fit by name; each method hands over to the module that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import support

if TYPE_CHECKING:
    import pandas as pd


class Inferring:
    """Tests, profiles, bootstraps and diagnoses of a `PointResults`."""

    def test_varcomp(self: Any, component: str | None = None, method: str = "mixture") -> pd.DataFrame:
        """Test that a variance is zero: likelihood ratio against the fit without the term.

        Parameters
        ----------
        component : str, optional
            A term with one effect; all such terms, one at a time, by default.
        method : str
            "mixture": ½χ²₀ + ½χ²₁; "chi2": χ²₁, conservative.

        Returns
        -------
        DataFrame, one row a component: statistic, p_value, method, llf, llf_null.
        """
        return support.test_varcomp(self, component, method)
