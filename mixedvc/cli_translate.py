"""``mixedvc translate 'lmer(…)'``: the Python for a call or a script in R."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .cli_shared import DONE, NOT_CONVERGED, write_file
from .errors import OptionError

ABOUT = """\
Print the Python for R calls of lme4, lmerTest, lme4qtl, pedigreemm, nlme, sommer and MCMCglmm (lmer, relmatLmer,
pedigreemm, lme, gls, mmer, MCMCglmm, anova, confint, ranef, predict, …). R is only read: nothing in it is executed, and
R is not needed.

CODE is a call in quotation marks, the path of a script (ending in .R), or - for standard input.
"""

EXAMPLES = """\
examples:
  mixedvc translate 'lmer(y ~ x + (1|id), data=d, REML=FALSE)'
  mixedvc translate analysis.R --output analysis.py

exit status: 0 everything was translated; 2 the text is not R, explained on standard error; 3 some statements have no
translation (they are comments in the output, and named on standard error with line and column).
"""
SUFFIXES = (".r", ".rscript")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("code", metavar="CODE", help="R code, the path of a script, or -")
    parser.add_argument("--output", metavar="OUT", help="write the Python to this file instead of printing it")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Translate, print or write, report what is left."""
    from .porting.translate import translate

    made = translate(_source(given.code))
    if given.output is not None:
        write_file(given.output, lambda stream: stream.write(f"{made.code}\n".encode()))
    else:
        print(made.code)
    if made.complete:
        return DONE
    count = len(made.problems)
    print(f"mixedvc: {count} statement{'s have' if count > 1 else ' has'} no translation:", file=sys.stderr)
    print(made.report(), file=sys.stderr)
    return NOT_CONVERGED


def _source(code: str) -> str:
    """The R text itself: of a file, of standard input, or as given."""
    if code == "-":
        return sys.stdin.read()
    named = code.lower().endswith(SUFFIXES) and "(" not in code
    if not named and ("\n" in code or "(" in code or not Path(code).is_file()):
        return code
    try:
        return Path(code).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"the script {code!r} cannot be read: {error}") from None
