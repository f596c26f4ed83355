"""Numbers in files of `torch.save`, read without running anything that the file names.

PyTorch's safe loader (`weights_only`) builds tensors and plain containers, and refuses every other name that is not
listed for it. NumPy's own classes are not listed: `numpy.ndarray` with a buffer of objects, or a `numpy.dtype` with
altered fields, turns bytes of the file into pointers. Each name of NumPy stands for a class or function of this module
that checks its arguments first.
"""

from __future__ import annotations

import math
import pickle
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch

_NUMBERS_AND_TEXT = re.compile(r"b1|[fiu][248]|[iu]1|U\d{1,4}")
_OBJECTS = re.compile(r"O8?")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class UnsafeFileError(ValueError):
    """A file that is damaged or holds more than numbers, text and containers; the message names what it holds."""


class _Type:
    """In place of `numpy.dtype`: a number, text, or a list of plain values."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not (_NUMBERS_AND_TEXT.fullmatch(code) or _OBJECTS.fullmatch(code)):
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype of {str(code)[:20]!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 8 and state[0] == 3 and state[2:5] == (None, None, None)):
            raise pickle.UnpicklingError("GLOBAL numpy.dtype with fields")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray[Any, Any]):
    """In place of `numpy.ndarray` and of the function that makes an empty one before its values are set."""

    def __new__(cls, *_: Any) -> _Array:
        return super().__new__(cls, (0,))

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, values = state
        dtype = _dtype(kind)
        holder, size = (list, 1) if dtype.hasobject else (bytes, dtype.itemsize)
        if min(shape, default=0) < 0 or not isinstance(values, holder) or len(values) != math.prod(shape) * size:
            raise pickle.UnpicklingError(f"GLOBAL numpy.ndarray of shape {shape} without the values for it")
        super().__setstate__((1, shape, dtype, fortran, values))


def _scalar(kind: Any, value: bytes) -> Any:
    """In place of NumPy's function that makes a scalar of bytes."""
    dtype = _dtype(kind)
    if dtype.hasobject or not isinstance(value, bytes) or len(value) != dtype.itemsize:
        raise pickle.UnpicklingError("GLOBAL numpy.scalar that is no number and no text")
    return np.frombuffer(value, dtype)[0]


def _dtype(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, _Type):
        raise pickle.UnpicklingError("GLOBAL numpy.ndarray without a type")
    return kind.dtype


# NumPy 1 wrote `core`, NumPy 2 writes `_core`.
_PARTS: list[Any] = [
    (_Array, "numpy.ndarray"),
    (_Type, "numpy.dtype"),
    *((_Array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]

# A damaged file can fail in any operation of the loader.
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, OSError, RuntimeError, safetensors.SafetensorError, struct.error, ValueError),
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError),
)


def load_numbers(path: str | Path) -> Any:
    """Return the content of a file of `torch.save`: tensors (on the CPU), NumPy arrays and scalars, plain containers.

    Raises
    ------
    UnsafeFileError
        If the file is absent, damaged, or names anything else; nothing that it names was run.
    """
    try:
        with torch.serialization.safe_globals(_PARTS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle protocol that is then refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UnsafeFileError("no such file") from None
    except _DAMAGE as error:
        named = _GLOBAL.search(str(error))
        reason = f"it holds {named[1]}" if named else f"it is damaged or no file of torch.save ({type(error).__name__})"
        raise UnsafeFileError(
            f"refused: {reason}; only tensors, NumPy arrays of numbers or text and plain containers are read, "
            f"written by torch.save"
        ) from None
