"""Run the benchmarks: ``python benchmarks/run.py [NAME …] [--repeats 5]``.

Each problem runs in a process of its own.  Runs of the problem and of its floor alternate; medians and the median of
the pairwise ratios are printed with the objective reached, peak memory, and the BLAS kernels and threads in use.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def measure(name: str, repeats: int) -> dict[str, object]:
    """Alternate problem and floor `repeats` times after one warm-up of each."""
    from problems import PROBLEMS

    from mixedvc.linalg.threads import blas_info

    problem = PROBLEMS[name]()
    before = _peak_mb()
    objective = problem.run()
    peak = _peak_mb()
    if problem.floor:
        problem.floor()
    times, floors = [], []
    for _ in range(repeats):
        times.append(_time(problem.run))
        if problem.floor:
            floors.append(_time(problem.floor, timed_itself=True))
    found: dict[str, object] = {
        "problem": name,
        "note": problem.note,
        "seconds": statistics.median(times),
        "objective": objective,
        "inputs_mb": before,
        "peak_mb": peak,
        "blas": blas_info(),
        "limit": problem.limit,
    }
    if floors:
        ratios = [t / f for t, f in zip(times, floors, strict=True)]
        found |= {
            "floor": problem.floor_name,
            "floor_seconds": statistics.median(floors),
            "ratio": statistics.median(ratios),
        }
    return found


def _time(run: object, timed_itself: bool = False) -> float:
    began = time.perf_counter()
    own = run()  # type: ignore[operator]
    return own if timed_itself and isinstance(own, float) else time.perf_counter() - began


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def import_seconds(repeats: int) -> float:
    """Median of ``import mixedvc`` in fresh interpreters, the interpreter's own start taken off."""
    code = "import time; t = time.perf_counter(); import mixedvc; print(time.perf_counter() - t)"
    runs = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(repeats)]
    return statistics.median(runs)


def show(found: dict[str, object]) -> str:
    """One problem in words."""
    lines = [f"{found['problem']}: {found['seconds']:.4f} s   ({found['note']})"]
    if "ratio" in found:
        lines.append(f"  floor {found['floor']}: {found['floor_seconds']:.4f} s, ratio {found['ratio']:.2f}")
    lines.append(f"  limit {found['limit']}; objective {found['objective']:.6f}")
    lines.append(f"  peak {found['peak_mb']:.0f} MB (inputs {found['inputs_mb']:.0f} MB); {found['blas']}")
    return "\n".join(lines)


def main() -> int:
    """Measure the named problems, or all."""
    from problems import PROBLEMS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in PROBLEMS]
    if unknown:
        parser.error(f"no problem is called {unknown[0]!r}; there are {', '.join(PROBLEMS)}")
    if options.one:
        print(json.dumps(measure(options.names[0], options.repeats)))
        return 0
    print(f"import mixedvc: {import_seconds(options.repeats):.3f} s")
    for name in options.names or PROBLEMS:
        command = [sys.executable, __file__, name, "--one", "--repeats", str(options.repeats)]
        print(show(json.loads(subprocess.check_output(command, text=True).splitlines()[-1])), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
