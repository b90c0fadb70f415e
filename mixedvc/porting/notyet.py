"""R's model functions that have no counterpart: calling them says so, and what there is instead."""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import NotProvided


def glmer(*_: Any, **__: Any) -> NoReturn:
    """Generalised linear mixed models are not available."""
    raise NotProvided("glmer(): generalised linear mixed models are not available; lmer() fits Gaussian responses")


def nlmer(*_: Any, **__: Any) -> NoReturn:
    """Non-linear mixed models are not available."""
    raise NotProvided("nlmer(): non-linear mixed models are not available; lmer() fits linear ones")


def lme(*_: Any, **__: Any) -> NoReturn:
    """nlme's grammar is not read at run time."""
    raise NotProvided(
        "lme(): write the model as a formula with bars, mixedvc.fit('y ~ x + (x | g)', data, residual=…); "
        "mixedvc.porting.translate (or: mixedvc translate 'lme(…)') writes it for you"
    )
