"""One kernel and many responses: the global maximum over the share of variance, for all of them together.

A grid, the same for every response and so a few matrix products, shows every cell in which the profile turns down;
Newton on each response's own share finishes in the best ones, kept between the two ends of its cell.  An end where the
likelihood falls away from it is a maximum too: zeros are exact.  A profile is a sum of functions of log(h/(1 − h)) that
change over about one unit; cells are narrower, and a cell whose cubic through both ends humps between them is divided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..likelihood.panel_profile import Profile, Share

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Bool = NDArray[np.bool_]
CELL = 0.7  # width in log(h/(1 − h))
NEAR = 0.5  # of the best found on the grid: how much lower a hump may look and still be tried
LARGEST = 1e9  # ratio of the two variances at which the grid ends
PARTS = 8  # into which a cell with a hump is divided


@dataclass(frozen=True)
class Found:
    """Where each response's likelihood is highest.

    Attributes
    ----------
    share : Share
        (T,); exactly 0 or 1 at a boundary.
    converged : (T,) bool
    evaluations : (T,) int
        Beyond the grid.
    null : (T,)
        ℓ, without its constant, of no kernel variance.
    runaway : (T,) bool
        The likelihood still rises where the residual variance is 1e-9 of the kernel's.
    """

    share: Share
    converged: Bool
    evaluations: Index
    null: Float
    runaway: Bool


@dataclass(frozen=True)
class Cells:
    """Maxima to be found: response, bracket of k (the slope is positive at `low`, negative at `high`), a start."""

    who: Index
    low: Float
    high: Float
    upper: Bool
    start: Float

    def joined(self, other: Cells) -> Cells:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Cells(*(np.concatenate(pair) for pair in pairs))


def grid_of(profile: Profile) -> Share:
    """h = 0, shares around the whole spectrum, and h = 1 where V is not singular there."""
    d = profile.d
    top = float(d.max())
    positive = d[d > 1e-12 * top]
    first = np.log(1e-3 / top)
    last = float(np.clip(np.log(1e3 / positive.min()), 2.0, np.log(LARGEST)))
    below = max(2, int(np.ceil(-first / CELL)))
    above = max(2, int(np.ceil(last / CELL)))
    ratio = np.exp(np.concatenate([np.linspace(first, 0.0, below + 1), np.linspace(0.0, last, above + 1)[1:]]))
    upper = ratio > 1.0
    k = np.where(upper, 1.0, ratio) / (1.0 + ratio)
    ends = profile.extra == 0 and float(d.min()) > 1e-10 * top
    return Share(np.concatenate([[0.0], k, [0.0] * ends]), np.concatenate([[False], upper, [True] * ends]).astype(bool))


def search(profile: Profile, Y: Float, tol: float, max_iter: int, grid: Share | None = None) -> Found:
    """The highest point of every response's profile; Y (r, T) in coordinates."""
    shares = grid_of(profile) if grid is None else grid
    value, slope = profile.grid(Y, shares)
    everyone = np.arange(Y.shape[1])
    cells = _turning(shares, value, slope).joined(_humps(profile, Y, shares, value, slope))
    k, done, steps = _newton(profile, Y, cells, tol, max_iter)
    own = profile.value_at(_columns(Y, cells.who), Share(k, cells.upper)) if len(k) else np.empty(0)
    best = np.argmax(value, axis=0)  # of the grid: a boundary, or what a cell will beat
    chosen = Share(shares.k[best], shares.upper[best])
    height = value[best, everyone]
    last = len(shares.k) - 1
    open_end = shares.k[last] > 0.0
    edge = ((best == 0) & (slope[0] <= 0.0)) | ((best == last) & (slope[last] >= 0.0))
    converged, evaluations = edge & ~((best == last) & open_end), np.zeros(len(everyone), dtype=np.intp)
    runaway = (best == last) & open_end & (slope[last] > 0.0)
    ahead = np.lexsort((own, cells.who))  # the highest of a response comes last
    is_last = np.append(cells.who[ahead][1:] != cells.who[ahead][:-1], True)[: len(ahead)]
    winner = ahead[is_last]
    who = cells.who[winner]
    better = own[winner] >= height[who] - 1e-12 * np.maximum(np.abs(height[who]), 1.0)
    better &= ~(edge[who] & (own[winner] < height[who]))
    winner, who = winner[better], who[better]
    chosen.k[who], chosen.upper[who] = k[winner], cells.upper[winner]
    converged[who], evaluations[who], runaway[who] = done[winner], steps[winner], False
    return Found(chosen, converged, evaluations, value[0], runaway)


def _columns(Y: Float, some: Index) -> Float:
    """Y[:, some], by columns."""
    return np.take(Y.T, some, axis=0).T


def _brackets(shares: Share, cell: Index) -> tuple[Float, Float, Bool]:
    """k at the two ends of cells, the smaller first."""
    upper = shares.upper[cell + 1]
    left = np.where(upper & ~shares.upper[cell], 1.0 - shares.k[cell], shares.k[cell])
    right = shares.k[cell + 1]
    return np.where(upper, right, left), np.where(upper, left, right), upper


def _turning(shares: Share, value: Float, slope: Float) -> Cells:
    """Cells at whose left end the profile rises and at whose right end it falls, unless clearly below the best."""
    cell, who = np.nonzero((slope[:-1] > 0.0) & (slope[1:] <= 0.0))
    reach = np.maximum(value[cell, who], value[cell + 1, who])
    h = np.where(shares.upper, 1.0 - shares.k, shares.k)
    width = h[cell + 1] - h[cell]
    rise = 0.25 * width * np.maximum(slope[cell, who], -slope[cell + 1, who])  # above its ends, at most
    best = value.max(axis=0)[who]
    kept = reach + rise >= best - NEAR
    cell, who = cell[kept], who[kept]
    low, high, upper = _brackets(shares, cell)
    return Cells(who, low, high, upper, _secant(slope[cell, who], slope[cell + 1, who], low, high, upper))


def _secant(left: Float, right: Float, low: Float, high: Float, upper: Bool) -> Float:
    """Where a line through the slopes by log(h/(1 − h)) is zero; slopes by h, left end first."""
    at_low, at_high = np.where(upper, -right, left), np.where(upper, -left, right)  # by k
    a, b = at_low * np.maximum(low, 0.1 * high), -at_high * high  # dk/dlogit is nearly k
    share = np.clip(a / np.maximum(a + b, 1e-300), 0.02, 0.98)
    return np.where(low > 0.0, np.maximum(low, 1e-300) ** (1.0 - share) * high**share, share * high)


def _humps(profile: Profile, Y: Float, shares: Share, value: Float, slope: Float) -> Cells:
    """Maxima in cells whose ends do not tell of them, found by dividing the cells where a cubic has one."""
    inner = np.flatnonzero((shares.k[:-1] > 0.0) & (shares.k[1:] > 0.0))
    k = np.maximum(shares.k, 1e-300)
    x = np.where(shares.upper, -1.0, 1.0) * (np.log(k) - np.log1p(-k))  # log(h/(1 − h))
    h_slope = slope * (k * (1.0 - k))[:, None]
    width = np.diff(x)[inner, None]
    f0, f1 = value[inner], value[inner + 1]
    g0, g1 = h_slope[inner] * width, h_slope[inner + 1] * width
    hidden = (g0 > 0.0) == (g1 > 0.0)
    # the cubic f0 + g0 s + b s² + a s³ on 0 < s < 1
    a, b = 2.0 * (f0 - f1) + g0 + g1, 3.0 * (f1 - f0) - 2.0 * g0 - g1
    root = b * b - 3.0 * a * g0
    with np.errstate(invalid="ignore", divide="ignore"):
        s = -(b + np.sqrt(root)) / (3.0 * a)  # where the second derivative is negative
        top = f0 + s * (g0 + s * (b + s * a))
    humped = hidden & (root > 0.0) & (s > 0.0) & (s < 1.0) & (top >= value.max(axis=0) - NEAR)
    which, who = np.nonzero(humped)
    if not len(who):
        none = np.empty(0, dtype=np.intp)
        return Cells(none, np.empty(0), np.empty(0), none.astype(bool), np.empty(0))
    return _divided(profile, Y, shares, inner[which], who)


def _divided(profile: Profile, Y: Float, shares: Share, cell: Index, who: Index) -> Cells:
    """Turning points among PARTS parts of each cell."""
    low, high, upper = _brackets(shares, cell)
    steps = np.linspace(0.0, 1.0, PARTS + 1)
    k = low * (high / low) ** steps[:, None]  # (PARTS + 1, cells)
    columns = _columns(Y, who)
    slopes = np.stack([profile.at(columns, Share(row, upper)).first for row in k])
    part, item = np.nonzero((slopes[:-1] > 0.0) & (slopes[1:] <= 0.0))
    return Cells(who[item], k[part, item], k[part + 1, item], upper[item], np.sqrt(k[part, item] * k[part + 1, item]))


def _newton(profile: Profile, Y: Float, cells: Cells, tol: float, max_iter: int) -> tuple[Float, Bool, Index]:
    """k of the maximum in every cell: Newton, or a bisection where that leaves the bracket."""
    k, low, high = cells.start.copy(), cells.low.copy(), cells.high.copy()
    done, steps = np.zeros(len(k), dtype=bool), np.zeros(len(k), dtype=np.intp)
    active = np.arange(len(k))
    columns = _columns(Y, cells.who)
    for _ in range(max_iter):
        if not len(active):
            break
        slope = profile.at(columns, Share(k[active], cells.upper[active]))
        steps[active] += 1
        rising = slope.first > 0.0
        low[active] = np.where(rising, k[active], low[active])
        high[active] = np.where(rising, high[active], k[active])
        concave = slope.second < 0.0
        move = -slope.first / np.where(concave, slope.second, -1.0)
        close = concave & (slope.first * move < tol)
        a, b = low[active], high[active]
        to = k[active] + move
        inside = concave & (to > a) & (to < b)
        middle = np.where(a > 0.25 * b, 0.5 * (a + b), np.where(a > 0.0, np.sqrt(a * b), 0.1 * b))
        close |= b - a <= 4e-16 * b
        k[active] = np.where(inside, to, np.where(close, k[active], middle))
        done[active] = close
        going = ~close
        active = active[going]
        if going.sum() < len(going):
            columns = _columns(columns, np.flatnonzero(going))
    return k, done, steps
