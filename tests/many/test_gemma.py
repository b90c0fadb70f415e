"""GEMMA's null models of four traits of wheat: the same variances and log-likelihoods."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from tests.reference.load import input_or_skip, reference
from tests.tolerances import printed


def test_wheat_traits_have_gemmas_variances():
    data = pd.read_csv(input_or_skip("kinship/wheat/data.csv"))
    markers = pd.read_csv(input_or_skip("kinship/wheat/markers.csv.gz"), index_col=0)
    traits = ["y1", "y2", "y3", "y4"]
    frame = mv.fit_each(traits, "~ 1 + (1 | line:G)", data, cov={"G": mv.Features(markers)}).frame
    want = reference("kinship/wheat/gemma_each")
    for row, trait in zip(frame.to_dict("records"), traits, strict=True):
        loglik, vg, ve, pve = want[trait]
        assert row["loglik"] + 0.5 * np.log(599) == pytest.approx(loglik, abs=printed(3)["atol"])
        np.testing.assert_allclose([row["var[line]"], row["var[Residual]"], row["h2"]], [vg, ve, pve], **printed(6))
