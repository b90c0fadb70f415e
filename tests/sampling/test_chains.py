"""Chains in blocks: the same draws by any number of processes, in one run or several, whole or interrupted."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixedvc.errors import ConvergenceError, MemoryLimitError, MixedVCError
from mixedvc.linalg import memory
from mixedvc.linalg.processes import Crew
from mixedvc.progress import Progress
from mixedvc.sampling import chains
from mixedvc.sampling.base import ROWS, block_rng
from mixedvc.sampling.chains import Run, extend, run
from mixedvc.sampling.chains_watch import Watch
from mixedvc.sampling.collapsed import plan_collapsed
from mixedvc.sampling.conjugate import plan_conjugate
from mixedvc.sampling.held import HeldPlan
from tests.sampling.chain_cases import Counting, target

ASKED = Run(draws=25, burnin=0, thin=1, chains=3, seed=5)
START = np.array([20.0, 40.0])
PLANS = {
    "collapsed": lambda thin: plan_collapsed(target(), START, thin, seed=5, proposal="independence"),
    "slice": lambda thin: plan_collapsed(target(), START, thin, seed=5, proposal="slice"),
    "conjugate": lambda thin: plan_conjugate(target(), START, thin),
    "counting": lambda thin: Counting(thin=thin),
}


def equal(one, other):
    """Every number of two runs, bit for bit."""
    for name in ROWS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.effects is None) == (other.effects is None)
    for mine, theirs in zip(one.effects or (), other.effects or (), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one.facts.keys() == other.facts.keys()
    for name in one.facts:
        np.testing.assert_array_equal(one.facts[name], other.facts[name], err_msg=name)
    assert one.blocks == other.blocks
    for mine, theirs in zip(one.states, other.states, strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
    for mine, theirs in zip(one.surplus, other.surplus, strict=True):
        np.testing.assert_array_equal(mine.theta, theirs.theta)


def test_kept_draws_follow_the_burn_in_and_every_thin_th_is_kept():
    draws = run(target(), Counting(thin=4), replace(ASKED, burnin=30, thin=4))
    assert draws.burnin == 32  # rounded up to a multiple of thin
    for chain in range(3):
        np.testing.assert_array_equal(draws.lp[chain], 32 + 4 * np.arange(1, 26))
    assert draws.count == 25
    assert draws.chains == 3
    assert draws.blocks == (4, 4, 4)  # 33 rows with the burn-in's 8, in blocks of ten
    assert [len(piece) for piece in draws.surplus] == [7, 7, 7]


def test_blocks_of_burn_in_alone_are_not_counted_in_the_facts():
    draws = run(target(), Counting(), replace(ASKED, burnin=40))
    np.testing.assert_array_equal(draws.facts["iterations"], [30.0, 30.0, 30.0])


def test_chains_and_blocks_have_random_numbers_of_their_own():
    seen = {block_rng(5, chain, block).integers(2**62) for chain in range(4) for block in range(-1, 20)}
    assert len(seen) == 4 * 21
    draws = run(target(), Counting(), ASKED)
    assert len(np.unique(draws.theta[:, :, 0])) == 75
    assert not np.array_equal(run(target(), Counting(), replace(ASKED, seed=6)).theta, draws.theta)


@pytest.mark.parametrize("thin", [1, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", PLANS)
def test_going_on_gives_the_draws_of_a_longer_run_bit_for_bit(kind, thin):
    plan = PLANS[kind](thin)
    asked = Run(draws=7, burnin=5, thin=thin, chains=2, seed=5, save_random=True)
    whole = run(target(), plan, replace(asked, draws=7 + 1 + 160))
    first = run(target(), plan, asked)
    equal(extend(target(), extend(target(), first, 1), 160), whole)
    np.testing.assert_array_equal(first.theta, whole.theta[:, :7])


def test_going_on_within_what_a_block_left_over_runs_nothing():
    plan = Counting(how="interrupt", when=3)
    first = run(target(), plan, replace(ASKED, draws=22))
    again = extend(target(), first, 8)
    assert again.blocks == first.blocks
    np.testing.assert_array_equal(again.lp[0], np.arange(1, 31))
    assert not again.interrupted


@pytest.mark.parametrize("workers", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_draws_do_not_depend_on_the_number_of_processes(workers):
    plan = PLANS["collapsed"](2)
    asked = Run(draws=230, burnin=30, thin=2, chains=3, seed=5, save_random=True)
    here = run(target(), plan, asked)
    there = run(target(), plan, replace(asked, workers=workers))
    equal(here, there)
    equal(extend(target(), there, 200, workers=workers), run(target(), plan, replace(asked, draws=430)))


def test_work_that_turns_out_long_moves_to_processes_half_way(monkeypatch):
    made = []

    class Seen(Crew):
        def __init__(self, *arguments):
            made.append(arguments[2])
            super().__init__(*arguments)

    monkeypatch.setattr(chains, "Crew", Seen)
    monkeypatch.setattr(chains, "cores", lambda: 2)
    asked = replace(ASKED, draws=200, workers=None)
    short = run(target(), PLANS["conjugate"](1), asked)
    assert made == []
    monkeypatch.setattr(chains, "_SHORT", 0.0)
    equal(run(target(), PLANS["conjugate"](1), asked), short)
    assert made == [2]


def test_an_interruption_cuts_all_chains_to_what_each_has_and_going_on_is_as_if_nothing_was(monkeypatch):
    whole = run(target(), Counting(), replace(ASKED, draws=80))
    plan, calls = Counting(), [0]
    real = chains.advance

    def stopped(*arguments):
        calls[0] += 1
        if calls[0] == 8:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(chains, "advance", stopped)
    part = run(target(), plan, replace(ASKED, draws=80))
    assert part.interrupted
    assert part.count == 20  # seven blocks of ten by three chains: 3, 2, 2
    assert part.blocks == (3, 2, 2)
    assert [len(piece) for piece in part.surplus] == [10, 0, 0]
    np.testing.assert_array_equal(part.theta, whole.theta[:, :20])
    monkeypatch.setattr(chains, "advance", real)
    again = extend(target(), part, 60)
    equal(again, whole)
    assert not again.interrupted


def test_an_interruption_between_a_row_and_its_note_loses_only_that_segment(monkeypatch):
    whole = run(target(), Counting(), replace(ASKED, draws=80))
    real, calls = chains.Memory.put, [0]

    def put(self, *arguments):
        real(self, *arguments)
        calls[0] += 1
        if calls[0] == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(chains.Memory, "put", put)
    part = run(target(), Counting(), replace(ASKED, draws=80))
    monkeypatch.setattr(chains.Memory, "put", real)
    assert part.interrupted
    assert part.blocks == (2, 1, 1)
    equal(extend(target(), part, 70), whole)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interruption_before_the_first_kept_draw_is_passed_on(workers, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(chains, "advance", stopped)
    monkeypatch.setattr(Crew, "next", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(target(), Counting(), replace(ASKED, workers=workers))


def test_an_interruption_while_processes_work_returns_what_came_back(monkeypatch):
    real, calls = Crew.next, [0]

    def stopped(self):
        calls[0] += 1
        if calls[0] == 6:
            raise KeyboardInterrupt
        return real(self)

    asked = replace(ASKED, draws=4000, workers=2)
    whole = run(target(), PLANS["conjugate"](1), replace(asked, workers=1, draws=100))
    monkeypatch.setattr(Crew, "next", stopped)
    part = run(target(), PLANS["conjugate"](1), asked)
    monkeypatch.setattr(Crew, "next", real)
    assert part.interrupted
    assert 50 <= part.count < 4000
    n = min(100, part.count)
    np.testing.assert_array_equal(part.theta[:, :n], whole.theta[:, :n])


def test_a_process_that_dies_is_an_error_with_a_remedy_and_no_waiting():
    with pytest.raises(MixedVCError, match=r"worker process ended before its work was done.*workers=1"):
        run(target(), Counting(how="die", when=0), replace(ASKED, workers=2))


def test_what_cannot_be_sent_to_a_process_says_so():
    class Local(Counting):
        pass

    with pytest.raises(MixedVCError, match=r"cannot be sent to other processes.*workers=1"):
        run(target(), Local(), replace(ASKED, workers=2))


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_93_a_draw_that_is_not_finite_names_chain_block_iteration_and_leaves_the_state(workers):
    with pytest.raises(ConvergenceError, match=r"chain \d, block 3, after iteration 30.*draw 5.*not finite") as caught:
        run(target(), Counting(how="nan"), replace(ASKED, draws=60, workers=workers))
    path = Path(re.search(r"in '([^']*\.npz)'", str(caught.value))[1])
    with np.load(path) as state:
        assert state["at"][0] == 30.0
        assert state["seed"] == 5
    path.unlink()


@pytest.mark.parametrize("what", ["lp", "beta"])
def test_93_every_quantity_of_a_draw_is_looked_at(what):
    with pytest.raises(ConvergenceError, match=rf"draw 5 of the block has a {what} that is not finite") as caught:
        run(target(), Counting(how=what), replace(ASKED, draws=60))
    Path(re.search(r"in '([^']*\.npz)'", str(caught.value))[1]).unlink()


def test_effects_kept_while_sampling_are_those_drawn_afterwards():
    from mixedvc.sampling.effects import draws_of_effects

    draws = run(target(), PLANS["collapsed"](1), replace(ASKED, burnin=13, save_random=True))
    assert draws.effects[0].shape == (3, 25, 6, 1)
    after = np.array([u for (u,) in draws_of_effects(target().likelihood, replace(draws, effects=None))])
    np.testing.assert_array_equal(draws.effects[0].reshape(75, 6, 1), after)


def test_draws_that_would_not_fit_in_memory_are_refused_with_the_folder_as_remedy(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10_000)
    with pytest.raises(MemoryLimitError, match=r"random effects.*store='folder'"):
        run(target(), Counting(), replace(ASKED, draws=100, save_random=True))


def test_everything_held_is_sampled_from_the_normal_posterior_of_the_fixed_effects():
    from mixedvc.priors import Fixed
    from mixedvc.priors.resolve import resolve
    from mixedvc.sampling.target import Target

    spec = target().spec
    given = Target(spec, target().likelihood, resolve(spec, {"g": Fixed(20.0), "residual": Fixed(40.0)}))
    draws = run(given, HeldPlan(), Run(draws=5000, burnin=0, thin=1, chains=2, seed=3))
    at = target().likelihood.at(np.array([20.0, 40.0]))
    np.testing.assert_array_equal(draws.theta, np.broadcast_to([20.0, 40.0], (2, 5000, 2)))
    z = (draws.beta.ravel() - at.beta[0]) / np.sqrt(at.beta_cov[0, 0])
    assert abs(z.mean()) < 4.5 / np.sqrt(10_000)
    assert abs(z.var() - 1.0) < 4.5 * np.sqrt(2 / 10_000)


class Bar(Progress):
    def __init__(self):
        super().__init__("test", show=False)
        self.total, self.steps, self.facts = None, 0, []

    def expect(self, total):
        self.total = total

    def step(self, done=1, **facts):
        self.steps += done
        self.facts.append(facts)


def test_the_bar_counts_iterations_burn_in_and_thinning_included():
    bar = Bar()
    run(target(), Counting(thin=4), replace(ASKED, burnin=30, thin=4), bar)
    assert bar.total == bar.steps == 3 * 4 * 10 * 4


def test_the_running_effective_number_of_an_autoregression_is_near_the_one_known(monkeypatch):
    rng, rho, block, blocks, n_chains = np.random.default_rng(2), 0.9, 100, 400, 2
    watch = Watch(None, 1, n_chains)
    for chain in range(n_chains):
        e = rng.standard_normal((block * blocks, 2))
        x = e[:, 0].copy()
        for i in range(1, len(x)):
            x[i] = rho * x[i - 1] + e[i, 0]
        theta = np.stack([x, e[:, 1], np.ones(len(x))], axis=1)  # slow, independent, held
        for rows in theta.reshape(blocks, block, 3):
            piece = Counting(block=block).scheme(None).advance({"at": np.zeros(3)}, rng)[0]
            watch.saw(chain, block, replace(piece, theta=rows))
    exact = n_chains * block * blocks * (1 - rho) / (1 + rho)
    assert 0.5 * exact < watch.ess() < 1.6 * exact
