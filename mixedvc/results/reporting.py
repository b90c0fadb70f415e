"""What every kind of point results prints, writes and draws; the numbers are made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..inference import intervals
from . import frames, support

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary


class Reporting:
    """Tables, files and plots of a `PointResults`."""

    def summary(
        self: Any,
        df: str = "satterthwaite",
        *,
        level: float = 0.95,
        interval: str | None = None,
        information: str | None = None,
    ) -> Summary:
        """A statsmodels Summary: header, fixed effects, variances, notes; text, HTML and LaTeX.

        Parameters
        ----------
        df : str
            "satterthwaite" | "kenward-roger" | "residual" | "normal": tests of fixed effects; "kenward-roger" (REML
            fits) enlarges their standard errors too.
        level : float
            Of all intervals.
        interval : str, optional
            "chi2" | "wald" | "profile" | "boot" | "percentile": intervals of variances, see `variances`.
        information : str, optional
            Instead of the fit's own.
        """
        from .render import render
        from .table import summary_table

        return render(summary_table(self, df, intervals.check_level(level), interval, information))

    def tidy(
        self: Any,
        effects: str | tuple[str, ...] = ("fixed", "ran_pars"),
        *,
        scales: str = "sdcor",
        conf_int: bool = False,
        level: float = 0.95,
        df: str = "satterthwaite",
        interval: str | None = None,
    ) -> pd.DataFrame:
        """broom.mixed's tidy: effect, group, term, estimate, std.error, statistic, df, p.value [, conf.low, conf.high].

        `effects` among "fixed", "ran_pars", "ran_vals"; ``scales="vcov"`` gives variances instead of sd's;
        `interval` is that of `variances`.
        """
        return frames.tidy(self, effects, scales, conf_int, intervals.check_level(level), df, interval)

    def glance(self: Any) -> pd.DataFrame:
        """broom.mixed's glance: nobs, sigma, logLik, AIC, BIC, REMLcrit (or deviance), df.residual."""
        return frames.glance(self)

    def augment(self: Any, *, influence: bool = False) -> pd.DataFrame:
        """broom.mixed's augment: the data with .fitted, .resid, .fixed; with `influence` also .hat and .cooksd."""
        return frames.augment(self, support.used_data(self.spec), influence)

    def save(self: Any, path: str | Path) -> None:
        """Write the fit to one file (zip of JSON and npy); `mixedvc.load` reads it back."""
        from ..io.store import save

        save(self, path)

    def plot_effects(self: Any, term: str | None = None, ax: Any = None) -> Any:
        """Caterpillar plot of a term's random effects with their intervals."""
        from .plots import caterpillar

        return caterpillar(self, term, ax=ax)

    def plot_residuals(self: Any, ax: Any = None) -> Any:
        """Residuals against fitted values, and their normal quantiles."""
        from .plots import residuals

        return residuals(self, ax=ax)

    def plot_profile(
        self: Any, parameters: Any = None, kind: str = "zeta", *, level: float = 0.95, ax: Any = None
    ) -> Any:
        """Profiles of parameters (see `profile`): "zeta", "abs" or "density", a panel each."""
        return self.profile(parameters, level=level).plot(kind, ax=ax)

    def plot_shares(self: Any, ax: Any = None) -> Any:
        """Shares of variance as bars."""
        from .plots import varshare

        return varshare(self, ax=ax)
