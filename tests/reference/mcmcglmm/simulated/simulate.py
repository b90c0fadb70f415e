"""The data of these reference runs: two traits of 360 animals of a pedigree of three generations (seeded)."""

from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent


def main() -> None:
    rng = np.random.default_rng(20261121)
    founders = [f"f{i}" for i in range(60)]
    first = [f"a{i}" for i in range(240)]
    second = [f"b{i}" for i in range(160)]
    sire, dam = dict.fromkeys(founders), dict.fromkeys(founders)
    for i, name in enumerate(first):
        dam[name] = founders[20 + i // 6]
        sire[name] = founders[(i // 12) % 20]
    for i, name in enumerate(second):
        dam[name] = first[(i // 4) * 6 % 240 + 1]
        sire[name] = first[((i // 4) * 6 + 90) % 240]
    animals = founders + first + second
    place = {name: i for i, name in enumerate(animals)}
    G = np.array([[0.5, 0.3], [0.3, 0.6]])
    root = np.linalg.cholesky(G)
    u = np.zeros((len(animals), 2))
    for i, name in enumerate(animals):
        noise = root @ rng.standard_normal(2)
        if dam[name] is None:
            u[i] = noise
        else:
            u[i] = 0.5 * (u[place[dam[name]]] + u[place[sire[name]]]) + np.sqrt(0.5) * noise
    recorded = sorted(rng.choice(np.arange(60, len(animals)), 360, replace=False))
    n = len(recorded)
    sex = rng.choice(["F", "M"], n)
    x = rng.standard_normal(n).round(3)
    nest = rng.integers(0, 40, n)
    year = rng.integers(0, 6, n)
    slopes = rng.multivariate_normal([0, 0], [[0.3, 0.1], [0.1, 0.2]], 40)
    years = rng.normal(0, 0.4, 6)
    e = rng.multivariate_normal([0, 0], [[0.5, 0.1], [0.1, 0.7]], n) * np.where(sex == "M", 1.3, 1.0)[:, None]
    mean = 2 + 0.5 * (sex == "M") - 0.3 * x
    y = mean + u[recorded, 0] + slopes[nest, 0] + slopes[nest, 1] * x + years[year] + e[:, 0]
    z = 1 + 0.2 * (sex == "M") + u[recorded, 1] + 0.5 * slopes[nest, 0] + e[:, 1]
    z[rng.random(n) < 0.15] = np.nan
    y2 = y.copy()
    y2[rng.random(n) < 0.05] = np.nan
    y2[np.isnan(z) & np.isnan(y2)] = y[np.isnan(z) & np.isnan(y2)]
    table = pd.DataFrame(
        {
            "animal": np.array(animals)[recorded], "sex": sex, "x": x, "nest": [f"n{i}" for i in nest],
            "year": [f"y{i}" for i in year], "known": rng.uniform(0.1, 0.6, n).round(3), "y": y.round(4),
            "y2": y2.round(4), "z": z.round(4),
        }
    )  # fmt: skip
    table.to_csv(HERE / "data.csv", index=False)
    pedigree = pd.DataFrame(
        {"id": animals, "dam": [dam[a] or "NA" for a in animals], "sire": [sire[a] or "NA" for a in animals]}
    )
    pedigree.to_csv(HERE / "pedigree.csv", index=False)


if __name__ == "__main__":
    main()
