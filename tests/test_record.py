"""Records against what they stand for: the same classes made by `dataclasses`."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from functools import cached_property
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace import record as records
from pytrace.record import field, fields, is_record, record, replace


@record
class Point:
    x: int
    y: int = 0
    label: str = field(default="", repr=False, compare=False)
    kind: ClassVar[str] = "point"

    @cached_property
    def total(self) -> int:
        return self.x + self.y


@record
class Base:
    span: object = field(repr=False, compare=False, kw_only=True)


@record
class Leaf(Base):
    name: str
    parts: tuple[Any, ...] = ()


@record(kw_only=True)
class Settings:
    depth: int = 3
    width: int


@record(frozen=False)
class Bag:
    items: list[int] = field(default_factory=list)
    count: int = 0


@record(eq=False, frozen=False)
class Symbol:
    name: str


@record
class Empty:
    pass


@record
class Own:
    x: int

    def __repr__(self) -> str:
        return "mine"

    def __eq__(self, other: object) -> bool:
        return True


class Undecorated(Point):
    pass


def twin(**settings: Any) -> Any:
    """The dataclass with Point's fields."""
    return dataclasses.make_dataclass(
        "Point",
        [("x", int), ("y", int, 0), ("label", str, dataclasses.field(default="", repr=False, compare=False))],
        frozen=True,
        **settings,
    )


CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2), {}),
    ((1, 2, "l"), {}),
    ((1,), {"label": "l"}),
    ((), {"x": 1}),
    ((), {"y": 1}),
    ((), {"label": "a", "y": 2, "x": 1}),
    ((1, 2, "l", 4), {}),
    ((1,), {"x": 1}),
    ((1, 2), {"y": 1}),
    ((1,), {"z": 1}),
    ((), {"x": 1, "z": 1}),
]


@pytest.fixture(params=["shared", "compiled"])
def point(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A class like Point, that is constructed by the shared method or by one compiled for it."""
    monkeypatch.setattr(records, "COMPILE_AFTER", 1 if request.param == "compiled" else 10**9)

    @record
    class Point:
        x: int
        y: int = 0
        label: str = field(default="", repr=False, compare=False)

    Point(1)
    return Point


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_construction(point: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        expected = twin()(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            point(*args, **kwargs)
        return
    made = point(*args, **kwargs)
    assert vars(made) == vars(expected)
    assert repr(made).endswith(repr(expected))
    assert made == replace(made) and hash(made) == hash(replace(made))


def test_construction_is_compiled_after_a_while(point: Any) -> None:
    compiled = point.__init__ is not Empty.__init__
    assert compiled == (records.COMPILE_AFTER == 1)


@given(st.integers(), st.integers(), st.integers(), st.integers(), st.text())
def test_equality_is_that_of_the_compared_fields(a: int, b: int, c: int, d: int, label: str) -> None:
    left, right = Point(a, b, label), Point(c, d)
    assert (left == right) == ((a, b) == (c, d))
    assert left == Point(a, b) and hash(left) == hash(Point(a, b))
    assert len({left, Point(a, b), Point(a, b, "x")}) == 1


def test_equality_asks_for_the_same_class() -> None:
    assert Point(1) != Undecorated(1) and Point(1) != (1, 0) and Empty() == Empty() != Point(1)
    assert repr(Undecorated(1, 2)) == "Undecorated(x=1, y=2)"
    assert hash(Empty()) == hash(Empty())


def test_what_a_class_defines_itself_stays() -> None:
    assert repr(Own(1)) == "mine" and Own(1) == 7 and hash(Own(1)) == hash(Own(1))


def test_frozen() -> None:
    p = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del p.x
    assert p.x == 1 and p.total == 1 and p == Point(1), "a cached property is no field"
    assert "total" not in repr(p)


def test_not_frozen() -> None:
    bag, other = Bag(), Bag()
    bag.items.append(1)
    bag.count = 5
    assert (bag.items, bag.count, other.items) == ([1], 5, []) and bag != other
    assert Bag([2]).items == [2]
    with pytest.raises(TypeError):
        hash(bag)
    a, b = Symbol("x"), Symbol("x")
    assert a != b and a == a and len({a, b}) == 2


def test_keyword_only_fields_come_after_positional_ones_of_subclasses() -> None:
    leaf = Leaf("n", (1,), span="s")
    assert (leaf.name, leaf.parts, leaf.span) == ("n", (1,), "s")
    assert leaf == Leaf("n", (1,), span="elsewhere")
    with pytest.raises(TypeError, match="span"):
        Leaf("n")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Leaf("n", (), "s")  # type: ignore[misc]
    assert Settings(width=1) == Settings(depth=3, width=1)
    for _ in range(2 * records.COMPILE_AFTER):
        assert Settings(width=2).depth == 3 and Leaf("m", span=0).parts == ()


def test_matching() -> None:
    match Leaf("n", (1, 2), span=None):
        case Leaf(name, (first, *_)):
            assert (name, first) == ("n", 1)
        case _:
            raise AssertionError
    assert Point.__match_args__ == ("x", "y", "label")  # type: ignore[attr-defined]


def test_replace_and_fields() -> None:
    p = Point(1, 2, "l")
    assert replace(p, y=3) == Point(1, 3) and replace(p, y=3).label == "l"
    with pytest.raises(TypeError):
        replace(p, z=1)  # type: ignore[call-arg]
    assert [(f.name, f.type, f.compare, f.kw_only) for f in fields(Leaf)] == [
        ("span", "object", False, True),
        ("name", "str", True, False),
        ("parts", "tuple[Any, ...]", True, False),
    ]
    assert fields(p) == fields(Point)
    assert is_record(p) and not is_record(Point) and not is_record(3)
    with pytest.raises(TypeError):
        fields(3)


def test_dataclasses_take_them_for_their_own() -> None:
    p = Point(1, 2, "l")
    assert dataclasses.is_dataclass(p) and dataclasses.asdict(p) == {"x": 1, "y": 2, "label": "l"}
    assert dataclasses.replace(p, x=5) == Point(5, 2)
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "y", "label"]
    assert Point.y == 0 and not hasattr(Point, "x")


def test_copies() -> None:
    leaf = Leaf("n", (Point(1),), span=[1])
    for same in (copy.copy(leaf), copy.deepcopy(leaf), pickle.loads(pickle.dumps(leaf))):
        assert same == leaf and same.span == [1] and hash(same) == hash(leaf)


def test_defining_one_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from pytrace.record import record, replace\n"
        "@record\nclass A:\n x: 'int' = 1\n"
        "assert replace(A(), x=2) == A(2)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert set(out.split()) <= {"__future__", "_operator", "pytrace", "pytrace.record"}
