"""Frozen dataclasses that cost nothing to define.

`@dataclass(frozen=True)` compiles six methods for every class: 60 kinds of node took 20 ms of every start. `@node`
makes classes that behave the same (keyword and positional construction, equality and hash by fields, `repr`, pattern
matching, `dataclasses.fields`/`replace`/`asdict`, `FrozenInstanceError`) out of methods shared by all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import Field

T = TypeVar("T")


class NodeField:
    """The default of a field, and whether it is shown and compared."""

    __slots__ = ("compare", "default", "kw_only", "repr")

    def __init__(self, default: Any, repr: bool, compare: bool, kw_only: bool) -> None:
        self.default = default
        self.repr = repr
        self.compare = compare
        self.kw_only = kw_only


_MISSING: Any = object()


def field(*, default: Any = _MISSING, repr: bool = True, compare: bool = True, kw_only: bool = False) -> Any:
    """Like `dataclasses.field`."""
    return NodeField(default, repr, compare, kw_only)


class _Fields:
    """`__dataclass_fields__`, made when somebody asks: `dataclasses` need not be imported to define nodes."""

    def __get__(self, instance: Any, owner: Any) -> dict[str, Field[Any]]:
        import dataclasses

        made = owner.__dict__.get("_dataclass_fields")
        if made is None:
            made = {}
            for name, spec in owner._specs.items():
                settings: dict[str, Any] = {"repr": spec.repr, "compare": spec.compare, "kw_only": spec.kw_only}
                if spec.default is not _MISSING:
                    settings["default"] = spec.default
                made[name] = dataclasses.field(**settings)
                made[name].name = name
                made[name].type = owner._annotations[name]
                made[name]._field_type = dataclasses._FIELD  # type: ignore[attr-defined]
            owner._dataclass_fields = made
        fields: dict[str, Field[Any]] = made
        return fields


class Base:
    """The methods that all nodes share."""

    _specs: dict[str, NodeField] = {}  # noqa: RUF012 - frozen in effect; ClassVar would cost an import
    _annotations: dict[str, str] = {}  # noqa: RUF012
    _positional: tuple[str, ...] = ()
    _keywords: frozenset[str] = frozenset()
    _defaults: dict[str, Any] = {}  # noqa: RUF012
    _compared: tuple[str, ...] = ()
    _shown: tuple[str, ...] = ()
    __dataclass_fields__ = _Fields()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        values = self.__dict__
        positional = self._positional
        if self._defaults:
            values.update(self._defaults)
        values.update(zip(positional, args, strict=False))
        values.update(kwargs)
        if len(values) != len(self._specs) or len(args) > len(positional) or len(args) + len(kwargs) > len(values):
            self._refuse(args, kwargs)

    def _refuse(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        name = type(self).__name__
        if len(args) > len(self._positional):
            raise TypeError(f"{name}() takes {len(self._positional)} positional arguments, {len(args)} were given")
        given = [*self._positional[: len(args)], *kwargs]
        for key in kwargs:
            if key not in self._specs:
                raise TypeError(f"{name}() has no argument {key!r}")
            if given.count(key) > 1:
                raise TypeError(f"{name}() got two values for argument {key!r}")
        missing = [key for key in self._specs if key not in given and key not in self._defaults]
        if missing:
            raise TypeError(f"{name}() is missing {', '.join(map(repr, missing))}")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__
        return all(mine[name] == theirs[name] for name in self._compared)

    def __hash__(self) -> int:
        values = self.__dict__
        return hash((self.__class__, *(values[name] for name in self._compared)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._shown)
        return f"{type(self).__name__}({shown})"

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot delete field {name!r}")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(cls: type[T]) -> type[T]:
    """Makes a subclass of `Base` a frozen dataclass of its annotations, after those of its bases."""
    specs: dict[str, NodeField] = dict(cls._specs)  # type: ignore[attr-defined]
    annotations: dict[str, str] = dict(cls._annotations)  # type: ignore[attr-defined]
    for name, annotation in cls.__annotations__.items() if "__annotations__" in cls.__dict__ else ():
        given = cls.__dict__.get(name, _MISSING)
        if isinstance(given, NodeField):
            delattr(cls, name)
        else:
            given = NodeField(given, True, True, False)
        specs[name] = given
        annotations[name] = annotation
    made: Any = cls
    made._specs = specs
    made._annotations = annotations
    made._positional = tuple(n for n, s in specs.items() if not s.kw_only)
    type.__setattr__(made, "__match_args__", made._positional)
    made._defaults = {n: s.default for n, s in specs.items() if s.default is not _MISSING}
    made._compared = tuple(n for n, s in specs.items() if s.compare)
    made._shown = tuple(n for n, s in specs.items() if s.repr)
    return cls
