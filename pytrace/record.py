"""Frozen dataclasses that cost nothing to define.

`@dataclass(frozen=True)` compiles half a dozen methods for every class: two hundred classes took 60 ms of every start,
and importing `dataclasses` another 10. `@record` makes classes that behave the same out of methods that all of them
share: construction by position and keyword with defaults, equality and hash by fields, `repr`, pattern matching,
`FrozenInstanceError`, inheritance, pickling. `dataclasses.fields`, `replace` and `asdict` work on them too.

A class that is made very often gets a compiled `__init__` of its own after a while (`COMPILE_AFTER`).
"""

from __future__ import annotations

from _operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field as DataclassField
    from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

    T = TypeVar("T")
else:
    # Importing `typing` is not needed to run, and costs 4 ms.

    def dataclass_transform(**_):
        return lambda function: function

    def overload(function):
        return function


COMPILE_AFTER = 200
"""Instances of a class after which compiling an `__init__` for it (0.1 ms) pays."""

_MISSING: Any = object()


class Field:
    """What is known of one field. `default` and `factory` are `_MISSING` where there is none."""

    __slots__ = ("compare", "default", "factory", "kw_only", "metadata", "name", "repr", "type")

    def __init__(
        self, default: Any, factory: Any, repr: bool, compare: bool, kw_only: bool | None, metadata: Any
    ) -> None:
        self.name = self.type = ""
        self.metadata = metadata
        self.default = default
        self.factory = factory
        self.repr = repr
        self.compare = compare
        self.kw_only = kw_only


def field(
    *,
    default: Any = _MISSING,
    default_factory: Callable[[], Any] | Any = _MISSING,
    repr: bool = True,
    compare: bool = True,
    kw_only: bool | None = None,
    metadata: Any = None,
) -> Any:
    """Like `dataclasses.field`."""
    return Field(default, default_factory, repr, compare, kw_only, metadata)


class Layout:
    """What the shared methods know of a class (`cls.__record__`)."""

    __slots__ = ("calls", "compared", "defaults", "factories", "fields", "key", "positional", "shown")

    def __init__(self, fields: dict[str, Field]) -> None:
        self.fields = fields
        self.positional = tuple([name for name, f in fields.items() if not f.kw_only])
        self.defaults = {name: f.default for name, f in fields.items() if f.default is not _MISSING}
        self.factories = {name: f.factory for name, f in fields.items() if f.factory is not _MISSING}
        self.compared = tuple([name for name, f in fields.items() if f.compare])
        self.shown = tuple([name for name, f in fields.items() if f.repr])
        self.key: Callable[[Any], Any] | None = None
        self.calls = 0

    def make_key(self) -> Callable[[Any], Any]:
        """What two instances are compared by."""
        self.key = attrgetter(*self.compared) if self.compared else lambda _: ()
        return self.key


def _init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    layout: Layout = self.__record__
    values = self.__dict__
    positional = layout.positional
    if layout.defaults:
        values.update(layout.defaults)
    if args:
        values.update(zip(positional, args))  # noqa: B905 - strict= costs, and the lengths are looked at below
    if kwargs:
        values.update(kwargs)
    if layout.factories:
        for name, factory in layout.factories.items():
            if name not in values:
                values[name] = factory()
    if (
        len(values) != len(layout.fields)
        or len(args) > len(positional)
        or (args and kwargs and not kwargs.keys().isdisjoint(positional[: len(args)]))
    ):
        _refuse(type(self), layout, args, kwargs)
    layout.calls += 1
    if layout.calls == COMPILE_AFTER:
        _compile(type(self), layout)


def _refuse(cls: type, layout: Layout, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
    name = cls.__name__
    if len(args) > len(layout.positional):
        raise TypeError(f"{name}() takes {len(layout.positional)} positional arguments, {len(args)} were given")
    given = {*layout.positional[: len(args)]}
    for key in kwargs:
        if key not in layout.fields:
            raise TypeError(f"{name}() has no argument {key!r}")
        if key in given:
            raise TypeError(f"{name}() got two values for argument {key!r}")
    known = {*given, *kwargs, *layout.defaults, *layout.factories}
    raise TypeError(f"{name}() is missing {', '.join(repr(key) for key in layout.fields if key not in known)}")


def _compile(cls: type, layout: Layout) -> None:
    """Gives the class that brought `layout` an `__init__` of its own."""
    owner = next(c for c in cls.__mro__ if c.__dict__.get("__record__") is layout)
    if owner.__dict__.get("__init__") is not _init:
        return
    scope: dict[str, Any] = {"MISSING": _MISSING}
    words: list[str] = []
    lines: list[str] = []
    optional = starred = False
    for f in sorted(layout.fields.values(), key=lambda f: bool(f.kw_only)):
        if f.kw_only and not starred:
            starred = True
            words.append("*")
        name, value, default = f.name, f.name, ""
        if f.factory is not _MISSING:
            scope[f"factory_{name}"] = f.factory
            default, value = "MISSING", f"factory_{name}() if {name} is MISSING else {name}"
        elif f.default is not _MISSING:
            scope[f"default_{name}"] = f.default
            default = f"default_{name}"
        elif optional and not f.kw_only:
            return  # it can be made by keywords only; the shared method knows how
        optional |= bool(default)
        words.append(f"{name}={default}" if default else name)
        lines.append(f"_self.__dict__[{name!r}] = {value}")
    if lines:
        body = "\n ".join(lines)
        exec(f"def __init__({', '.join(['_self', '/', *words])}):\n {body}", scope)
        type.__setattr__(owner, "__init__", scope["__init__"])


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    layout: Layout = self.__record__
    key = layout.key or layout.make_key()
    return key(self) == key(other)


def _hash(self: Any) -> int:
    layout: Layout = self.__record__
    key = layout.key or layout.make_key()
    return hash((self.__class__, key(self)))


def _repr(self: Any) -> str:
    values = self.__dict__
    return f"{type(self).__qualname__}({', '.join([f'{name}={values[name]!r}' for name in self.__record__.shown])})"


def _setattr(self: Any, name: str, value: Any) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> NoReturn:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


class _DataclassFields:
    """`__dataclass_fields__`, made when somebody asks."""

    def __get__(self, instance: Any, owner: Any) -> dict[str, DataclassField[Any]]:
        import dataclasses

        made: dict[str, Any] = {}
        for name, f in owner.__record__.fields.items():
            settings: dict[str, Any] = {"repr": f.repr, "compare": f.compare, "kw_only": bool(f.kw_only)}
            settings["metadata"] = f.metadata
            if f.default is not _MISSING:
                settings["default"] = f.default
            if f.factory is not _MISSING:
                settings["default_factory"] = f.factory
            made[name] = dataclasses.field(**settings)
            made[name].name = name
            made[name].type = f.type
            made[name]._field_type = dataclasses._FIELD  # type: ignore[attr-defined]
        return made


_FIELDS = _DataclassFields()


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T], /) -> type[T]: ...


@overload
def record(*, frozen: bool = True, eq: bool = True, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...  # noqa: F811 - an overload


def record(cls: Any = None, /, *, frozen: bool = True, eq: bool = True, kw_only: bool = False) -> Any:  # noqa: F811
    """Makes a class a frozen dataclass of its annotations, after those of its bases.

    With `frozen=False` its fields can be assigned to and it cannot be hashed; with `eq=False` two
    instances are equal only if they are the same.
    """
    if cls is None:
        return lambda c: _make(c, frozen, eq, kw_only)
    return _make(cls, frozen, eq, kw_only)


def _make(cls: Any, frozen: bool, eq: bool, kw_only: bool) -> Any:
    fields: dict[str, Field] = {}
    for base in reversed(cls.__mro__[1:]):
        inherited = base.__dict__.get("__record__")
        if inherited is not None:
            fields.update(inherited.fields)
    own = cls.__dict__
    for name, annotation in cls.__annotations__.items():
        if annotation.startswith("ClassVar"):
            continue
        given = own.get(name, _MISSING)
        if isinstance(given, Field):
            # The class keeps a default as an attribute, as dataclasses do; without one there is no attribute.
            if given.default is _MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, given.default)
        else:
            given = Field(given, _MISSING, True, True, None, None)
        if given.kw_only is None:
            given.kw_only = kw_only
        given.name = name
        given.type = annotation
        fields[name] = given
    layout = Layout(fields)
    methods: dict[str, Any] = {"__record__": layout, "__dataclass_fields__": _FIELDS, "__init__": _init}
    if "__match_args__" not in own:
        methods["__match_args__"] = layout.positional
    if "__repr__" not in own:
        methods["__repr__"] = _repr
    if eq:
        if "__eq__" not in own:
            methods["__eq__"] = _eq
        if own.get("__hash__") is None:
            methods["__hash__"] = _hash if frozen else None
    if frozen:
        methods["__setattr__"] = _setattr
        methods["__delattr__"] = _delattr
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls


def is_record(value: object) -> bool:
    """Whether it is an instance of a class that `record` made."""
    return hasattr(type(value), "__record__")


def fields(value: Any) -> tuple[Field, ...]:
    """The fields of a record or of its class, in order. Raises `TypeError` for anything else."""
    layout = getattr(value, "__record__", None)
    if layout is None:
        raise TypeError(f"{value!r} is not a record")
    return tuple(layout.fields.values())


if TYPE_CHECKING:
    # The checker knows which changes a class allows.
    from dataclasses import replace as replace
else:

    def replace(value, /, **changes):
        """A copy of a record with some fields changed. Raises `TypeError` for a field that it does not have."""
        values = value.__dict__
        return type(value)(**{**{name: values[name] for name in value.__record__.fields}, **changes})
