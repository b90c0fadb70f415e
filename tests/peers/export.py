"""Writes the generated models where R can read them: one csv a model and a manifest.

python -m tests.peers.export FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .generate import COUNT, model


def export(folder: Path) -> None:
    """``m<i>.csv`` and ``manifest.json`` (formula, criterion, weights, offset, checksum)."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = []
    for i in range(COUNT):
        m = model(i)
        m.data.to_csv(folder / f"m{i}.csv", index=False)
        about = {"number": i, "formula": m.formula, "reml": m.reml, "weights": m.weights, "offset": m.offset}
        manifest.append({**about, "n": len(m.data), "checksum": m.checksum})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=0), encoding="utf-8")


if __name__ == "__main__":
    export(Path(sys.argv[1]))
