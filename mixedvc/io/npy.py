"""Arrays in numpy's npy format, read with suspicion: no pickle, and the header must agree with the bytes there are."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]
PLAIN = "biufUmM"  # dtype kinds that are plain bytes: never objects, never structures


class BadArray(ValueError):
    """Bytes that are not an acceptable npy array; the caller adds the name of the file."""


def header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order, dtype and the position of the numbers in the bytes of an npy file.

    Raises
    ------
    BadArray
        Not an npy header, a dtype that is not plain numbers or text, or a size that the header does not announce.
    """
    stream = io.BytesIO(data)
    try:
        version = npy.read_magic(stream)
        reader = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, fortran, dtype = reader(stream)
    except (ValueError, KeyError, SyntaxError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise BadArray(f"its npy header cannot be read ({error})") from None
    if dtype.hasobject or dtype.names is not None or dtype.subdtype is not None or dtype.kind not in PLAIN:
        raise BadArray(f"it holds {_what(dtype)}, which would need pickle; pickles are never loaded")
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise BadArray(f"its header announces the impossible shape {shape}")
    announced, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if announced != there:
        raise BadArray(f"its header announces {announced} bytes (shape {shape}, {dtype}), but {there} are there")
    return shape, fortran, dtype, stream.tell()


def _what(dtype: np.dtype[Any]) -> str:
    return "Python objects" if dtype.hasobject else f"values of type {dtype}"


def loads(data: bytes) -> Array:
    """The array in the bytes of an npy file: a copy that owns its memory.

    Raises
    ------
    BadArray
        See `header`.
    """
    shape, fortran, dtype, start = header(data)
    flat = np.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=start)
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")


def dumps(array: Array) -> bytes:
    """The bytes of an npy file with `array`.

    Raises
    ------
    BadArray
        An array that is not plain numbers or text.
    """
    if array.dtype.kind not in PLAIN:
        raise BadArray(f"an array of {array.dtype} cannot be written without pickle")
    stream = io.BytesIO()
    npy.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
