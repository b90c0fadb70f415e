"""Large arrays used again: fresh memory costs a page fault for every 4 KB, which can exceed the arithmetic."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


class Pool:
    """Fortran-ordered (n, n) arrays that their users hand back; at most `keep` wait for the next."""

    def __init__(self, n: int, dtype: type = np.float64, keep: int = 2):
        self.n, self.dtype, self._keep = n, dtype, keep
        self._free: list[Float] = []

    def lend(self, user: Any) -> Loan:
        """A loan that ends when `user` is no longer referenced."""
        loan = Loan(self)
        weakref.finalize(user, self._take_back, loan.arrays).atexit = False
        return loan

    def take(self) -> Float:
        """An array with arbitrary contents."""
        return self._free.pop() if self._free else np.empty((self.n, self.n), order="F", dtype=self.dtype)

    def _take_back(self, arrays: list[Float]) -> None:
        while arrays and len(self._free) < self._keep:
            self._free.append(arrays.pop())
        arrays.clear()


class Loan:
    """What one user has taken from a pool."""

    def __init__(self, pool: Pool):
        self._pool = pool
        self.arrays: list[Float] = []

    def take(self) -> Float:
        """Another array with arbitrary contents."""
        self.arrays.append(self._pool.take())
        return self.arrays[-1]

    def copy(self, A: Float) -> Float:
        """A copy of A in an array of the pool."""
        new = self.take()
        np.copyto(new, A)
        return new
