"""Stored R sessions: lines in R and in Python, what R printed, and how to compare two printed texts."""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedvc.porting import lme4, rdeparse, rnumbers
from mixedvc.porting.rvalues import r_text

FOLDER = Path(__file__).resolve().parents[1] / "reference" / "porting"
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z")


@dataclass(frozen=True)
class Line:
    """One line of a session: R, Python, R's output."""

    session: str
    r: str
    python: str
    out: tuple[str, ...]


@cache
def lines() -> tuple[Line, ...]:
    """Every line of every session, in order."""
    stored = json.loads((FOLDER / "outputs.json").read_text(encoding="utf-8"))["sessions"]
    found, session, at = [], "", 0
    for text in (FOLDER / "sessions.txt").read_text(encoding="utf-8").splitlines():
        if text.startswith("# "):
            session, at = text[2:], 0
        elif text:
            r, python = text.split(" ||| ")
            assert stored[session][at]["r"] == r.strip(), "outputs.json is older than sessions.txt: run run.R again"
            found.append(Line(session, r.strip(), python.strip(), tuple(stored[session][at]["out"])))
            at += 1
    return tuple(found)


def quietly(function: Any, *arguments: Any, **keywords: Any) -> Any:
    """Call without the warnings that a fit may give."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **keywords)


def workspace() -> dict[str, Any]:
    """What ``from mixedvc.porting.lme4 import *`` gives, and what the made-up data need."""
    tools = {name: getattr(rnumbers, name) for name in ("format_numbers", "p_values", "zapped", "abbreviated")}
    names = {name: getattr(lme4, name) for name in lme4.__all__}
    return {**names, **tools, "formula_lines": rdeparse.formula_lines, "np": np, "pd": pd, "quietly": quietly}


def run(line: Line, space: dict[str, Any]) -> list[str]:
    """Execute the Python of a line; what it prints, line by line."""
    tree = ast.parse(line.python)
    if not isinstance(tree.body[0], ast.Expr):
        exec(compile(tree, line.session, "exec"), space)
        return []
    shown = re.fullmatch(r"print\((.*)\)", line.python)
    return r_text(eval(shown[1] if shown else line.python, space)).split("\n")


def said(out: tuple[str, ...]) -> list[str]:
    """R's output without what is said to its optimizer; its "1 lme4 warnings" is that of a singular fit."""
    singular = "boundary (singular) fit: see help('isSingular')"
    kept = [singular if "; 1 lme4 warnings" in text else text for text in out]
    kept = [text for text in kept if not text.startswith("optimizer (")]
    if kept and kept[-1].startswith("Some predictor variables are on very different scales"):  # of no matter here
        kept = kept[:-2]
    while kept and kept[-1] == "" and len(kept) < len(out):
        kept.pop()
    return kept


def closeness(want: list[str], got: list[str], rtol: float) -> str:
    """ "same", "near" (the same words, numbers that differ by `rtol` or one printed unit), or what differs."""
    if want == got:
        return "same"
    if len(want) != len(got):
        return f"{len(want)} lines in R, {len(got)} here:\n" + "\n".join(got)
    for expected, given in zip(want, got, strict=True):
        if [_word(t) for t in expected.split()] != [_word(t) for t in given.split()]:
            return f"R:    {expected}\nhere: {given}"
        for a, b in zip(expected.split(), given.split(), strict=True):
            if NUMBER.match(a) and abs(float(a) - float(b)) > max(
                rtol * abs(float(a)), 1.01 * _unit(a), 1.01 * _unit(b)
            ):
                return f"R:    {expected}\nhere: {given}"
    return "near"


def _word(token: str) -> str:
    return "number" if NUMBER.match(token) else token


def _unit(token: str) -> float:
    mantissa, _, exponent = token.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
