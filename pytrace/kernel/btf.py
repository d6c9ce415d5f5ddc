"""BTF: the kernel's types, functions and tracepoints by name.

`Btf.vmlinux()` is the running kernel's, `btf.modules` those of its modules (5.11+). Opening costs well under a
millisecond when the index of this BTF build is in the cache, and a walk over all types otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from pytrace import cache
from pytrace.kernel import btf_raw as k
from pytrace.kernel.btf_identity import digest, kernel_build_id
from pytrace.kernel.btf_index import Index, build
from pytrace.kernel.btf_raw import Blob, RawBtf, info_count, info_kind, map_fd, read_blob
from pytrace.kernel.btf_types import Types
from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import select
from pytrace.record import record
from pytrace.types import Enum, Struct, Type

BTF_DIRECTORY = "/sys/kernel/btf"


@record
class Function:
    """A kernel function or the arguments of a tracepoint. `id` is the BTF id of what was asked for (a FUNC, or the
    typedef of a tracepoint); `module` is "" for vmlinux. `variadic` functions take more than `params`.
    An unnamed parameter is called `arg0`, `arg1`, … `opaque` are the indices of pointers (-1: the result) that
    the verifier does not let a program load: those to functions, pointers, arrays and what is not known."""

    name: str
    params: tuple[tuple[str, Type], ...]
    returns: Type
    id: int
    module: str = ""
    variadic: bool = False
    proto: int = 0
    opaque: frozenset[int] = frozenset()


class Btf:
    """The types of one BTF; with `base`, those of a module, which see the types of vmlinux too.

    Lookups by name find the one with the lowest id where several types have the name, as libbpf does, and
    do not look into modules. Raises `KernelError` at construction if `data` is not sound BTF.
    """

    def __init__(self, data: Blob, *, base: Btf | None = None, module: str = "", index: Blob | None = None) -> None:
        self.raw: RawBtf = RawBtf(data, base.raw if base else None)
        self.base = base
        self.module = module
        self.first_id = base.end_id if base else 1
        self.index = Index(index if index is not None else build(self.raw, self.first_id))
        self.end_id: int = self.first_id + self.index.count
        self.signed_enums = self.index.signed_enums
        self.types = Types(self)

    @staticmethod
    def vmlinux() -> Btf:
        """The running kernel's BTF, or the file that `$PYTRACE_BTF` or `$BPFTRACE_BTF` names. Raises `KernelError`
        where there is none."""
        other = os.environ.get("PYTRACE_BTF") or os.environ.get("BPFTRACE_BTF")
        path = other or f"{BTF_DIRECTORY}/vmlinux"
        try:
            data = read_blob(path)
        except OSError as error:
            raise KernelError(
                f"the kernel's BTF cannot be read: {path}: {error.strerror}",
                "check the environment variable that names it"
                if other
                else "it needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
                if os.path.isdir("/sys/kernel")
                else "sysfs is not mounted here: mount -t sysfs sysfs /sys",
            ) from error
        return Btf.open(data, "" if other else kernel_build_id())

    @staticmethod
    def open(data: Blob, build_id: str = "", *, base: Btf | None = None, module: str = "") -> Btf:
        """BTF with its index from the cache, or made and kept there. `build_id` stands for the contents if given;
        otherwise they are hashed."""
        key = build_id or digest(data)
        name = f"btf-{key}-{len(data)}.index"
        fd = cache.open_file(name)
        if fd is not None:
            try:
                return Btf(data, base=base, module=module, index=map_fd(fd))
            except KernelError:
                pass  # another version's, or cut short: made anew below
            finally:
                os.close(fd)
        made = build(RawBtf(data, base.raw if base else None), base.end_id if base else 1)
        cache.write(name, made)
        return Btf(data, base=base, module=module, index=made)

    # --- one type ------------------------------------------------------------------------------

    def record(self, id: int) -> list[int]:
        """The words of a type: name offset, info, size or type id, and what follows them for its kind."""
        if id < self.first_id and self.base is not None:
            return self.base.record(id)
        if not self.first_id <= id < self.end_id:
            raise KernelError(f"BTF has no type with id {id}")
        words = self.raw.words
        at = self.index.offsets[id - self.first_id]
        info = words[at + 1]
        fixed, each = self.raw.tails[info_kind(info)]
        return words[at : at + 3 + fixed + each * info_count(info)].tolist()

    def text(self, offset: int) -> str:
        """The name at a string offset; "" at 0."""
        return self.raw.name(offset).decode("utf-8", "replace") if offset else ""

    def owner(self, id: int) -> Btf:
        """The BTF that has this id: this one or its base."""
        return self.base if self.base is not None and id < self.first_id else self

    def type(self, id: int) -> Type:
        """The type of an id, complete. Raises `KernelError` for an unknown id."""
        try:
            return self.types.get(id)
        except (RecursionError, IndexError, ValueError) as error:
            raise KernelError(f"BTF is damaged at type {id}") from error

    # --- names ---------------------------------------------------------------------------------

    def id(self, kind: int, name: str) -> int | None:
        """The id of the type of this BTF_KIND with this name (enum and enum64 count as one), or None."""
        encoded, kind = name.encode(), k.ENUM if kind == k.ENUM64 else kind
        for id in self.index.candidates(kind, encoded):
            at = self.index.offsets[id - self.first_id]
            found = info_kind(self.raw.words[at + 1])
            if (k.ENUM if found == k.ENUM64 else found) == kind and self.raw.name(self.raw.words[at]) == encoded:
                return id
        return self.base.id(kind, name) if self.base else None

    def struct(self, name: str, tag: str = "struct") -> Struct | None:
        """The complete struct (or with `tag` "union", union) of that name."""
        id = self.id(k.UNION if tag == "union" else k.STRUCT, name)
        found = self.type(id) if id is not None else None
        return found if isinstance(found, Struct) else None

    def sized(self, tag: Literal["struct", "union"], name: str) -> int:
        """The size in bytes of a struct or union of that name, 0 if there is none."""
        id = self.id(k.UNION if tag == "union" else k.STRUCT, name)
        return 0 if id is None else self.record(id)[2]

    def enum(self, name: str) -> Enum | None:
        """The enum of that name."""
        id = self.id(k.ENUM, name)
        found = self.type(id) if id is not None else None
        return found if isinstance(found, Enum) else None

    def enumerator(self, name: str) -> tuple[int, Enum] | None:
        """The value of a member of any enum, and that enum."""
        for id in self.index.enums_with(name.encode()):
            found = self.type(id)
            if isinstance(found, Enum):
                for member, value in found.members:
                    if member == name:
                        return value, found
        return self.base.enumerator(name) if self.base else None

    def typedef(self, name: str) -> Type | None:
        """What a typedef stands for in the end, complete."""
        id = self.id(k.TYPEDEF, name)
        return None if id is None else self.type(id)

    def integer(self, name: str) -> Type | None:
        """A base type by the name that C's compiler gives it: `char`, `unsigned int`, `long long unsigned int`."""
        id = self.id(k.INT, name)
        return None if id is None else self.type(id)

    def function(self, name: str) -> Function | None:
        """A function with its parameters."""
        id = self.id(k.FUNC, name)
        return None if id is None else self._function(name, id, self.owner(id).record(id)[2])

    def find_function(self, name: str) -> Function | None:
        """A function of vmlinux or else of the first module that has it; its `module` says which."""
        found = self.function(name)
        if found is None and self.base is None:
            for module in self.modules:
                btf = self.modules.get(module)  # None if it was unloaded meanwhile
                found = btf.function(name) if btf else None
                if found:
                    break
        return found

    def _function(self, name: str, id: int, proto: int, skip: int = 0, names_from: int = 0) -> Function:
        record = self.owner(proto).record(proto)
        named = self.owner(names_from).record(names_from) if names_from else record
        if len(named) != len(record):
            named = record
        params: list[tuple[str, Type]] = []
        pairs = list(zip(named[3::2], record[4::2], strict=True))[skip:]
        variadic = bool(pairs) and pairs[-1] == (0, 0)
        opaque = {-1} if self._is_opaque(record[2]) else set()
        for at, (name_offset, type) in enumerate(pairs[: len(pairs) - variadic]):
            params.append((self.text(name_offset) or f"arg{at}", self.type(type)))
            if self._is_opaque(type):
                opaque.add(at)
        module = self.module if id >= self.first_id else ""
        result = self.type(record[2])
        return Function(name, tuple(params), result, id, module, variadic, proto, frozenset(opaque))

    def _is_opaque(self, id: int) -> bool:
        """See `Function.opaque`. Which pointers to numbers may be loaded depends on the kernel; all know those to
        bytes."""
        kind, record = self._stripped(id)
        if kind != k.PTR:
            return False
        kind, record = self._stripped(record[2])
        return kind not in (0, k.STRUCT, k.UNION) and not (kind == k.INT and record[2] == 1)

    def _stripped(self, id: int) -> tuple[int, list[int]]:
        """Kind and record of a type without its names and qualifiers; kind 0 is void."""
        while id:
            record = self.owner(id).record(id)
            kind = info_kind(record[1])
            if kind not in (k.TYPEDEF, k.VOLATILE, k.CONST, k.RESTRICT, k.TYPE_TAG):
                return kind, record
            id = record[2]
        return 0, []

    def tracepoint(self, name: str) -> Function | None:
        """The arguments of the raw tracepoint `name`: the typedef `btf_trace_NAME` without its leading `void *`.
        `id` is the typedef's, which tp_btf programs attach to."""
        id = self.id(k.TYPEDEF, f"btf_trace_{name}")
        if id is None:
            return None
        pointer = self.owner(id).record(id)[2]
        proto = self.owner(pointer).record(pointer)[2]
        # The typedef's parameters have no names; those of the functions made for the same tracepoint do.
        for function in (f"__traceiter_{name}", f"__probestub_{name}", f"__bpf_trace_{name}"):
            named = self.id(k.FUNC, function)
            if named is not None:
                return self._function(name, id, proto, 1, self.owner(named).record(named)[2])
        return self._function(name, id, proto, 1)

    # --- as C ----------------------------------------------------------------------------------

    def declaration(self, text: str) -> str | None:
        """The C definition of `struct NAME`, `union NAME` or `enum NAME`, or None if there is none."""
        from pytrace.kernel import btf_c

        keyword, _, name = text.partition(" ")
        kind = {"struct": k.STRUCT, "union": k.UNION, "enum": k.ENUM}.get(keyword)
        id = self.id(kind, name.strip()) if kind else None
        return None if id is None else btf_c.definition(self, id)

    def parameters(self, function: Function) -> list[str]:
        """`struct file * file`, …: the parameters of a function or tracepoint in C."""
        from pytrace.kernel import btf_c

        return btf_c.parameters(self, function)

    def returns(self, function: Function) -> str:
        """The C type that a function returns."""
        from pytrace.kernel import btf_c

        return btf_c.returns(self, function)

    # --- lists ---------------------------------------------------------------------------------

    def names(self, kind: int, pattern: str = "*") -> list[str]:
        """The sorted names of all functions, structs, unions, enums or typedefs that match a glob, not those of
        `base`."""
        return select(self.index.text(kind), pattern)

    def function_names(self, pattern: str = "*") -> list[str]:
        """The sorted names of all functions that match a glob."""
        return self.names(k.FUNC, pattern)

    def struct_names(self, pattern: str = "*", tag: str = "struct") -> list[str]:
        """The sorted names of all structs (or unions, by `tag`) that match a glob."""
        return self.names(k.UNION if tag == "union" else k.STRUCT, pattern)

    def enum_names(self, pattern: str = "*") -> list[str]:
        """The sorted names of all enums that match a glob."""
        return self.names(k.ENUM, pattern)

    def tracepoint_names(self, pattern: str = "*") -> list[str]:
        """The sorted names of all raw tracepoints that match a glob."""
        prefix = "btf_trace_"
        return [name[len(prefix) :] for name in self.names(k.TYPEDEF, prefix + pattern)]

    def iterators(self) -> list[str]:
        """The sorted names of the kernel's BPF iterators (`task`, `task_file`, …): each is a function
        `bpf_iter_NAME` whose context is `struct bpf_iter__NAME`."""
        prefix = "bpf_iter_"
        contexts = set(self.struct_names("bpf_iter__*"))
        names = [name[len(prefix) :] for name in self.function_names(prefix + "*")]
        return [name for name in names if f"bpf_iter__{name}" in contexts]

    def iterator(self, name: str) -> Function | None:
        """The function of an iterator, whose parameters are the members of its context."""
        return self.function(f"bpf_iter_{name}") if self.id(k.STRUCT, f"bpf_iter__{name}") else None

    @cached_property
    def modules(self) -> Mapping[str, Btf]:
        """The BTF of each loaded module, opened when it is asked for; empty before Linux 5.11."""
        return self.modules_in(BTF_DIRECTORY)

    def modules_in(self, directory: str) -> Mapping[str, Btf]:
        """Returns the BTFs in the files of a directory that have this one as their base, by name."""
        from pytrace.kernel.btf_modules import Modules

        def open_module(data: Blob, key: str, name: str) -> Btf:
            return Btf.open(data, key, base=self, module=name)

        return Modules(directory, open_module)
