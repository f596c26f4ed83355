"""A Numba type for one number of each of V cells: `Cells`, the lanes of one vector of the processor.

Compiled code writes `a + b`, `a * b`, `fma(a, b, c)` or `exp2(a)` for V cells at once. Every lane does the same IEEE
operations in the same order, and none reads another, so that the bits of a cell depend neither on V nor on its
neighbours. NaN stays NaN through all of them.

`Lanes(V)` carries V in its type: code that takes one is compiled for each V.
"""

from __future__ import annotations

import operator
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import (
    NativeValue,
    intrinsic,
    lower_builtin,
    register_model,
    type_callable,
    typeof_impl,
    unbox,
)

# 2^f - 1 = f (c1 + f (c2 + ...)) on [-1/2, 1/2]: the coefficients of least relative error, 8e-8 before rounding.
_EXP2 = (0.69314706, 0.24022235, 0.055506784, 0.009671962, 0.0013274633)
# Adding 1.5 x 2^23 rounds a float32 to an integer, which its lowest bits then hold.
_ROUNDING = 12582912.0
EXP2_LIMIT = 60.0
"""`exp2` takes arguments beyond ± this number as this number: products of two results stay finite."""


class Lanes:
    """Number of cells in a vector."""

    def __init__(self, count: int) -> None:
        self.count = count


class _LanesType(types.Opaque):
    def __init__(self, count: int) -> None:
        super().__init__(f"Lanes({count})")
        self.count = count


class Cells(types.Type):
    """One float32 of each of `count` cells."""

    def __init__(self, count: int) -> None:
        super().__init__(f"Cells({count})")
        self.count = count

    @property
    def vector(self) -> ir.VectorType:
        """LLVM's type."""
        return ir.VectorType(ir.FloatType(), self.count)

    def constant(self, value: float) -> ir.Constant:
        """Return the same number for all cells."""
        return ir.Constant(self.vector, [float(np.float32(value))] * self.count)


register_model(_LanesType)(models.OpaqueModel)


@register_model(Cells)
class _CellsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, cells: Cells) -> None:
        super().__init__(manager, cells, cells.vector)


@typeof_impl.register(Lanes)
def _type_of_lanes(lanes: Lanes, _context: Any) -> _LanesType:
    return _LanesType(lanes.count)


@unbox(_LanesType)
def _unbox_lanes(_kind: Any, _value: Any, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Return a pointer to an element of a contiguous array; no bounds are checked."""
    struct = context.make_array(array_type)(context, builder, array)
    return builder.gep(struct.data, [offset])


def _address_of_row(context: Any, builder: Any, lanes: _LanesType, array_type: Any, values: Any) -> Any:
    array, row = values
    offset = builder.mul(row, ir.Constant(row.type, lanes.count))
    pointer = _address(context, builder, array_type, array, offset)
    return builder.bitcast(pointer, Cells(lanes.count).vector.as_pointer())


def _broadcast(builder: Any, cells: Cells, scalar: Any) -> Any:
    first = builder.insert_element(ir.Constant(cells.vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    nowhere = ir.Constant(ir.VectorType(ir.IntType(32), cells.count), [0] * cells.count)
    return builder.shuffle_vector(first, ir.Constant(cells.vector, ir.Undefined), nowhere)


def _fused(builder: Any, cells: Cells, values: Any) -> Any:
    signature = ir.FunctionType(cells.vector, [cells.vector] * 3)
    name = f"llvm.fma.v{cells.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), values)


@intrinsic
def load(_context: Any, lanes: Any, array_KV: Any, row: Any) -> Any:
    """Return row `row` of a contiguous array (K, V)."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        found = builder.load(_address_of_row(context, builder, lanes, signature.args[1], values[1:]))
        found.align = 4
        return found

    return Cells(lanes.count)(lanes, array_KV, types.intp), lower


@intrinsic
def store(_context: Any, lanes: Any, array_KV: Any, row: Any, cells: Any) -> Any:
    """Write row `row` of a contiguous array (K, V)."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        written = builder.store(values[3], _address_of_row(context, builder, lanes, signature.args[1], values[1:3]))
        written.align = 4
        return context.get_dummy_value()

    return types.none(lanes, array_KV, types.intp, cells), lower


@intrinsic
def splat(_context: Any, lanes: Any, number: Any) -> Any:
    """Return one number for all cells."""

    def lower(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _broadcast(builder, signature.return_type, values[1])

    return Cells(lanes.count)(lanes, types.float32), lower


@intrinsic
def weight(_context: Any, lanes: Any, weights: Any, offset: Any) -> Any:
    """Return element `offset` of a contiguous array, seen as flat, for all cells."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        scalar = builder.load(_address(context, builder, signature.args[1], *values[1:]))
        return _broadcast(builder, signature.return_type, scalar)

    return Cells(lanes.count)(lanes, weights, types.intp), lower


@intrinsic
def fma(_context: Any, x: Any, y: Any, z: Any) -> Any:
    """Return x y + z, rounded once."""

    def lower(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _fused(builder, signature.return_type, values)

    return x(x, x, x), lower


@intrinsic
def positive(_context: Any, x: Any) -> Any:
    """Return max(x, 0)."""

    def lower(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
        zero = signature.return_type.constant(0.0)
        return builder.select(builder.fcmp_ordered(">", zero, values[0]), zero, values[0])

    return x(x), lower


@intrinsic
def exp2(_context: Any, x: Any) -> Any:
    """Return 2^x with a relative error below 2e-7."""

    def lower(_context: Any, builder: Any, signature: Any, values: Any) -> Any:
        cells, (x,) = signature.return_type, values
        low, high = cells.constant(-EXP2_LIMIT), cells.constant(EXP2_LIMIT)
        # In this order, NaN is neither below nor above a limit, and stays.
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        x = builder.select(builder.fcmp_ordered(">", x, high), high, x)
        shifted = builder.fadd(x, cells.constant(_ROUNDING))
        fraction = builder.fsub(x, builder.fsub(shifted, cells.constant(_ROUNDING)))
        power = cells.constant(_EXP2[-1])
        for coefficient in (*_EXP2[-2::-1], 1.0):
            power = _fused(builder, cells, [power, fraction, cells.constant(coefficient)])
        # The integer part is added to the exponent, whose lowest bit is bit 23.
        integers = ir.VectorType(ir.IntType(32), cells.count)
        exponent = builder.shl(builder.bitcast(shifted, integers), ir.Constant(integers, [23] * cells.count))
        return builder.bitcast(builder.add(builder.bitcast(power, integers), exponent), cells.vector)

    return x(x), lower


def _define(symbol: Any, instruction: str) -> None:
    """Give an operator of Python its meaning for two `Cells`: one instruction of LLVM."""

    @type_callable(symbol)
    def typing(_context: Any) -> Any:
        return lambda x, y: x if isinstance(x, Cells) and x == y else None

    @lower_builtin(symbol, Cells, Cells)
    def lower(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return getattr(builder, instruction)(*values)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")
