"""What becomes of R's functions of fitted models: extractors, tests, predictions, in mixedvc's own vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import rmcmc
from .formulas import updated
from .rdeparse import deparse1
from .rexpr import Node
from .rmodels import LMER, MODELS, fit_call, matched
from .rtopy import DATASETS, Scope, Untranslatable, deparse_short, python, text

LMERS = ("lmer", "relmatLmer", "pedigreemm")
DF = {"Kenward-Roger": "kenward-roger", "Satterthwaite": "satterthwaite"}
LATER = {
    "glmer": "glmer(): generalised linear mixed models are not available; mixedvc fits Gaussian responses",
    "glmmTMB": "glmmTMB(): generalised and zero-inflated models are not available",
    "nlmer": "nlmer(): non-linear mixed models are not available",
    "nlme": "nlme(): non-linear mixed models are not available",
    "brm": "brm(): its priors are not read; mv.fit(…, method='gibbs', priors={…}) samples Gaussian models",
    "aov": "aov() is not translated: strata Error(g) are the random term (1 | g) of lmer()",
    "lmList": "lmList(): one regression a group is not available",
    "step": "step(): automatic selection is not available; anova() and ranova() test terms",
    "profile": "profile(): write m.profile(), whose conf_int() and plot() take the place of confint() and xyplot()",
    "getCall": "getCall()",
}
PREDICT = (
    "object", "newdata", "newparams", "re.form", "random.only", "terms", "type", "allow.new.levels",
    "na.action", "level",
)  # fmt: skip
DROPPED = ("library", "require", "requireNamespace")


def call(node: Node, scope: Scope) -> str | None:
    """Python for a call of a known function; None for others."""
    name = node.function
    sampled = rmcmc.call(node, scope)
    if sampled is not None:
        return sampled
    if name in MODELS:
        return fit_call(node, scope).code()
    if name in LATER:
        raise Untranslatable(LATER[name], node)
    make = FUNCTIONS.get(name)
    return None if make is None else make(node, scope)


def _object(node: Node, scope: Scope) -> str:
    """The model, bracketed where it is no plain name or call."""
    if not node.arguments:
        raise Untranslatable(f"{node.function}() of nothing", node)
    code = python(node.arguments[0][1], scope)
    return code if code.isidentifier() or code.endswith(")") else f"({code})"


def _plain(template: str, *ignored: str) -> Callable[[Node, Scope], str]:
    """A function of the model alone."""

    def make(node: Node, scope: Scope) -> str:
        for name, value in node.arguments[1:]:
            if name not in ignored:
                raise Untranslatable(
                    f"{node.function}(): the argument {name or deparse_short(value)} is not translated", value
                )
        return template.format(_object(node, scope))

    return make


def _keywords(given: dict[str, Node], names: dict[str, str], scope: Scope) -> list[str]:
    return [f"{new}={python(given[old], scope)}" for old, new in names.items() if old in given]


def _summary(node: Node, scope: Scope) -> str:
    given = matched(node, ("object", "ddf", "correlation"))
    df = f"df={text(_df(given['ddf']))}" if "ddf" in given else ""
    return f"{_object(node, scope)}.summary({df})"


def _df(node: Node) -> str:
    if node.kind != "string" or node.text not in DF:
        raise Untranslatable(f"ddf={deparse_short(node)}: 'Satterthwaite' or 'Kenward-Roger'", node)
    return DF[node.text]


def _confint(node: Node, scope: Scope) -> str:
    given = matched(
        node, ("object", "parm", "level", "method", "zeta", "nsim", "boot.type", "FUN", "quiet", "oldNames", "seed")
    )
    for name in ("parm", "zeta", "FUN"):
        if name in given:
            raise Untranslatable(f"confint({name}=): take the rows wanted from the whole table", given[name])
    m, method = _object(node, scope), given["method"].text if "method" in given else "profile"
    level = _keywords(given, {"level": "level"}, scope)
    if method == "profile":
        return f"{m}.profile().conf_int({', '.join(level)})"
    if method == "Wald":
        alpha = [f"alpha=1 - {python(given['level'], scope)}"] if "level" in given else []
        return f"{m}.conf_int({', '.join([*alpha, 'df=' + text('normal')])})"
    if method == "boot":
        nsim = python(given["nsim"], scope) if "nsim" in given else "500"
        kinds = {"perc": "percentile", "basic": "basic", "norm": "normal"}
        kind = given["boot.type"].text if "boot.type" in given else "perc"
        seed = _keywords(given, {"seed": "seed"}, scope)
        options = ", ".join([*level, f"kind={text(kinds.get(kind, kind))}"])
        return f"{m}.bootstrap({', '.join([f'nsim={nsim}', *seed])}).conf_int({options})"
    raise Untranslatable(f"confint(method={method!r})", given["method"])


def _anova(node: Node, scope: Scope) -> str:
    models = [value for name, value in node.arguments if name is None or name == "object"]
    options = {str(name): value for name, value in node.arguments if name not in (None, "object")}
    unknown = [name for name in options if name not in ("type", "ddf", "refit")]
    if unknown:
        raise Untranslatable(f"anova({unknown[0]}=)", options[unknown[0]])
    if len(models) > 1:
        scope.imports.add("mv")
        refit = [f"refit={python(options['refit'], scope)}"] if "refit" in options else []
        return f"mv.lrt({', '.join([*(python(one, scope) for one in models), *refit])})"
    words = {"1": "1", "I": "1", "2": "2", "II": "2", "3": "3", "III": "3"}
    kind = [f"type={words.get(options['type'].text, '3')}"] if "type" in options else []
    if "ddf" in options:
        kind.append(f"df={text(_df(options['ddf']))}")
    return f"{_object(node, scope)}.anova({', '.join(kind)})"


def _predict(node: Node, scope: Scope) -> str:
    given = matched(node, PREDICT)
    for name in ("newparams", "random.only", "terms", "na.action"):
        if name in given:
            raise Untranslatable(f"predict({name}=)", given[name])
    parts = [python(given["newdata"], scope)] if "newdata" in given else []
    if "re.form" in given:
        parts.append(f"random={_re_form(given['re.form'])}")
    if "level" in given:  # nlme: 0 is the population
        parts += ['random="none"'] if deparse1(given["level"]) == "0" else []
    if "allow.new.levels" in given and given["allow.new.levels"].text in ("TRUE", "T"):
        parts.append('new_levels="zero"')
    return f"{_object(node, scope)}.predict({', '.join(parts)})"


def _re_form(node: Node) -> str:
    words = deparse1(node)
    if words in ("NA", "~0"):
        return text("none")
    if words == "NULL":
        return text("all")
    if node.kind == "prefix" and node.text == "~":
        groups = [_group(part) for part in _sum(node.parts[0])]
        if None not in groups:
            return f"[{', '.join(text(str(g)) for g in groups)}]"
    raise Untranslatable(f"re.form={deparse_short(node)}: NA, NULL, ~0 or ~(1 | g)", node)


def _sum(node: Node) -> list[Node]:
    return [*_sum(node.parts[0]), node.parts[1]] if node.kind == "infix" and node.text == "+" else [node]


def _group(node: Node) -> str | None:
    inner = node.parts[0] if node.kind == "paren" else node
    return deparse1(inner.parts[1]) if inner.kind == "infix" and inner.text == "|" else None


def _simulate(node: Node, scope: Scope) -> str:
    given = matched(node, ("object", "nsim", "seed", "use.u", "re.form"))
    parts = [python(given["nsim"], scope)] if "nsim" in given else []
    parts += _keywords(given, {"seed": "seed"}, scope)
    if "use.u" in given and given["use.u"].text in ("TRUE", "T"):
        parts.append('random="fitted"')
    return f"{_object(node, scope)}.simulate({', '.join(parts)})"


def _boot(node: Node, scope: Scope) -> str:
    given = matched(
        node, ("x", "FUN", "nsim", "seed", "use.u", "re.form", "type", "verbose", ".progress", "parallel", "ncpus")
    )
    if "FUN" not in given or given["FUN"].kind != "name":
        raise Untranslatable("bootMer(): FUN is the name of a function that takes mixedvc's results", node)
    parts = [
        python(given["FUN"], scope),
        *_keywords(given, {"nsim": "nsim", "seed": "seed", "ncpus": "workers"}, scope),
    ]
    if "type" in given and given["type"].text == "semiparametric":
        parts.append('kind="residual"')
    if "use.u" in given and given["use.u"].text in ("TRUE", "T"):
        parts.append('random="fitted"')
    return f"{_object(node, scope)}.bootstrap({', '.join(parts)})"


def updated_call(node: Node, scope: Scope) -> Node:
    """The call of a model that the script has fitted, with the changes of ``update``."""
    owner = node.arguments[0][1] if node.arguments else node
    old = scope.models.get(owner.text) if owner.kind == "name" else None
    if old is None or old.function not in LMERS:
        raise Untranslatable("update() of a model that this script has not fitted by lmer()", owner)
    given = matched(old, LMER)
    names, values = list(given), list(given.values())
    changes = [(name or "formula", value) for name, value in node.arguments[1:]]
    for name, value in changes:
        if name in ("formula", "formula."):
            values[names.index("formula")] = _changed_formula(given["formula"], value)
        elif name in names:
            values[names.index(name)] = value
        else:
            names.append(name)
            values.append(value)
    return Node("call", "(", node.start, node.stop, (old.parts[0], *values), tuple(names))


def _changed_formula(before: Node, change: Node) -> Node:
    source = before.text if before.kind == "string" else deparse1(before)
    return Node("string", updated(source, deparse1(change)), change.start, change.stop)


def _update(node: Node, scope: Scope) -> str:
    return fit_call(updated_call(node, scope), scope).code()


def is_model(node: Node, scope: Scope) -> bool:
    """Whether a statement's value is a fitted model, which R would print."""
    if node.function in ("print", "show") and node.arguments:
        return is_model(node.arguments[0][1], scope)
    return node.function in (*MODELS, "update", "refit") or (node.kind == "name" and node.text in scope.models)


def _data(node: Node, scope: Scope) -> str:
    names = [value.text for name, value in node.arguments if name is None]
    unknown = [name for name in names if name not in DATASETS]
    if unknown or not names:
        raise Untranslatable(f"data({', '.join(unknown)}): mixedvc has {', '.join(DATASETS)}", node)
    scope.datasets.extend(name for name in names if name not in scope.known)
    return ""


def _getme(node: Node, scope: Scope) -> str:
    parts = {
        "X": "{}.spec.X", "y": "{}.spec.y", "beta": "{}.params", "fixef": "{}.params", "sigma": "{}.scale ** 0.5",
        "mu": "{}.fittedvalues", "n": "{}.nobs", "b": "{}.random_effects",
    }  # fmt: skip
    name = node.arguments[1][1].text if len(node.arguments) == 2 else ""
    if name not in parts:
        raise Untranslatable(
            f"getME(m, {name!r}): mixedvc.porting.lme4 has getME() for models fitted by its lmer()", node
        )
    return parts[name].format(_object(node, scope))


def _emmeans(node: Node, scope: Scope) -> str:
    given = matched(node, ("object", "specs", "by", "at"))
    specs = given.get("specs")
    if specs is None:
        raise Untranslatable("emmeans() without specs", node)
    parts = [python(specs, scope)]
    if specs.kind == "prefix" and specs.text == "~":
        inner = specs.parts[0]
        bar = inner.kind == "infix" and inner.text == "|"
        names = [deparse1(n) for n in _factors(inner.parts[0] if bar else inner)]
        parts = [text(names[0]) if len(names) == 1 else f"[{', '.join(map(text, names))}]"]
        if bar:
            parts.append(f"by={text(deparse1(inner.parts[1]))}")
    return f"{_object(node, scope)}.emmeans({', '.join([*parts, *_keywords(given, {'by': 'by', 'at': 'at'}, scope)])})"


def _factors(node: Node) -> Sequence[Node]:
    if node.kind == "infix" and node.text in ("*", "+", ":"):
        return [*_factors(node.parts[0]), *_factors(node.parts[1])]
    return [node]


def _exact(node: Node, scope: Scope) -> str:
    given = matched(node, ("m", "mA", "m0", "seed", "nsim"))
    for name in ("mA", "m0"):
        if name in given:
            raise Untranslatable(
                "exactRLRT(m, mA, m0): write mA.test_varcomp('the tested term', method='exact')", given[name]
            )
    options = ['method="exact"', *_keywords(given, {"nsim": "nsim", "seed": "seed"}, scope)]
    return f"{_object(node, scope)}.test_varcomp({', '.join(options)})"


def _print(node: Node, scope: Scope) -> str:
    return python(node.arguments[0][1], scope)


FUNCTIONS: dict[str, Callable[[Node, Scope], str]] = {
    "summary": _summary,
    "print": _print,
    "show": _print,
    "fixef": _plain("{}.params"),
    "ranef": _plain("{}.random_effects", "condVar", "drop"),
    "VarCorr": _plain("{}.varcomp"),
    "sigma": _plain("{}.scale ** 0.5"),
    "vcov": _plain("{}.cov_params()"),
    "logLik": _plain("{}.llf"),
    "REMLcrit": _plain("-2 * {}.llf"),
    "deviance": _plain("-2 * {}.llf"),
    "AIC": _plain("{}.aic"),
    "BIC": _plain("{}.bic"),
    "nobs": _plain("{}.nobs"),
    "fitted": _plain("{}.fittedvalues"),
    "resid": _plain("{}.resid"),
    "residuals": _plain("{}.resid"),
    "model.matrix": _plain("{}.spec.X"),
    "isSingular": _plain("{}.is_singular"),
    "allFit": _plain("{}.all_fit()", "verbose"),
    "rePCA": _plain("{}.principal_components()"),
    "ranova": _plain("{}.test_varcomp()"),
    "rand": _plain("{}.test_varcomp()"),
    "exactRLRT": _exact,
    "tidy": _plain("{}.tidy()"),
    "glance": _plain("{}.glance()"),
    "augment": _plain("{}.augment()"),
    "plot": _plain("{}.plot_residuals()"),
    "influence": _plain("{}.influence()"),
    "confint": _confint,
    "intervals": _plain("{}.profile().conf_int()"),
    "anova": _anova,
    "predict": _predict,
    "simulate": _simulate,
    "bootMer": _boot,
    "update": _update,
    "data": _data,
    "getME": _getme,
    "emmeans": _emmeans,
    "refit": lambda node, scope: f"{_object(node, scope)}.refit({python(node.arguments[1][1], scope)})",
    "pairs": lambda node, scope: f'{_object(node, scope)}.contrast("pairwise")',
}
