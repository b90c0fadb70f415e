"""Execute the vignettes: as plain scripts to see that they run, or into a folder as notebooks or pages.

python vignettes/run.py                         run all; fails on the first error
python vignettes/run.py first_fit               run one
python vignettes/run.py --ipynb out/            executed notebooks      (needs jupytext, nbclient, ipykernel)
python vignettes/run.py --html out/             executed pages          (needs nbconvert as well)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETTINGS = {"MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"}


def vignettes(names: list[str]) -> list[Path]:
    """Paths of the named vignettes, or of all."""
    known = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.name != Path(__file__).name}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no vignette is called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def run_as_script(path: Path) -> None:
    """Run in a process of its own; what it prints is shown only when it fails."""
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", str(path)],
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}\n{path.name} failed")


def run_as_notebook(path: Path, folder: Path, html: bool) -> None:
    """Execute in a kernel and write the notebook, or the page, into `folder`."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    os.environ.setdefault("OPENBLAS_NUM_THREADS", SETTINGS["OPENBLAS_NUM_THREADS"])
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(HERE)}}).execute()
    folder.mkdir(parents=True, exist_ok=True)
    if html:
        from nbconvert import HTMLExporter

        page, _ = HTMLExporter().from_notebook_node(notebook)
        (folder / f"{path.stem}.html").write_text(page, encoding="utf-8")
    else:
        nbformat.write(notebook, folder / f"{path.stem}.ipynb")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="vignettes to run (all if none is named)")
    parser.add_argument("--ipynb", type=Path, metavar="FOLDER", help="write executed notebooks")
    parser.add_argument("--html", type=Path, metavar="FOLDER", help="write executed pages")
    options = parser.parse_args(argv)
    for path in vignettes(options.names):
        start = time.perf_counter()
        if options.ipynb or options.html:
            run_as_notebook(path, options.ipynb or options.html, html=options.html is not None)
        else:
            run_as_script(path)
        print(f"{path.name}: ran in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
