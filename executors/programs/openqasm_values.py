"""What expressions of OpenQASM 3 stand for: bits by their indices, as the language has them."""

from typing import Any

import openqasm3
from openqasm3 import ast
from qiskit.circuit import Clbit
from qiskit.circuit.classical import expr
from qiskit.circuit.classical import types as classical_types
from qiskit_qasm3_import import types
from qiskit_qasm3_import.exceptions import raise_from_node
from qiskit_qasm3_import.expression import ValueResolver


class Values(ValueResolver):
    """Reads ranges whole: the importer makes slices of them, by which -1 and 0 are not ends."""

    def visit_RangeDefinition(self, node: Any) -> Any:  # noqa: N802
        """A slice whose end is no part of it, as the importer's loops have it."""
        for part in (node.start, node.end, node.step):
            if part and not isinstance(self.visit(part)[1], types.Int | types.Uint):
                raise_from_node(part, f"a range takes whole numbers, not '{_shown(part)}'")
        found, kind = super().visit_RangeDefinition(node)
        if found.step == 0:
            raise_from_node(node, f"the range '{_shown(node)}' has step 0")
        return found, kind

    def _index_collection(self, collection: Any, kind: Any, indexer: Any, base: Any) -> Any:
        if not isinstance(kind, types.BitArray | types.QubitArray):
            return super()._index_collection(collection, kind, indexer, base)
        if not isinstance(indexer, ast.DiscreteSet) and len(indexer) != 1:
            raise_from_node(base, "only 1D indexers are supported")
        is_set = isinstance(indexer, ast.DiscreteSet)
        value, index_kind = self.visit(indexer if is_set else indexer[0])
        size = len(collection)
        if isinstance(index_kind, types.Int | types.Uint):
            if not index_kind.const:
                raise_from_node(base, f"an index must be a constant: '{_shown(base)}'")
            (bit,) = _bits(collection, [value % size if -size <= value < 0 else value], base)
            return bit, (types.Bit() if isinstance(kind, types.BitArray) else types.Qubit())
        if isinstance(index_kind, types.Range):
            places: Any = _places(value, size)
        elif is_set:
            places = [place + size if place < 0 else place for place in value]
        else:
            raise_from_node(base, f"unsupported index type: '{index_kind.pretty()}'")
        bits = _bits(collection, places, base)
        return bits, type(kind)(len(bits))


def _places(found: slice, size: int) -> range:
    """The places that a range means among *size* bits; those below 0 are counted from the end."""
    sign = 1 if found.step is None or found.step > 0 else -1
    ends = (0, size - 1)[::sign]
    first = ends[0] if found.start is None else found.start
    last = ends[1] if found.stop is None else found.stop - sign
    first, last = (place + size if place < 0 else place for place in (first, last))
    return range(first, last + sign, found.step or 1)


def _bits(collection: Any, places: Any, base: Any) -> list[Any]:
    if not places:
        raise_from_node(base, f"'{_shown(base)}' selects nothing: an index set can not be empty")
    ends = (places[0], places[-1]) if isinstance(places, range) else places  # it may be very long
    if not all(0 <= place < len(collection) for place in ends):
        raise_from_node(base, f"'{_shown(base)}' goes beyond the {len(collection)} that there are")
    return [collection[place] for place in places]


def _shown(node: Any) -> str:
    return str(openqasm3.dumps(node))


def as_it_meets(value: Any, other: Any) -> Any:
    """*value*, or for a 0 or 1 that meets a bit what it stands for."""
    is_bit = isinstance(other, Clbit) or (
        isinstance(other, expr.Expr) and isinstance(other.type, classical_types.Bool)
    )
    return bool(value) if is_bit and type(value) is int and value in (0, 1) else value


UNARY = {"!": expr.logic_not, "~": expr.bit_not}
BINARY = {
    "&&": expr.logic_and,
    "||": expr.logic_or,
    "==": expr.equal,
    "!=": expr.not_equal,
    "<": expr.less,
    "<=": expr.less_equal,
    ">": expr.greater,
    ">=": expr.greater_equal,
    "&": expr.bit_and,
    "|": expr.bit_or,
    "^": expr.bit_xor,
}
