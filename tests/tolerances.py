"""The tolerances of the test suite; every assert_allclose names one of them."""

IDENTITY = {"rtol": 1e-12, "atol": 1e-14}  # the same numbers by another route
OBJECTIVE = {"rtol": 1e-8, "atol": 1e-10}  # log-likelihoods, scores, informations against brute force
COMPONENT = {"rtol": 1e-6, "atol": 1e-9}  # variance components at an optimum
PARAMETER = {"rtol": 1e-5, "atol": 1e-8}  # everything else at an optimum (standard errors, BLUPs)
MONTE_CARLO = 4.0  # largest |z| of a simulated mean


def printed(digits: int) -> dict[str, float]:
    """Half a unit of the last of `digits` printed decimals."""
    return {"rtol": 0.0, "atol": 0.5000001 * 10.0**-digits}
