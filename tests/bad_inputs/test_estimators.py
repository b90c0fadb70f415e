"""Starting values, iteration limits and options that cannot be."""

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import ConvergenceWarning, OptionError

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def spec():
    return mv.model(FORMULA, mv.load_data("sleepstudy"))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"Subject": [[1.0, 2.0], [2.0, 1.0]]}, "positive semi-definite"),
        ({"Subject": [[1.0, 0.2], [0.1, 1.0]]}, "not symmetric"),
        ({"Subject": [1.0, 2.0]}, "2×2 matrix, or 3 parameters Intercept, \\(Intercept, Days\\), Days"),
        ({"Subject": [1.0, 0.0, np.nan]}, "not finite"),
        ({"Subject": "large"}, "not numeric"),
        ({"residual": -1.0}, "negative"),
        ({"subject": 1.0}, "'Subject' or 'residual'"),
        ([1.0, 2.0], "mapping from term names"),
    ],
)
def test_75_start_values_that_cannot_be_name_what_is_expected(spec, start, words):
    with pytest.raises(OptionError, match=words):
        spec.fit("reml", start=start)
    with pytest.raises(OptionError, match=words):
        spec.fit("ml", fixed_varcomp=start)


def test_75_a_patterned_structure_takes_its_own_parameters_only():
    data = mv.load_data("sleepstudy").assign(late=lambda d: (d["Days"] > 4).map({True: "yes", False: "no"}))
    spec = mv.model("Reaction ~ Days + cs(0 + late | Subject, hom=True)", data)
    with pytest.raises(OptionError, match="not a cs covariance"):
        spec.fit("reml", start={"Subject": [[1.0, 0.2], [0.2, 3.0]]})
    with pytest.raises(OptionError, match=r"parameter 2 is 1\.5"):
        spec.fit("reml", start={"Subject": [1.0, 1.5]})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_iter": 0}, "max_iter=0"),
        ({"max_iter": -3}, "max_iter=-3"),
        ({"max_iter": 2.5}, "max_iter=2.5"),
        ({"tol": 0.0}, "tol=0.0"),
        ({"tol": -1e-8}, "tol=-1e-08"),
        ({"tol": np.nan}, "tol=nan"),
    ],
)
def test_76_iteration_limits_that_cannot_be_are_refused(spec, options, words):
    with pytest.raises(OptionError, match=words):
        spec.fit("reml", **options)


def test_77_a_fit_that_stops_early_says_so_everywhere(spec):
    with pytest.warns(ConvergenceWarning, match="stopped after 1 iterations"):
        fit = spec.fit("ml", max_iter=1, start={"Subject": [[1.0, 0.0], [0.0, 1.0]], "residual": 9000.0})
    assert not fit.converged
    assert np.isfinite([row.decrement for row in fit.estimate.trace if row.accepted]).all()
    assert "not converge" in str(fit.summary()).lower()


def test_an_unknown_option_is_a_type_error_that_lists_the_known_ones(spec):
    with pytest.raises(TypeError, match=r"'maxiter'.*tol, max_iter, fixed_varcomp, start, likelihood"):
        spec.fit("reml", maxiter=5)
    with pytest.raises(OptionError, match="no estimator is called 'remel'; did you mean 'reml'"):
        spec.fit("remel")
    with pytest.raises(OptionError, match="neither a registered name nor an estimator"):
        spec.fit(3)
    with pytest.raises(OptionError, match="threads=0"):
        spec.fit("reml", threads=0)
