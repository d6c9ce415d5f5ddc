"""What a provider says about a kind of probe: plain data that semantics and codegen read.

A provider turns the text of an attach point into `Point`s. A point knows its full name, where it attaches
(`program.Attach`) and its `Context`: what a program sees there and how it gets at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from pytrace.program import Attach
from pytrace.record import field, record
from pytrace.types import Struct, Type

if TYPE_CHECKING:
    from pytrace.kernel import Kernel

Space = Literal["kernel", "user"]


# --- how a value is got from a program's context -------------------------------------------------


@record
class CtxLoad:
    """Load at a byte offset of the context, which the verifier allows directly. Where the context is an array of
    u64 words (raw tracepoint, tp_btf, fentry) a narrower type is the low bytes of its word."""

    offset: int


@record
class CtxAddress:
    """The address of a byte offset of the context: a member array or struct of a tracepoint record,
    copied with bpf_probe_read_kernel."""

    offset: int


@record
class CtxCopy:
    """A word at a byte offset of the context that the verifier lets no program load, because it is a pointer to
    something that it does not follow (a function, a pointer, an array, …): copied with bpf_probe_read_kernel."""

    offset: int


@record
class DataLoc:
    """The u32 at `offset` of the context is a __data_loc: the value is the address of the data, which stands
    (low 16 bits) bytes after the start of the context, or with `relative` after the end of this u32."""

    offset: int
    relative: bool = False


@record
class RegsLoad:
    """A register of a `struct pt_regs` at byte `offset`. The context is the pt_regs itself, or where
    `pointer` is not None, the u64 at that byte offset of the context points to it."""

    offset: int
    pointer: int | None = None


@record
class StackLoad:
    """The u64 at `offset` bytes above the stack pointer of the traced function (arguments beyond the sixth)."""

    offset: int


@record
class StackAddress:
    """The address `offset` bytes above the stack pointer of the traced function: a struct that is passed there."""

    offset: int


@record
class RegsCopy:
    """The address of a copy of registers, one after the other, in the program's own memory: a struct that is passed in
    them. `offsets` are those of `RegsLoad`."""

    offsets: tuple[int, ...]


@record
class UsdtArgument:
    """Argument `index` of a USDT probe: `forms` holds the operand of each of the ways in which the probe's places keep
    their arguments. Where there is more than one, the high 32 bits of the attach cookie say which it is (the low 32 say
    which point, see `lowering.merge`)."""

    index: int
    forms: tuple[UsdtOperand, ...]


@record
class UsdtOperand:
    """`size` bytes, `signed`; a `constant`, or base + index*scale + displacement, where `base` and `index` are offsets
    of registers in pt_regs: with `deref` the user memory there, otherwise that number itself (a register, or the
    address of a symbol), without its lowest `shift` bits. `unreadable` says why it cannot be read, where that is so."""

    size: int
    signed: bool
    constant: int | None = None
    base: int | None = None
    index: int | None = None
    scale: int = 1
    displacement: int = 0
    deref: bool = False
    shift: int = 0
    unreadable: str = ""


Load = CtxLoad | CtxAddress | CtxCopy | DataLoc | RegsLoad | StackLoad | StackAddress | RegsCopy | UsdtArgument


@record
class Arg:
    """One `args.name`. A `DataLoc`/`CtxAddress` load of a char array has a String or Array type."""

    name: str
    type: Type
    load: Load


@record
class Context:
    """What a program sees at a point. Points with equal contexts share their code.

    space       what untyped pointers and `argN` point into
    args        the members of `args`, or None where the probe has no `args`
    unreadable  names of arguments that are not among `args`, and why
    struct      the type that `args`/`ctx` print as and whose members are reached by the args' loads
    positional  how arg0, arg1, … are read (as u64)
    retval      type and load of `retval`
    regs        whether the context is a pt_regs, as `reg()` needs
    btf         loads through args' pointers need no bpf_probe_read (tp_btf, fentry, iter)
    returns     what the program returns to the kernel
    unless_null the program is not run where this pointer is null
    stack_skip  how many innermost frames of a kernel stack are the tracer's own and are to be left out
    """

    prog_type: int
    expected_attach_type: int = 0
    space: Space = "kernel"
    args: tuple[Arg, ...] | None = None
    unreadable: tuple[tuple[str, str], ...] = ()
    struct: Struct | None = None
    positional: tuple[Load, ...] = ()
    retval: tuple[Type, Load] | None = None
    regs: bool = False
    btf: bool = False
    returns: int = 0
    attach_btf: str = ""
    attach_module: str = ""
    sleepable: bool = False
    stack_skip: int = 0
    unless_null: CtxLoad | None = None


@record
class SyscallGuard:
    """The point fires only for this system call (at a raw sys_enter/sys_exit tracepoint): where the 32 bits that
    `load` gives equal `number`, and the task is not in a system call of another ABI, whose numbers mean other calls.
    That is so where the u32 at `compat_offset` bytes into `struct task_struct` (of `bpf_get_current_task_btf`) has
    no bit of `compat_mask`; a mask of 0 means the machine has no such ABI. Points that differ in nothing but
    `number` and arguments share one program, which dispatches on the number."""

    number: int
    load: Load
    compat_offset: int = 0
    compat_mask: int = 0


@record
class Point:
    """One place a program is attached to. `name` is what the `probe` builtin gives, `function` what `func`
    gives where that is known at compile time. `note` is what whoever wrote the attach point should know of it."""

    name: str
    attach: Attach
    context: Context
    guard: SyscallGuard | None = None
    function: str = ""
    note: str = field(default="", compare=False)


class ProbeError(Exception):
    """The text of an attach point is wrong or nothing matches it; becomes a Diagnostic at its span."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class NoMatch(ProbeError):
    """There is nothing of that name. Of a pattern among others that match something this is no mistake."""


@record
class Target:
    """What the expansion of probes depends on besides their text: the kernel, `-p PID` (0: none), `--unsafe`,
    and `args`: whether anything looks at `args`, which for uprobes means reading debug info (a tenth of a second)."""

    kernel: Kernel
    pid: int = 0
    unsafe: bool = False
    args: bool = True


class Provider(Protocol):
    """One kind of probe; each file of this package has one as its `PROVIDER`. `listed` says whether a search over
    all probes includes it."""

    @property
    def name(self) -> str: ...

    @property
    def aliases(self) -> tuple[str, ...]: ...

    @property
    def doc(self) -> str: ...

    @property
    def listed(self) -> bool: ...

    def expand(self, rest: str, target: Target) -> list[Point]:
        """The points that the text after `name:` names, wildcards included. Raises `ProbeError`."""

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        """Full names of the probes matching a glob on the text after `name:`."""

    def describe(self, name: str, target: Target) -> list[str]:
        """The lines that `-lv` shows below a probe: `type name` of each argument."""
