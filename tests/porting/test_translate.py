"""R calls become Python that runs and gives the numbers of R; what has no translation is named with its place."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedvc as mv
from mixedvc.errors import OptionError
from mixedvc.porting.rdeparse import deparse1
from mixedvc.porting.rexpr import Node, RSyntaxError, parse, parse_one
from mixedvc.porting.translate import translate

from ..reference.load import reference
from ..tolerances import IDENTITY, OBJECTIVE

CALLS = {
    "lmer(y ~ x + (1|id), data=d, REML=FALSE)": 'mv.fit("y ~ x + (1 | id)", d, method="ml")',
    "lme4::lmer(y~x+(x||g), d)": 'mv.fit("y ~ x + (x || g)", d)',
    "lmer(y ~ 1 + (1|a/b), REML=T, data=d, weights=w, offset=o)": (
        'mv.fit("y ~ 1 + (1 | a/b)", d, weights="w", offset="o")'
    ),
    "lmer(n/size ~ p + (1|h), d, weights = 2*size)": ('mv.fit("I(n/size) ~ p + (1 | h)", d, weights=2 * d["size"])'),
    "lmer(y ~ f + (1|g), d, na.action = na.exclude, contrasts = list(f = contr.sum))": (
        'mv.fit("y ~ f + (1 | g)", d, missing="exclude", contrasts={"f": "sum"})'
    ),
    "lmer(y ~ f + (1|g), d, subset = x > 1 & f != 'b')": (
        'mv.fit("y ~ f + (1 | g)", d[(d["x"] > 1) & (d["f"] != "b")])'
    ),
    "relmatLmer(y ~ x + (1|id) + (1|herd), d, relmat = list(id = K))": (
        'mv.fit("y ~ x + (1 | gr(id, cov=K)) + (1 | herd)", d, cov={"K": K})'
    ),
    "pedigreemm(y ~ x + (1|id), d, pedigree = list(id = ped.all))": (
        'mv.fit("y ~ x + (1 | gr(id, cov=ped_all))", d, cov={"ped_all": mv.pedigree(ped_all)})'
    ),
    "lme(y ~ x, random = ~ x | g, data = d)": 'mv.fit("y ~ x + (x | g)", d)',
    "lme(y ~ x, d, ~1|a/b, method='ML')": 'mv.fit("y ~ x + (1 | a/b)", d, method="ml")',
    "lme(y ~ x, d, random = list(a = ~ x, b = ~ 1))": 'mv.fit("y ~ x + (x | a) + (1 | a:b)", d)',
    "lme(y ~ x, d, random = list(a = pdDiag(~ x)))": 'mv.fit("y ~ x + (x || a)", d)',
    "lme(y ~ x, d, random = ~ 1|g, correlation = corAR1(form = ~ t | g))": (
        'mv.fit("y ~ x + (1 | g)", d, residual="ar1(0 + t | g)")'
    ),
    "lme(y ~ x, d, random = ~ 1|g, correlation = corAR1(), weights = varIdent(form = ~ 1 | s))": (
        'mv.fit("y ~ x + (1 | g)", d, residual="diag(0 + s | rows) * ar1(1 | g)")'
    ),
    "gls(y ~ x, d, correlation = corSymm(form = ~ t | g), weights = varIdent(form = ~ 1 | t))": (
        'mv.fit("y ~ x", d, residual="us(0 + t | g)")'
    ),
    "gls(y ~ x, d, weights = varFixed(~ v), method = 'REML')": 'mv.fit("y ~ x", d, weights=1 / d["v"])',
}


def code_of(r):
    made = translate(r)
    assert made.complete, made.report()
    return made.code.split("\n\n")[-1]


@pytest.mark.parametrize("r", CALLS)
def test_a_model_call_becomes_a_fit(r):
    assert code_of(f"m <- {r}") == f"m = {CALLS[r]}"


EXTRACTORS = {
    "fixef(m)": "m.params",
    "ranef(m, condVar = TRUE)$g": 'm.random_effects["g"]',
    "VarCorr(m)": "m.varcomp",
    "sigma(m)^2": "(m.scale ** 0.5) ** 2",
    "confint(m)": "m.profile().conf_int()",
    "confint(m, level = .9, method = 'Wald')": 'm.conf_int(alpha=1 - .9, df="normal")',
    "confint(m, method = 'boot', nsim = 200)": 'm.bootstrap(nsim=200).conf_int(kind="percentile")',
    "anova(m, m0)": "mv.lrt(m, m0)",
    "anova(m, type = 'II', ddf = 'Kenward-Roger')": 'm.anova(type=2, df="kenward-roger")',
    "summary(m, ddf = 'Satterthwaite')": 'm.summary(df="satterthwaite")',
    "predict(m, nd, re.form = NA, allow.new.levels = TRUE)": 'm.predict(nd, random="none", new_levels="zero")',
    "predict(m, re.form = ~ (1|g) + (1|h))": 'm.predict(random=["g", "h"])',
    "simulate(m, 100, seed = 1)": "m.simulate(100, seed=1)",
    "bootMer(m, f, nsim = 500, seed = 2)": "m.bootstrap(f, nsim=500, seed=2)",
    "refit(m, d$y2)": 'm.refit(d["y2"])',
    "m |> fixef() |> head(2)": "m.params.head(2)",
    'fixef(m)["(Intercept)"] / 2': 'm.params["Intercept"] / 2',
    "emmeans(m, ~ f | s)": 'm.emmeans("f", by="s")',
    "c(1, TRUE, NA, 'a')": "[1, True, float('nan'), \"a\"]",
    "-2^2 + (1 - 3) * 4 %% 3": "-2 ** 2 + (1 - 3) * (4 % 3)",
    "2^3^4 - (2^3)^4": "2 ** 3 ** 4 - (2 ** 3) ** 4",
    "log(d$x[d$x > 0])": None,
}


@pytest.mark.parametrize("r", EXTRACTORS)
def test_functions_of_a_fit_become_methods(r):
    made = translate(f"m <- lmer(y ~ x + (1|g), d)\nz <- {r}")
    if EXTRACTORS[r] is None:
        assert not made.complete
    else:
        assert made.code.splitlines()[-1] == f"z = {EXTRACTORS[r]}", made.report()


def execute(r):
    """Run the translation of a script; its variables."""
    made = translate(r)
    assert made.complete, made.report()
    space = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(made.code, "translated", "exec"), space)
    return space


SCRIPT = """
# sleep deprivation
library(lme4)
data(sleepstudy)
m <- lmer(Reaction ~ Days + (Days | Subject), data = sleepstudy)   # the usual model
m0 <- update(m, . ~ . - Days, REML = FALSE)
m
summary(m, ddf = "Kenward-Roger")
slope <- fixef(m)["Days"]; people <- ranef(m)$Subject
late <- subset(sleepstudy, Days >= 2)
w <- c(1, 2)
l <- lmer(log(Reaction) ~ Days + (1 | Subject), late, REML = FALSE)
nd <- data.frame(Days = c(0, 5), Subject = c("308", "new"))
p <- predict(m, nd, re.form = NA)
sims <- simulate(m, 3, seed = 1)
crit <- REMLcrit(m)
"""


def test_a_script_runs_and_gives_the_numbers_of_the_calls_it_became(capsys):
    space = execute(SCRIPT)
    sleep = mv.load_data("sleepstudy")
    m = mv.fit("Reaction ~ Days + (Days | Subject)", sleep)
    assert capsys.readouterr().out.count("Subject") > 2
    np.testing.assert_allclose(space["slope"], m.params["Days"], **IDENTITY)
    np.testing.assert_allclose(space["people"], m.random_effects["Subject"], **IDENTITY)
    np.testing.assert_allclose(space["crit"], -2 * m.llf, **IDENTITY)
    np.testing.assert_allclose(space["p"], m.predict(space["nd"], random="none"), **IDENTITY)
    assert space["sims"].shape == (180, 3)
    smaller = mv.fit("Reaction ~ 1 + (Days | Subject)", sleep, method="ml")
    np.testing.assert_allclose(space["m0"].llf, smaller.llf, **OBJECTIVE)
    assert len(space["late"]) == 144 and space["l"].nobs == 144 and space["l"].method == "ml"


EVERYTHING = """
library(lme4)
m <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
m0 <- lmer(Reaction ~ 1 + (Days | Subject), sleepstudy)
b <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff)
o <- lmer(distance ~ age * Sex + (1 | Subject), Orthodont)
mean.of <- fixef(m); u <- ranef(m); vc <- VarCorr(m); s <- sigma(m); V <- vcov(m); ll <- logLik(m); n <- nobs(m)
ic <- c(AIC(m), BIC(m), deviance(m), REMLcrit(m)); y.hat <- fitted(m); r <- resid(m); X <- model.matrix(m)
one <- confint(b); two <- confint(m, method = "Wald", level = 0.9)
three <- confint(b, method = "boot", nsim = 30, seed = 1)
between <- anova(m0, m); within <- anova(m, ddf = "Kenward-Roger"); first <- anova(o, type = 1)
dropped <- ranova(b); exact <- exactRLRT(b, nsim = 500, seed = 1)
p <- predict(m, data.frame(Days = 1:3, Subject = c("308", "309", "x")), allow.new.levels = TRUE)
sims <- simulate(m, 2, seed = 1); again <- refit(m, sims[["sim_1"]]); single <- isSingular(m)
means <- emmeans(o, ~ Sex | age, at = list(age = c(8, 14))); differences <- pairs(means)
td <- tidy(m); gl <- glance(m); au <- augment(m); axes <- rePCA(m); fits <- allFit(b); gone <- influence(b)
"""


def test_every_function_of_a_fit_runs_in_its_translation():
    space = execute(EVERYTHING)
    m = space["m"]
    np.testing.assert_allclose(space["ic"][:2], [m.aic, m.bic], **IDENTITY)
    np.testing.assert_allclose(space["s"] ** 2, m.scale, **IDENTITY)
    assert not space["single"] and space["mean_of"].equals(m.params) and len(space["p"]) == 3
    assert space["exact"]["p_value"].iloc[0] < 0.05 and space["again"].nobs == 180
    assert list(space["one"].index)[:2] == ["sd(Batch)", "sd(Residual)"] and len(space["two"]) == 2
    for name in ("between", "within", "first", "dropped", "means", "differences", "axes", "fits", "gone", "three"):
        assert str(space[name])


NLME = {
    "intercept": "",
    "slope": "",
    "ar1": "correlation = corAR1(form = ~ 1 | Subject), ",
    "hetvar_sex": "weights = varIdent(form = ~ 1 | Sex), ",
}


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("case", NLME)
def test_lme_reaches_the_likelihood_of_nlme(case, method):
    stored = reference(f"lme4/orthodont/nlme_{case}_{method.lower()}")
    random = "~ age | Subject" if case == "slope" else "~ 1 | Subject"
    call = f'm <- lme(distance ~ age * Sex, Orthodont, {random}, {NLME[case]}method = "{method}")'
    fit = execute(call)["m"]
    np.testing.assert_allclose(fit.llf, stored["logLik"], rtol=2e-8, atol=0)
    np.testing.assert_allclose(fit.params, list(stored["fixef"].values()), rtol=2e-4, atol=0)


def test_known_covariances_reach_the_fit():
    rng = np.random.default_rng(1)
    ids = [f"id{i}" for i in range(30)]
    B = rng.standard_normal((30, 60))
    K = pd.DataFrame(B @ B.T / 60, ids, ids)
    d = pd.DataFrame({"id": np.repeat(ids, 3), "x": rng.standard_normal(90)})
    d["y"] = d.x + np.repeat(B[:, 0], 3) + rng.standard_normal(90)
    space = {"d": d, "K": K}
    made = translate("m <- relmatLmer(y ~ x + (1 | id), d, relmat = list(id = K))")
    exec(compile(made.code, "translated", "exec"), space)
    np.testing.assert_allclose(space["m"].llf, mv.fit("y ~ x + (1 | id:K)", d, cov={"K": K}).llf, **IDENTITY)


SAMPLED = {
    "h2 <- m$VCV[, 'animal'] / rowSums(m$VCV)": 'h2 = m.VCV["animal"] / rowSums(m.VCV)',
    "posterior.mode(m$VCV[, 1:4])": "print(posterior_mode(m.VCV.iloc[:, 0:4]))",
    "HPDinterval(m$Sol[, c(2, 5)], prob = 0.9)": "print(HPDinterval(m.Sol.iloc[:, [1, 4]], prob=0.9))",
    "autocorr(m$VCV)": "print(autocorr(m.VCV))",
    "plot(m$Sol)": "plot(m.Sol)",
    "summary(m$VCV)": "print(summary(m.VCV))",
    "heidel.diag(m$VCV)": "print(heidel_diag(m.VCV))",
    "m$DIC": "print(m.DIC)",
    "predict(m, marginal = ~ g, interval = 'confidence')": 'print(predict(m, marginal="~g", interval="confidence"))',
}


@pytest.mark.parametrize("line", SAMPLED)
def test_lines_of_a_session_with_mcmcglmm_become_those_of_the_port(line):
    made = translate(
        f"m <- MCMCglmm(y ~ x, random = ~ g, data = d, prior = list(R = list(V = diag(2)/3, nu = 2)))\n{line}"
    )
    assert made.complete, made.report()
    code = made.code.splitlines()
    assert code[-1] == SAMPLED[line]
    assert "from mixedvc.porting.mcmcglmm import *" in code
    assert code[-2] == ('m = MCMCglmm("y ~ x", random="~g", data=d, prior={"R": {"V": np.eye(2) / 3, "nu": 2}})')


PROBLEMS = {
    'MCMCglmm(y ~ x, family = "poisson", data = d)': ("line 1, column 26", "family='poisson' is not available"),
    "MCMCglmm(y ~ x, random = ~us(1 + x):g + corgh(x):g, data = d)": ("column 41", "corgh()"),
    "MCMCglmm(y ~ spl(x), random = ~g, data = d)": ("column 14", "splines are not available"),
    "MCMCglmm(y ~ x, random = ~g, data = d, pl = TRUE)": ("column 45", "no latent variables"),
    "MCMCglmm(y ~ x, random = ~g, data = d, start = list(R = 1))": ("column 48", "leave start= out"),
    "MCMCglmm(y ~ x, random = ~g)": ("column 1", "without fixed= or data="),
    "x <- 1\nglmer(y ~ x + (1|g), d, family = binomial)": ("line 2, column 1", "generalised linear mixed models"),
    "aov(y ~ x + Error(g), d)": ("line 1, column 1", "Error(g)"),
    "m <- lmer(y ~ x + (1|g))": ("line 1, column 6", "without data="),
    "lmer(y ~ x + (1|g), d, foo = 1)": ("column 30", "no argument 'foo'"),
    "lmer(y ~ x + (1|g), d, REML = maybe)": ("column 31", "TRUE or FALSE"),
    "lme(y ~ x, d)": ("line 1, column 1", "random="),
    "lme(y ~ x, d, random = ~ x)": ("column 24", "groupedData"),
    "lme(y ~ x, d, ~ 1 | g, weights = varPower())": ("column 34", "varIdent"),
    "gls(y ~ x, d, correlation = corARMA(p = 2))": ("column 29", "corAR1"),
    "gls(y ~ x, d, correlation = corAR1(.5, ~ 1 | g, fixed = TRUE))": ("column 57", "fixed = TRUE"),
    "for (i in 1:10) print(i)": ("column 1", "'for'"),
    "f <- function(x) x": ("column 6", "'function'"),
    "y <- x[2, 3]": ("column 6", ".iloc"),
    "lmer(y ~ x + (1 | g), d": None,
    "update(m, . ~ . - x)": ("column 8", "has not fitted"),
    "getME(m, 'L')": ("column 1", "getME"),
    "z <- foo(bar)": ("column 6", "foo()"),
}


@pytest.mark.parametrize("r", PROBLEMS)
def test_what_has_no_translation_is_named_with_its_place(r):
    if PROBLEMS[r] is None:
        with pytest.raises(RSyntaxError, match=r"line 1, column 5: this '\(' is never closed"):
            translate(r)
        return
    where, what = PROBLEMS[r]
    made = translate(r)
    assert len(made.problems) == 1 and not made.complete
    assert where in made.report() and what in made.report() and "^" in made.report()
    assert "# not translated" in made.code
    compile(made.code, "translated", "exec")  # what is left is Python


def test_arguments_without_counterpart_are_remarked_on():
    made = translate('m <- lmer(y ~ x + (1|g), d, control = lmerControl("bobyqa"), verbose = 2)\nset.seed(1)')
    assert "# control= is left out" in made.code and "# verbose= is left out" in made.code
    assert "# set.seed(): give seed=" in made.code
    assert "verbose" not in translate("m <- lmer(y ~ x + (1|g), d, verbose = FALSE)").code


def test_comments_stay_where_they_were():
    lines = translate("# first\nx <- 1\n# second\n# third\ny <- 2\n# last").code.splitlines()
    assert lines == ["# first", "x = 1", "# second", "# third", "y = 2", "# last"]
    inside = translate("x <- c(1, # one\n  2)\ny <- 3 # three").code.splitlines()
    assert inside == ["# one", "x = [1, 2]", "y = 3", "# three"]


def test_update_repeats_the_call_of_the_script():
    made = translate(
        "m <- lmer(y ~ x + z + (1|g), d, REML=FALSE)\nm2 <- update(m, . ~ . - x)\nm3 <- update(m2, data = e)"
    )
    assert made.code.splitlines()[-2:] == [
        'm2 = mv.fit("y ~ z + (1 | g)", d, method="ml")',
        'm3 = mv.fit("y ~ z + (1 | g)", e, method="ml")',
    ]


@pytest.mark.parametrize(
    ("r", "message"),
    [
        ("lmer(y ~ x + (1|g", r"line 1, column 14: this '\(' is never closed"),
        ("x <- 'abc", "line 1, column 6: this quote is never closed"),
        ("x <- 3 +", "line 1, column 8: the expression ends here too early"),
        ("x <- 1\ny <- )", r"line 2, column 6: '\)' here: an operand is expected"),
        ("{ a; b", r"this '\{' is never closed"),
        ("x <- 1 2", "line 1, column 8: '2' is not expected here"),
        ("f(a b)", r"line 1, column 5: ',' or '\)' is expected here"),
        ("x <- §", "line 1, column 6: '§' is not R"),
    ],
)
def test_text_that_is_not_r_is_refused_with_a_caret(r, message):
    with pytest.raises(RSyntaxError, match=message):
        translate(r)


def test_only_text_is_translated():
    with pytest.raises(OptionError, match="takes R code as text, not a list"):
        translate(["x"])


@pytest.mark.parametrize("r", ["x <- " + "(" * 5000, "f(" * 5000, "x <- " + "-" * 5000 + "1", "{" * 5000])
def test_deep_nesting_is_refused_at_once(r):
    with pytest.raises(RSyntaxError, match=r"nested|never closed"):  # and no RecursionError
        translate(r)


def test_a_long_formula_is_translated():
    columns = " + ".join(f"x{i}" for i in range(800))
    assert f"{columns} + (1 | g)" in translate(f"m <- lmer(y ~ {columns} + (1|g), d)").code
    made = translate("x <- " + "+".join(["1"] * 5000))
    assert made.problems[0].message == "the expression is too long or too deeply nested"


TREES = [
    "a + b * c - d / e", "-a^2:3", "!a & b | c", "x$y$z", "f(a = 1, , b)[1, ][[2]]", "y ~ x + (1 | g)", "a %in% b %% c",
    "(a + b) * c", "a <- b <- c", "lme4::lmer(y ~ x)", "`my var` + `if`", "if (a) b else c", "function(x, y = 2) x + y",
    "{\n a\n b; c\n}",
    "a -> b", "x[['k']]", "-1 - -1", "2 ^ 3 ^ 4", "a == b", "r\"(raw \\ text)\"", "0x1F + 1e-05 + 3L",
]  # fmt: skip


@pytest.mark.parametrize("r", TREES)
def test_parentheses_make_the_tree_r_has(r):
    def bare(node: Node):
        return node.kind, node.text, tuple(bare(p) for p in node.parts), node.names

    node = parse_one(r)
    if node.kind not in ("keyword", "block"):
        assert bare(parse_one(deparse1(node))) == bare(node)
    assert node.start == 0 and node.stop == len(r)


def test_precedence_is_that_of_r():
    assert deparse1(parse_one("-2:3").parts[0]) == "-2"  # (-2):3
    assert parse_one("-2^2").kind == "prefix"  # -(2^2)
    assert [deparse1(p) for p in parse_one("2^3^4").parts] == ["2", "3^4"]
    assert parse_one("!a == b").kind == "prefix"
    assert [deparse1(p) for p in parse_one("a %% b:c").parts] == ["a", "b:c"]
    assert [deparse1(p) for p in parse_one("y ~ a | b").parts] == ["y", "a | b"]
    assert [deparse1(p) for p in parse_one("a <- b = c").parts] == ["a <- b", "c"]


PIECES = st.sampled_from(
    [*"abdg+-*/^:~|&!()[]{},;=$@#\n", "lmer", "1", "2.5", "'x'", '"y"', "||", "<-", "->", "%in%", "|>", "if", "for"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25))
def test_any_text_is_read_or_refused(pieces):
    source = " ".join(pieces)
    try:
        parse(source)
        made = translate(source)
    except RSyntaxError:
        return
    compile(made.code, "translated", "exec")
