"""Put into README what the main job prints now: python docs/refresh_readme.py (in an environment with mixedvc)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAIN_JOB = ["fit", "Reaction ~ Days + (Days|Subject)", "data/sleepstudy.csv"]
BLOCK = re.compile(r"```text\n(.*?)```", flags=re.S)


def printed() -> str:
    """What the shell command of README prints, without trailing blanks."""
    code = "import sys; from mixedvc.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *MAIN_JOB], capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.rstrip().splitlines())


if __name__ == "__main__":
    readme = ROOT / "README.md"
    shown = printed()
    readme.write_text(BLOCK.sub(lambda _: f"```text\n{shown}```", readme.read_text(encoding="utf-8")), encoding="utf-8")
