"""Geweke's joint-distribution test and simulation-based calibration of a sampler, for any model under proper priors.

Parameters drawn from the prior, data drawn given them: one draw of the joint law (the marginal-conditional simulator).
Sweeps of the sampler on those data, the data drawn anew given where it is, and so on, are the successive-conditional
simulator: if it leaves the joint law as it is, sampler, priors and likelihood agree (Geweke 2004, JASA 99:799).  Every
replicate starts from a draw of its own, so that start and end have one law, their differences are independent, and
their Monte-Carlo errors are exact.
"""

from dataclasses import replace

import numpy as np

from mixedvc.sampling.conjugate import ConjugatePlan, Gibbs, _Here
from mixedvc.sampling.conjugate_engines import Rows
from mixedvc.sampling.conjugate_expanded import Expanded
from mixedvc.sampling.conjugate_terms import Exact, ExactResidual
from mixedvc.sampling.effects_sources import residual_draw, root_of
from mixedvc.sampling.quadratic import Scatter
from mixedvc.sampling.target import Target


class JointLaw:
    """Draws of (par, β, y) of a specification's design; β must have a proper prior."""

    def __init__(self, spec, likelihood, priors):
        self.spec, self.likelihood, self.priors = spec, likelihood, priors
        self.target = Target(spec, likelihood, priors)
        self.sources = [t.covariance.restrict(t.positions) for t in spec.terms]
        self.stops = np.cumsum([t.structure.n_par for t in spec.all_terms])[:-1]
        B = np.linalg.inv(priors.fixed.precision)
        self._mean, self._root = priors.fixed.mean, np.linalg.cholesky(B)

    def fixed(self, rng):
        return self._mean + self._root @ rng.standard_normal(len(self._mean))

    def par(self, rng):
        pieces = [p.draw(rng) if p.held is None else np.array(p.held) for p in self.priors.terms]
        return np.concatenate(pieces)

    def response(self, par, beta, rng):
        """y given par and β, the effects drawn and forgotten."""
        *sigmas, residual = self.spec.sigmas(self.target.theta(par[None])[0])
        y = self.spec.X @ beta + residual_draw(self.spec, residual, rng)
        for term, A, Sigma in zip(self.spec.terms, self.sources, sigmas, strict=True):
            y = y + term.spread(A.draw(rng, term.k) @ root_of(Sigma).T)
        return y if self.spec.offset is None else y + self.spec.offset

    def on(self, y):
        """The target of these data; its coordinates stay those of the first response, so that states carry over."""
        target = Target(replace(self.spec, y=y), self.likelihood.with_response(y), self.priors)
        target.__dict__["coordinates"] = self.target.coordinates
        return target


class ConjugateKernel:
    """Sweeps of the conjugate scheme, from a start that is a draw of the joint prior with all working parameters."""

    def __init__(self, law):
        self.law = law
        self.first = Gibbs(ConjugatePlan(law.par(np.random.default_rng(0))), law.target)

    def start(self, rng):
        """Parameters, and the state of every update, from the prior."""
        pieces, own = [], []
        for update, prior in zip(self.first.updates, self.law.priors.terms, strict=True):
            par, state = self._one(update, prior, rng)
            pieces.append(par)
            own.append(state)
        return pieces, own

    def _one(self, update, prior, rng):
        k = prior.structure.k
        if isinstance(update, Exact | ExactResidual):  # nothing seen: the update draws from the prior
            par, auxiliary = prior.update(np.zeros((k, k)), 0, prior.auxiliary(rng), rng)
            return par, {"auxiliary": auxiliary}
        if isinstance(update, Expanded):
            e, alpha = update.expansion, np.ones(k)
            alpha[e.free] = e.mean + root_of(e.cov) @ rng.standard_normal(len(e.free))
            Sigma = e.inner.draw(Scatter(np.zeros((k, k)), 0), rng) * alpha[:, None] * alpha
            return np.array([Sigma[a, b] for a, b in prior.structure.pairs]), {"alpha": alpha}
        par = prior.draw(rng) if prior.held is None else np.array(prior.held)
        return par, update.begin(par, rng)

    def on(self, y):
        """The chain on other data; what does not depend on them is kept."""
        gibbs = Gibbs(self.first.plan, self.law.on(y))
        mine, theirs = self.first.engine, gibbs.engine
        if isinstance(mine, Rows):
            theirs.__dict__["residual"] = mine.residual
            theirs._sampler.__dict__["sources"] = mine.sources
        return gibbs

    def sweeps(self, y, pieces, own, count, rng):
        """Parameters after `count` iterations on these data; kept are those of every iteration."""
        gibbs = self.on(y)
        theta = self.law.target.theta(np.concatenate(pieces)[None])[0]
        here = _Here(list(pieces), list(own), gibbs.engine.draw(theta, rng))
        kept = []
        for _ in range(count):
            gibbs.step(here, rng)
            kept.append(np.append(np.concatenate(here.pieces), here.where.beta))
        return here, np.array(kept)


def joint_differences(law, replicates, sweeps, seed, data=1):
    """(replicates, statistics) at the end minus at the start of the successive-conditional simulator, and their names.

    `data` sets of data, each with `sweeps` iterations.  Statistics are ranks of parameters among draws of the prior,
    their squares and products, and products with the size of the data: bounded, so that means have normal errors.
    """
    kernel, rng = ConjugateKernel(law), np.random.default_rng(seed)

    def everything(pieces, own, beta):  # parameters, working parameters, fixed effects
        return np.concatenate([*pieces, *(state["alpha"] for state in own if "alpha" in state), beta])

    reference = np.array([everything(*kernel.start(rng), law.fixed(rng)) for _ in range(500)])
    free = np.ptp(reference, axis=0) > 0.0
    reference = np.sort(reference[:, free], axis=0)

    def statistics(values, y):
        values = values[free]
        u = np.array([np.searchsorted(r, v) / len(r) - 0.5 for r, v in zip(reference.T, values, strict=True)])
        size = np.tanh(0.3 * np.log(np.mean((y - law.spec.X @ law._mean) ** 2)))
        i, j = np.triu_indices(len(u))
        return np.concatenate([u, u[i] * u[j], u * size])

    out = []
    for _ in range(replicates):
        pieces, own = kernel.start(rng)
        beta = law.fixed(rng)
        y = law.response(np.concatenate(pieces), beta, rng)
        before = statistics(everything(pieces, own, beta), y)
        for round_ in range(data):
            if round_:
                y = law.response(np.concatenate(pieces), beta, rng)
            here, _ = kernel.sweeps(y, pieces, own, sweeps, rng)
            pieces, own, beta = here.pieces, here.own, here.where.beta
        out.append(statistics(everything(pieces, own, beta), y) - before)
    return np.array(out)


def worst_z(differences):
    """Largest |mean| in its standard errors."""
    sd = differences.std(axis=0, ddof=1)
    moving = sd > 0.0
    return float(np.max(np.abs(differences.mean(axis=0)[moving]) / sd[moving]) * np.sqrt(len(differences)))
