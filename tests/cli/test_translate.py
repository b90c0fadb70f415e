"""``mixedvc translate``: a call, a script, standard input; what is left is named and the status says so."""

import io

from mixedvc import cli

CALL = "lmer(y ~ x + (1|id), data=d, REML=FALSE)"


def run(capsys, *argv):
    code = cli.main([str(argument) for argument in argv])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_a_call_is_translated(capsys):
    code, out, err = run(capsys, "translate", CALL)
    assert (code, err) == (0, "")
    assert out == 'import mixedvc as mv\n\nprint(mv.fit("y ~ x + (1 | id)", d, method="ml").summary())\n'


def test_a_script_is_read_and_the_python_written(capsys, tmp_path):
    script, made = tmp_path / "analysis.R", tmp_path / "analysis.py"
    script.write_text(f"m <- {CALL}\nfixef(m)\n")
    code, out, err = run(capsys, "translate", script, "--output", made)
    assert (code, out, err) == (0, "", "")
    assert made.read_text().splitlines()[-2:] == [
        'm = mv.fit("y ~ x + (1 | id)", d, method="ml")',
        "print(m.params)",
    ]


def test_standard_input_is_read(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("x <- 1"))
    assert run(capsys, "translate", "-") == (0, "x = 1\n", "")


def test_what_is_left_is_named_on_standard_error(capsys):
    code, out, err = run(capsys, "translate", "x <- 1\naov(y ~ x + Error(g), d)")
    assert code == 3 and out.startswith("x = 1\n# not translated: aov(")
    assert err.startswith("mixedvc: 1 statement has no translation:\nline 2, column 1: aov()")


def test_text_that_is_not_r_is_an_error(capsys):
    code, out, err = run(capsys, "translate", "lmer(y ~ x")
    assert (code, out) == (2, "") and "line 1, column 5: this '(' is never closed" in err


def test_a_script_that_is_absent_is_named(capsys, tmp_path):
    code, _, err = run(capsys, "translate", tmp_path / "none.R")
    assert code == 2 and "none.R" in err and "cannot be read" in err
