"""Lowers expressions and statements of one function of one BPF program.

A value is asked for in one of four ways: `word` (an i64 operand), `condition` (an i1), `writer` (evaluates what has
to be evaluated now and returns a function that stores the value at a pointer: that lets a string go straight into a
ring record) and `place` (a pointer to an aggregate in the program's memory).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import access, compare, events, loops, maps, preemption, statements, writers
from pytrace.codegen.helpers import Helper
from pytrace.codegen.ir import Function
from pytrace.codegen.unit import BpfProgram, Unit
from pytrace.codegen.writers import Writer
from pytrace.functions import REGISTRY
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.diagnostics import Span


_ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor"}
_PREDICATES = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_PLAIN_USES = 64
INLINE_BYTES = 64
"""Up to this size memory is zeroed and copied by plain stores, above by one helper call."""


class Lower:
    """One function being emitted. `on_return` is where `return` goes: a label of this function, or None inside a
    callback, where the frame's flow flag tells the callers."""

    def __init__(self, unit: Unit, program: BpfProgram, f: Function, on_return: str | None) -> None:
        self.unit = unit
        self.program = program
        self.f: Function = f
        self.on_return = on_return
        self.loop_labels: list[tuple[str, str]] = []
        self.places: dict[int, str] = {}
        self.returns_value = False
        self._scratch = ""
        self._row = ""
        self._temporary = ""

    # --- memory of the program ------------------------------------------------------------------------

    def cpu(self) -> str:
        """The CPU number, masked so that the verifier knows its range."""
        if not self._row:
            f = self.f
            raw, self._row = f"%cpu.raw.{f.name}", f"%cpu.{f.name}"
            f.at_entry(f"{raw} = call i64 inttoptr (i64 {Helper.get_smp_processor_id:d} to ptr)()")
            f.at_entry(f"{self._row} = and i64 {raw}, {self.unit.cpus - 1}")
        return self._row

    def scratch(self, size: int) -> str:
        """A pointer to `size` bytes of this program's own per-CPU memory."""
        if not self._scratch:
            self._scratch = preemption.scratch(self)
        return self.f.offset(self._scratch, self.unit.scratch(size))

    def frame(self) -> str:
        """The operand that gives a function of this program the frame."""
        return "ptr %frame" if self.program.framed else "ptr null"

    def temporary(self) -> str:
        """Eight bytes of stack that every short-lived read shares."""
        if not self._temporary:
            self._temporary = self.f.alloca(8)
        return self._temporary

    def room(self, size: int, captured: bool = False, zeroed: bool = False) -> str:
        """Memory for an aggregate: stack while it is small and private, per-CPU scratch otherwise. For `zeroed` see
        `Function.alloca`; scratch is not."""
        limit = 0 if self.unit.spill else self.unit.config.on_stack_limit
        if size <= limit and not captured and self.f.stack + size <= self.unit.STACK_BUDGET:
            self.f.stack += (size + 7) // 8 * 8
            return self.f.alloca(max(size, 1), zeroed=zeroed)
        return self.scratch(size)

    def zero(self, pointer: str, size: int) -> None:
        """Zeroes memory. A read from address 0 fails and by its contract leaves zeros: one call for any size."""
        if size <= INLINE_BYTES:
            self.f.zero(pointer, size)
        else:
            self.f.helper(Helper.probe_read_kernel, f"ptr {pointer}", f"i32 {size}", "i64 0")

    def copy(self, source: str, to: str, size: int, align: int = 1) -> None:
        if size <= INLINE_BYTES and (align >= 4 or size <= 8):
            self.f.copy(source, to, size, align)
        elif size:
            self.f.helper(Helper.probe_read_kernel, f"ptr {to}", f"i32 {size}", f"ptr {source}")

    def variable(self, symbol: typed.VarSymbol) -> str:
        """Where a variable lives. Words take a full i64 slot."""
        captured = symbol.captured and self.program.has_callbacks
        word = t.is_word(symbol.type)
        if self.unit.spill:
            return self.f.offset(self.scratch_base(), self.program.scratch_slot(self.unit, symbol))
        if captured and word:
            return self.f.offset("%frame", self.program.frame_slot(symbol))
        if not word and (captured or symbol.type.size > self.unit.config.on_stack_limit):
            return self.f.offset(self.scratch_base(), self.program.scratch_slot(self.unit, symbol))
        if id(symbol) not in self.places:
            self.places[id(symbol)] = self.f.alloca(8 if word else max(1, symbol.type.size), zeroed=True)
        return self.places[id(symbol)]

    def set_variable(self, symbol: typed.VarSymbol, value: str) -> None:
        """Gives a variable of a word type its value.

        What loops count in the frame is written in halves: the verifier would follow a number that it knows through
        every round, and gives up after a million instructions; of two halves read as one it knows nothing.
        """
        place = self.variable(symbol)
        if place.startswith("%s") or not isinstance(symbol.type, t.Int):
            self.f.store(value, place)
            return
        high = self.f.op(f"lshr i64 {value}, 32")
        self.f.store(value if value.startswith("%") else int(value) & 0xFFFF_FFFF, place, 32, volatile=True)
        self.f.store(high, self.f.offset(place, 4), 32, volatile=True)

    def scratch_base(self) -> str:
        self.scratch(0)
        return self._scratch

    # --- words -----------------------------------------------------------------------------------------

    def word(self, e: typed.Expr) -> str:
        """The value of an expression of a word type."""
        f = self.f
        match e:
            case typed.Const():
                return str(e.value if e.value < 1 << 63 else e.value - (1 << 64))
            case typed.Var():
                return f.load(self.variable(e.symbol))
            case typed.MapGet():
                return maps.read(self, e)
            case typed.ContextLoad():
                return access.context_word(self, e)
            case typed.ContextPointer():
                return f.address(self.context())
            case typed.Memory():
                return access.memory_word(self, e)
            case typed.AddressOf():
                return self._address_of(e)
            case typed.Part():
                return access.part_word(self, e)
            case typed.Element():
                return access.element_word(self, e)
            case typed.Bounded():
                return access.bounded(self, e)
            case typed.Unary():
                return self._unary(e)
            case typed.Binary():
                return self._binary(e)
            case typed.Logical() | typed.Compare():
                return f.word(self.condition(e))
            case typed.Ternary():
                return self._ternary_word(e)
            case typed.Convert():
                return self._convert_word(e)
            case typed.Reinterpret():
                return self._load(self.place(e.operand), e.type, e.operand.type.size)
            case typed.Increment():
                return self._increment(e)
            case typed.Call():
                return self._call(e)
            case typed.SubprogramCall():
                return loops.call_subprogram(self, e)
            case typed.BlockExpr():
                self.statements(e.body)
                return self.word(e.value)
        raise TypeError(f"no word: {e}")

    def condition(self, e: typed.Expr) -> str:
        """The truth of an expression."""
        match e:
            case typed.Binary() if e.op in _PREDICATES:
                return self._compare_words(e)
            case typed.Logical():
                return self._logical(e)
            case typed.Compare():
                return compare.equal(self, e)
            case typed.Unary() if e.op == "!":
                return self.f.op(f"xor i1 {self.condition(e.operand)}, true")
        return self.f.truth(self.word(e))

    def _unary(self, e: typed.Unary) -> str:
        if e.op == "!":
            return self.f.word(self.condition(e))
        value = self.word(e.operand)
        return self.f.op(f"sub i64 0, {value}") if e.op == "-" else self.f.op(f"xor i64 {value}, -1")

    def _binary(self, e: typed.Binary) -> str:
        if e.op in _PREDICATES:
            return self.f.word(self._compare_words(e))
        left, right = self.word(e.left), self.word(e.right)
        return self.arithmetic(e.op, left, right, t.signedness(e.type)[1], e.span)

    def arithmetic(self, op: str, left: str, right: str, signed: bool, span: Span) -> str:
        f = self.f
        if op in _ARITHMETIC:
            return f.binary(_ARITHMETIC[op], left, right)
        if op in ("<<", ">>"):
            amount = f.binary("and", right, 63)
            return f.binary("shl" if op == "<<" else "ashr" if signed else "lshr", left, amount)
        return self._divide(op, left, right, signed, span)

    def _divide(self, op: str, left: str, right: str, signed: bool, span: Span) -> str:
        """BPF divides unsigned words only (cpu v3), and LLVM may assume that a divisor is not 0. Division by zero
        gives 1, as it does in bpftrace, and is counted."""
        f = self.f
        zero = f.compare("eq", right, 0)
        if not right.lstrip("-").isdigit():
            with f.when(zero, "divzero"):
                self.count("divide_by_zero", span=span)
        divisor = f.select(zero, "1", right)
        instruction = "udiv" if op == "/" else "urem"
        if not signed:
            result = f.binary(instruction, left, divisor)
        else:
            negative = f.compare("slt", left, 0)
            flip = negative
            a = f.select(negative, f.op(f"sub i64 0, {left}"), left)
            below = f.compare("slt", divisor, 0)
            b = f.select(below, f.op(f"sub i64 0, {divisor}"), divisor)
            if op == "/":
                flip = f.op(f"xor i1 {negative}, {below}")
            magnitude = f.binary(instruction, a, b)
            result = f.select(flip, f.op(f"sub i64 0, {magnitude}"), magnitude)
        return f.select(zero, "1", result)

    def _compare_words(self, e: typed.Binary) -> str:
        left, right = self.word(e.left), self.word(e.right)
        predicate = _PREDICATES[e.op]
        if predicate not in ("eq", "ne"):
            predicate = ("s" if t.signedness(e.left.type)[1] else "u") + predicate
        return self.f.compare(predicate, left, right)

    def _logical(self, e: typed.Logical) -> str:
        """A chain of one operator is one way past its operands, with one exit."""
        f = self.f
        operands: list[typed.Expr] = [e]
        while isinstance(first := operands[0], typed.Logical) and first.op == e.op:
            operands[:1] = [first.left, first.right]
        end, result = f.label("logicend"), f.alloca(8)
        for operand in operands:
            following = f.label("logic")
            value = self.condition(operand)
            f.store(f.word(value), result)
            f.branch(value, *((following, end) if e.op == "&&" else (end, following)))
            f.place(following)
        f.jump(end)
        f.place(end)
        return f.truth(f.load(result))

    def _ternary_word(self, e: typed.Ternary) -> str:
        f = self.f
        result = f.alloca(8)
        self.fork(e, lambda arm: f.store(self.word(arm), result))
        return f.load(result)

    def fork(self, e: typed.Ternary, arm: Callable[[typed.Expr], object]) -> None:
        f = self.f
        then, otherwise, end = f.label("yes"), f.label("no"), f.label("end")
        f.branch(self.condition(e.condition), then, otherwise)
        for label, value in ((then, e.then), (otherwise, e.otherwise)):
            f.place(label)
            arm(value)
            f.jump(end)
        f.place(end)

    def _convert_word(self, e: typed.Convert) -> str:
        if isinstance(e.type, t.Bool):
            return self.f.word(self.condition(e.operand))
        if not t.is_word(e.operand.type):
            return self._load(self.place(e.operand), e.type, e.operand.type.size)
        value = self.word(e.operand)
        bits, signed = t.signedness(e.type)
        from_bits, from_signed = t.signedness(e.operand.type)
        if (
            bits == 64
            or (from_bits < bits and (signed or not from_signed))
            or (bits, signed) == (from_bits, from_signed)
        ):
            return value
        return self.f.extend(value, bits, signed)

    def _load(self, pointer: str, kind: t.Type, size: int) -> str:
        bits, signed = t.signedness(kind)
        if size * 8 >= bits:
            return self.f.load(pointer, bits, signed)
        temporary = self.f.alloca(8)
        self.f.store(0, temporary)
        self.f.copy(pointer, temporary, size)
        return self.f.load(temporary, bits, signed)

    def _increment(self, e: typed.Increment, used: bool = True) -> str:
        f = self.f
        if isinstance(e.target, typed.MapGet):
            return maps.increment(self, e, used)
        place = self.variable(e.target.symbol)
        old = f.load(place)
        bits, signed = t.signedness(e.type)
        new = f.extend(f.add(old, e.step), bits, signed)
        self.set_variable(e.target.symbol, new)
        return new if e.prefix else old

    def _address_of(self, e: typed.AddressOf) -> str:
        if isinstance(e.target, typed.Var):
            return self.f.address(self.variable(e.target.symbol))
        return self.f.address(self.place(e.target))

    def _call(self, e: typed.Call) -> str:
        lower = REGISTRY[e.name].lower
        assert lower is not None
        result: str = lower(self, e)
        return result

    # --- aggregates ----------------------------------------------------------------------------------

    def place(self, e: typed.Expr) -> str:
        """A pointer to the value of any sized type in the program's memory, to be read before anything else runs."""
        match e:
            case typed.Held():
                return e.place
            case typed.Var() if not t.is_word(e.type):
                return self.variable(e.symbol)
            case typed.Element() if not t.is_word(e.type):
                return access.element_place(self, e)
            case typed.Part() if e.bits is None and not isinstance(e.object, typed.Memory):
                return self.f.offset(self.place(e.object), e.offset)
            case typed.MapGet() if not t.is_word(e.type):
                return maps.value_place(self, e)
            case typed.BlockExpr() if not t.is_word(e.type):
                self.statements(e.body)
                return self.place(e.value)
        room = self.room(e.type.size)
        self.writer(e)(room)
        return room

    def alignment(self, e: typed.Expr) -> int:
        """What the address that `place` gives is a multiple of."""
        if isinstance(e, typed.Part) and e.bits is None:
            offset = e.offset & -e.offset if e.offset else 8
            return min(self.alignment(e.object), offset, 8)
        return 8

    def writer(self, e: typed.Expr, exact: bool = False) -> Writer:
        """Evaluates now what may have side effects or call helpers with the record not yet reserved; the returned
        function stores the value at a pointer. With `exact` every byte of the type's size is determined, as map
        keys need, and scripts that look behind a string's end."""
        return writers.writer(self, e, exact or self.unit.exact)

    # --- statements ---------------------------------------------------------------------------------------

    def statements(self, body: tuple[typed.Stmt, ...]) -> None:
        for s in body:
            self.f.at(s.span)
            statements.statement(self, s)

    def effect(self, e: typed.Expr) -> None:
        """Evaluates an expression for what it does."""
        match e:
            case typed.Call() if not t.is_word(e.type):
                lower = REGISTRY[e.name].lower
                assert lower is not None
                lower(self, e)
            case typed.Const() | typed.Str() | typed.Var():
                pass
            case typed.SubprogramCall():
                loops.call_subprogram(self, e)
            case typed.Increment():
                self._increment(e, used=False)
            case typed.Ternary() if not t.is_word(e.type):
                self.fork(e, self.effect)
            case typed.TupleExpr():
                for x in e.elements:
                    self.effect(x)
            case typed.BlockExpr():
                self.statements(e.body)
                self.effect(e.value)
            case _:
                if t.is_word(e.type):
                    self.word(e)

    # --- services -----------------------------------------------------------------------------------------

    def context(self) -> str:
        """The program's context, which inside a callback is in the frame."""
        if self.program.entry is self.f:
            self.program.context_uses += 1
            if self.program.context_uses <= _PLAIN_USES:
                return "%ctx"
            # An address with more uses than LLVM cares to look at (100) would get a register of its own, and the
            # verifier loads nothing from the sum of a context and an offset.
            return self.f.pointer(self.f.pinned(self.f.address("%ctx")))
        return self.f.load_pointer(self.f.offset("%frame", self.program.context_slot()))

    def point(self) -> str:
        """The index of the point that fired among the body's points."""
        if self.program.entry is self.f:
            return self.program.point_operand
        return self.f.load(self.f.offset("%frame", self.program.PROBE))

    def probe_index(self) -> str:
        """The index among all probes of the script that a record carries."""
        if self.program.entry is self.f or not self.program.probe_index.startswith("%"):
            return self.program.probe_index
        return self.f.add(self.point(), self.program.index_base)

    def count(self, kind: str, subject: str = "", span: Span | None = None) -> None:
        """Adds one to a counter. Atomic: programs may interrupt each other on a CPU, and the books are exact."""
        index = self.unit.counter(kind, subject, span)
        row = self.f.binary("mul", self.cpu(), self.unit.COUNTER_STRIDE)
        pointer = self.f.offset(self.f.offset(self.unit.value("counters"), row), 64 + 8 * index)
        self.atomic_add(pointer, "1")

    @property
    def has_atomics(self) -> bool:
        """Whether the kernel knows atomic instructions other than a plain addition (5.12+)."""
        return self.unit.kernel.features.has("atomics")

    def atomic_add(self, pointer: str, amount: str) -> None:
        # LLVM makes an atomic `or` of an addition of 0, which older kernels do not know: it must not see that it is 0.
        operand = amount if self.has_atomics else self.f.opaque(amount)
        self.f.emit(f"atomicrmw add ptr {pointer}, i64 {operand} monotonic, align 8")

    def send(self, action: str, args: tuple[typed.Expr, ...], span: Span, **rest: object) -> None:
        events.send(self, action, args, span, **rest)
