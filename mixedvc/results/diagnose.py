"""A fit diagnosed in words: what was looked at, the number behind it, and what to do about it."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotProvided
from ..inference import diagnostics as numbers
from ..inference.parameters import parameters
from ..inference.ratios import weights
from ..inference.residuals import scaled
from ..linalg.columns import column_rank

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

Float = NDArray[np.float64]
STATES = ("problem", "warning", "fine")
_MARKS = {"problem": "!!", "warning": " !", "fine": "ok"}
_MOST_LEVELS = 3000  # of a term whose prediction errors are worth their cost here
_WIDTH = 96


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    check : str
        What was looked at.
    state : "problem" | "warning" | "fine"
    said : str
        What was found, with its number.
    value : float
        That number; NaN where there is none.
    remedy : str
        What to do; empty where nothing is to be done.
    """

    check: str
    state: str
    said: str
    value: float = float("nan")
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What `PointResults.diagnose` returns; printing shows the findings, the worst first."""

    findings: tuple[Finding, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """One row a finding: check, state, said, value, remedy."""
        import pandas as pd

        return pd.DataFrame([vars(f) for f in self.findings], columns=["check", "state", "said", "value", "remedy"])

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings that are not fine, the worst first."""
        return tuple(f for f in self.findings if f.state != "fine")

    @property
    def verdict(self) -> str:
        """One sentence."""
        bad, odd = (sum(f.state == state for f in self.findings) for state in STATES[:2])
        if not bad and not odd:
            return f"Nothing to object to in {len(self.findings)} checks."
        parts = [f"{bad} problem{'s' * (bad != 1)}"] * (bad > 0) + [f"{odd} warning{'s' * (odd != 1)}"] * (odd > 0)
        return f"{' and '.join(parts)} in {len(self.findings)} checks."

    def __str__(self) -> str:
        lines = [f"Diagnosis: {self.verdict}"]
        for f in self.findings:
            lines += textwrap.wrap(
                f"{f.check}: {f.said}", _WIDTH, initial_indent=f"{_MARKS[f.state]} ", subsequent_indent="   "
            )
            if f.remedy:
                lines += textwrap.wrap(f"-> {f.remedy}", _WIDTH, initial_indent="   ", subsequent_indent="      ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{f.state}</td><td>{html.escape(f.check)}</td><td style='text-align:left'>{html.escape(f.said)}"
            f"{'<br><i>' + html.escape(f.remedy) + '</i>' if f.remedy else ''}</td></tr>"
            for f in self.findings
        )
        return f"<p><b>Diagnosis:</b> {html.escape(self.verdict)}</p><table>{rows}</table>"


def diagnose(fit: PointResults) -> Diagnosis:
    """See `PointResults.diagnose`."""
    if fit.estimate.fixed_effects == "none":
        raise NotProvided("diagnose() looks at residuals, and a fit of an outer product has none")
    found = [finding for look in _LOOKS for finding in look(fit)]
    return Diagnosis(tuple(sorted(found, key=lambda f: STATES.index(f.state))))


# ---- the maximum ---------------------------------------------------------------------------------------------------


def _convergence(fit: PointResults) -> Iterator[Finding]:
    e = fit.estimate
    if e.loglik is None:
        return
    if not e.converged:
        yield Finding(
            "convergence",
            "problem",
            f"the iteration did not end at a maximum: {e.message}",
            remedy="raise max_iter, or start elsewhere: all_fit() tries other methods and starts",
        )
    at = numbers.slope(fit.spec, fit.evaluation, e)
    if at is None:
        return
    rest = f"a Newton step would still raise the log-likelihood by {at.decrement / 2:.1e}"
    if e.converged and at.decrement > 1e-4:
        yield Finding("convergence", "warning", rest, at.decrement / 2, "lower tol, or look at all_fit()")
    elif e.converged:
        yield Finding("convergence", "fine", f"{e.n_evaluations} evaluations; {rest}", at.decrement / 2)
    yield _curvature(fit, at)


def _curvature(fit: PointResults, at: numbers.Slope) -> Finding:
    said = f"smallest eigenvalue {at.weakest:.1e} of the scaled information"
    if at.weakest > 1e-3:
        return Finding("Hessian", "fine", f"the variances are told apart ({said})", at.weakest)
    rows = parameters(fit.spec)
    names = [rows[j].name for j in np.argsort(-np.abs(at.direction)) if abs(at.direction[j]) > 0.3]
    return Finding(
        "Hessian",
        "problem" if at.weakest < 1e-8 else "warning",
        f"the data hardly tell {' and '.join(names)} apart ({said})",
        at.weakest,
        "leave one of them out, or hold one by fixed_varcomp",
    )


def _singular(fit: PointResults) -> Iterator[Finding]:
    e, spec = fit.estimate, fit.spec
    rows = parameters(spec)
    zero = [p for p, at, v in zip(rows, e.at_bound, e.par, strict=True) if at and p.kind == "variance" and v == 0.0]
    for p in zero:
        what = "the residual variance" if p.term == len(spec.terms) else f"the variance of {p.name}"
        remedy = (
            "the random terms fit the rows exactly: leave out the finest grouping"
            if p.term == len(spec.terms)
            else f"leave {p.effect if not p.single else 'the term'} out of {spec.all_terms[p.term].text}; "
            "test_varcomp() tests a zero"
        )
        yield Finding("singular fit", "warning", f"{what} is exactly zero", 0.0, remedy)
    gone = {(p.term, p.effect) for p in zero}
    edges = [
        p
        for p, at in zip(rows, e.at_bound, strict=True)
        if at and p.kind != "variance" and not gone & {(p.term, p.effect), (p.term, p.effect2)}
    ]
    for i in dict.fromkeys(p.term for p in edges):
        yield _at_edge(fit, i)
    if not zero and not edges:
        yield Finding("singular fit", "fine", "no variance is zero and no correlation at its bound")


def _at_edge(fit: PointResults, i: int) -> Finding:
    term, Sigma = fit.spec.all_terms[i], fit.spec.sigmas(fit.theta)[i]
    d = np.sqrt(np.where(np.diagonal(Sigma) > 0, np.diagonal(Sigma), 1.0))
    values, _ = numbers.principal_axes(Sigma / np.outer(d, d))
    rank = int((values > 1e-8).sum())
    plain = term.text.startswith("(")
    apart = f"write diag({term.text.strip('()')}) for independent effects, or " if plain else ""
    return Finding(
        "singular fit",
        "warning",
        f"the covariance of {term.text} has rank {rank} of {term.k}: correlations are at their bound",
        float(values[-1]),
        f"{apart}drop the effect of least variance (principal_components() shows what is there)",
    )


# ---- the design ----------------------------------------------------------------------------------------------------


def _columns(fit: PointResults) -> Iterator[Finding]:
    spec = fit.spec
    if spec.p < 2:
        return
    found = column_rank(spec.X)
    said = f"condition number {found.condition:.3g} of the fixed effects, scaled and centred"
    if found.condition > 100:
        names = [spec.x_names[j] for j in found.weakest]
        yield Finding(
            "collinearity",
            "problem" if found.condition > 1e6 else "warning",
            f"{', '.join(names)} are nearly a linear combination ({said})",
            found.condition,
            "leave one out, or centre what is multiplied",
        )
    else:
        yield Finding("collinearity", "fine", said, found.condition)
    sd = np.asarray(spec.X.std(axis=0))
    moving = np.flatnonzero(sd > 0)
    if len(moving) > 1:
        small, large = moving[np.argmin(sd[moving])], moving[np.argmax(sd[moving])]
        ratio = float(sd[large] / sd[small])
        if ratio > 1e4:
            yield Finding(
                "scale of predictors",
                "warning",
                f"the spread of {spec.x_names[large]} is {ratio:.1e} times that of {spec.x_names[small]}",
                ratio,
                "other units would make the coefficients easier to read; the fit does not depend on them",
            )
        else:
            yield Finding("scale of predictors", "fine", f"spreads differ by a factor of {ratio:.3g} at most", ratio)


def _groups(fit: PointResults) -> Iterator[Finding]:
    spec, traits = fit.spec, fit.spec.traits
    for term in spec.terms:
        codes = term.codes if traits is None else term.codes[np.unique(traits.record, return_index=True)[1]]
        size = np.bincount(codes, minlength=term.q)  # rows, or records of several traits
        what = "row" if traits is None else "record"
        if term.q < 5:
            yield Finding(
                f"levels of {term.name}",
                "warning",
                f"{term.q} levels say little of a variance among levels",
                float(term.q),
                f"profile intervals (conf_int, variances) show how little; {term.group} as a fixed effect is an option",
            )
        single = float((size == 1).mean())
        if single > 0.5 and term.cov_name is None:
            yield Finding(
                f"{what}s of {term.name}",
                "warning",
                f"{100 * single:.0f} % of the {term.q} levels have one {what}, which cannot tell level from residual",
                single,
                f"the levels with several {what}s carry the estimate; see how sure it is by profile()",
            )
        elif term.q >= 5:
            text = f"{term.q} levels of {size.min()} to {size.max()} {what}s"
            yield Finding(f"levels of {term.name}", "fine", text, float(term.q))
        for one in _rows(fit):
            yield from _constant(fit, term, one)


@dataclass(frozen=True)
class _Rows:
    """The rows of one trait; all rows where there is one response."""

    at: NDArray[np.intp]
    trait: str = ""
    record: NDArray[np.intp] | None = None

    @property
    def of(self) -> str:
        """What is added to the name of a check."""
        return f" ({self.trait})" if self.trait else ""


def _rows(fit: PointResults) -> list[_Rows]:
    traits = fit.spec.traits
    if traits is None:
        return [_Rows(np.arange(fit.spec.n))]
    own = [np.flatnonzero(traits.trait == a) for a in range(traits.t)]
    return [_Rows(at, name, traits.record[at]) for at, name in zip(own, traits.names, strict=True)]


def _constant(fit: PointResults, term: Any, rows: _Rows) -> Iterator[Finding]:
    """Levels in which the response does not vary."""
    y, codes = fit.spec.response[rows.at], term.codes[rows.at]
    size = np.bincount(codes, minlength=term.q)
    mean = np.bincount(codes, y, minlength=term.q) / np.maximum(size, 1)
    within = np.bincount(codes, (y - mean[codes]) ** 2, minlength=term.q)
    many = size >= 3
    flat = many & (within <= 1e-12 * float(np.var(y)) * np.maximum(size, 1))
    if flat.any():
        names = ", ".join(map(str, term.levels[np.flatnonzero(flat)[:5]]))
        yield Finding(
            f"constant levels of {term.name}{rows.of}",
            "warning",
            f"the response does not vary within {int(flat.sum())} levels of 3 rows or more: {names}",
            float(flat.sum()),
            "look for copied values, ceilings and floors; a Gaussian residual has no such levels",
        )


def _shares(fit: PointResults) -> Iterator[Finding]:
    spec = fit.spec
    contribution = weights(spec) * fit.theta
    total = float(contribution.sum())
    if not total > 0:
        return
    owners = np.array([where.term for where in spec.index])
    for i, term in enumerate(spec.all_terms):
        share = float(contribution[owners == i].sum()) / total
        name = "the residual" if i == len(spec.terms) else term.name
        if 0.0 < share < 1e-3:
            yield Finding(
                "variance ratios",
                "warning",
                f"{name} makes up {100 * share:.2g} % of the variance of an observation",
                share,
                "it may be left out" if i < len(spec.terms) else "the random terms nearly reproduce the response",
            )


# ---- the residuals -------------------------------------------------------------------------------------------------


def _outlying(fit: PointResults) -> Iterator[Finding]:
    spec = fit.spec
    for i, term in enumerate(spec.terms):
        if term.q > _MOST_LEVELS or not np.any(np.diagonal(spec.sigmas(fit.theta)[i]) > 0):
            continue
        z = numbers.standardised_effects(spec, fit.evaluation, i)
        limit = numbers.bonferroni(z.size)
        where = np.argwhere(np.abs(z) > limit)
        if not len(where):
            said = f"the largest standardised effect is {np.abs(z).max():.2f} (limit {limit:.2f})"
            yield Finding(f"outlying levels of {term.name}", "fine", said, float(np.abs(z).max()))
            continue
        order = where[np.argsort(-np.abs(z[tuple(where.T)]))][:5]
        names = ", ".join(f"{term.levels[a]} ({term.effects[b]} {z[a, b]:+.1f})" for a, b in order.tolist())
        yield Finding(
            f"outlying levels of {term.name}",
            "warning",
            f"{len(where)} standardised effects beyond {limit:.2f}: {names}",
            float(np.abs(z).max()),
            f"look at these levels; influence({term.name!r}) says what they do to the fixed effects",
        )


def _residuals(fit: PointResults) -> Iterator[Finding]:
    spec = fit.spec
    if not np.all(spec.residual_variances(fit.theta) > 0):
        return
    r = scaled(spec, fit.theta, np.asarray(fit.resid_values), "pearson")
    for rows in _rows(fit):
        yield from _normality(r[rows.at], rows)
    limit = max(numbers.bonferroni(len(r)), 4.0)
    far = np.flatnonzero(np.abs(r) > limit)
    if len(far):
        order = far[np.argsort(-np.abs(r[far]))][:5]
        named = ", ".join(f"{spec.row_labels[j]!r} ({r[j]:+.1f})" for j in order)
        yield Finding(
            "outlying rows",
            "warning",
            f"{len(far)} residuals beyond {limit:.1f} standard deviations: {named}",
            float(np.abs(r).max()),
            "look at these rows; influence() says what each does to the fixed effects",
        )
    for rows in _rows(fit):
        yield from _spread(fit, r, rows)
    yield from _serial(fit)


def _normality(r: Float, rows: _Rows) -> Iterator[Finding]:
    skew, z_skew, kurtosis, z_kurtosis = numbers.moments(r)
    said = f"skewness {skew:+.2f}, excess kurtosis {kurtosis:+.2f}"
    if (abs(skew) > 0.5 and abs(z_skew) > 4) or (kurtosis > 1 and z_kurtosis > 4):
        yield Finding(
            f"normality of residuals{rows.of}",
            "warning",
            said,
            skew if abs(skew) > 0.5 else kurtosis,
            "estimates stand, intervals of variances may not: transform the response, or bootstrap(kind='residual')",
        )
    else:
        yield Finding(f"normality of residuals{rows.of}", "fine", said, skew)


def _spread(fit: PointResults, every: Float, rows: _Rows) -> Iterator[Finding]:
    """Residual spread against fitted values and by the factors of the fixed part."""
    spec, r = fit.spec, every[rows.at]
    fitted = (spec.y - np.asarray(fit.resid_values))[rows.at]
    rho, p = numbers.funnel(fitted, r)
    if p < 1e-3 and abs(rho) > 0.2:
        way = "grow" if rho > 0 else "shrink"
        yield Finding(
            f"equal spread{rows.of}",
            "warning",
            f"residuals {way} with the fitted values (rank correlation {rho:+.2f}, p {p:.1e})",
            rho,
            "a log or root of the response may even them out; or weights=",
        )
    else:
        said = f"|residual| and fitted values: rank correlation {rho:+.2f}"
        yield Finding(f"equal spread{rows.of}", "fine", said, rho)
    factors = list(_factors(fit, rows))
    for text, codes, levels in factors:
        p, variances = numbers.levene(r, codes)
        ratio = float(np.nanmax(variances) / max(float(np.nanmin(variances)), 1e-300))
        if p < 0.01 / len(factors) and ratio > 2:
            low, high = levels[int(np.nanargmin(variances))], levels[int(np.nanargmax(variances))]
            yield Finding(
                f"equal spread by {text}{rows.of}",
                "warning",
                f"the residual variance of {high!r} is {ratio:.3g} times that of {low!r} (p {p:.1e})",
                ratio,
                f"residual='diag(0 + {text} | rows)' gives each level its own"
                if not rows.trait
                else f"a model of {rows.trait} alone takes residual='diag(0 + {text} | rows)'; or weights=",
            )


def _factors(fit: PointResults, rows: _Rows) -> Iterator[tuple[str, NDArray[np.intp], list[Any]]]:
    """Factors of the fixed part with the level of each of the rows."""
    from ..design.expressions import Categories, Evaluator
    from ..design.random import column_reader

    source = fit.spec.source
    if source is None:
        return
    kept = np.setdiff1d(np.arange(len(source.frame)), fit.spec.dropped.rows)
    kept = kept if rows.record is None else kept[rows.record]
    evaluator = Evaluator(column_reader(source.frame), dict(source.memory))
    for text, variable in source.coder.variables.items():
        if variable.levels is None:
            continue
        value = evaluator.value(text)
        if isinstance(value, Categories):
            used, codes = np.unique(value.codes[kept], return_inverse=True)
            yield text, codes.reshape(-1), [value.levels[c] for c in used]


def _serial(fit: PointResults) -> Iterator[Finding]:
    """Correlation of neighbouring rows within the levels of each ordinary term."""
    spec = fit.spec
    r = scaled(spec, fit.theta, np.asarray(fit.resid_values), "normalized")
    for rows in _rows(fit):
        for term in spec.terms:
            if term.cov_name is not None or term.q > len(rows.at) / 4:
                continue
            value, z = numbers.neighbours(r[rows.at], term.codes[rows.at])
            if z > 4 and value > 0.1:
                yield Finding(
                    f"serial correlation in {term.name}{rows.of}",
                    "warning",
                    f"neighbouring rows of a level have residuals correlated by {value:+.2f} (z {z:.1f})",
                    value,
                    f"residual='ar1(1 | {term.group})' if the rows are in order of time"
                    + (f", in a model of {rows.trait} alone" if rows.trait else ""),
                )


_LOOKS = (_convergence, _singular, _columns, _groups, _shares, _outlying, _residuals)


# ---- principal components of random effects ------------------------------------------------------------------------


def principal_components(fit: PointResults) -> dict[str, pd.DataFrame]:
    """See `PointResults.principal_components`."""
    import pandas as pd

    spec = fit.spec
    sigma2 = fit.scale
    out = {}
    for term, Sigma in zip(spec.terms, spec.sigmas(fit.theta), strict=False):
        values, vectors = numbers.principal_axes(Sigma)
        total = max(float(values.sum()), 1e-300)
        index = pd.Index([f"PC{j + 1}" for j in range(term.k)], name="component")
        frame = pd.DataFrame(
            {
                "variance": values,
                "relative_sd": np.sqrt(values / sigma2) if sigma2 > 0 and spec.traits is None else np.nan,
                "share": values / total,
                "cumulative": np.cumsum(values) / total,
            },
            index=index,
        )
        out[term.name] = frame.join(pd.DataFrame(vectors.T, index=index, columns=list(term.effects)))
    return out
