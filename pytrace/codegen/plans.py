"""Which BPF programs a script becomes.

Bodies on the same places are one program that runs them in the script's order: programs of their own would run in that
of the kernel, which for most kinds of links begins with the one that came last. A function's entry and its return are
one program where the kernel has such links. System calls' points on one raw tracepoint are one that dispatches on the
number. A body that asks which of its points fired gets a program for each, where nothing else tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytrace.probes.base import Point
from pytrace.probes.lowering import session
from pytrace.program import Kprobe, KprobeMulti, Tracing, Uprobe, UprobeMulti
from pytrace.record import fields, record, replace
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.kernel import Kernel

MAX_MAPS = 54
"""Of the script's maps in one program: the kernel allows 64 maps, and ring, counters, stacks, … are among them."""


@record
class Body:
    """A probe's body in a program, for some of its points: all of them, or one."""

    probe: typed.Probe
    points: tuple[Point, ...]
    fixed: int | None
    """Which of the probe's points it is, if only one."""
    maps: frozenset[int]
    """The maps that it uses, each as its `id`."""
    again: bool = False
    """Whether it is one of the points of another body, named once more."""


@record
class Plan:
    """A BPF program to be: its bodies run one after the other. All have the same places, unless they are told apart by
    `dispatch`. With `entering`, so many of them are for the entry of functions, and the others for their return."""

    name: str
    bodies: tuple[Body, ...]
    dispatch: bool = False
    entering: int = 0

    @property
    def points(self) -> tuple[Point, ...]:
        return tuple(p for body in self.bodies for p in body.points)


class Group:
    """Bodies on the same places, in the script's order."""

    def __init__(self, body: Body, places: frozenset[object]) -> None:
        self.bodies = [body]
        self.places = places
        self._maps = body.maps

    @property
    def first(self) -> Body:
        return self.bodies[0]

    def take(self, body: Body) -> bool:
        """Adds a body, if the kernel allows a program that uses the maps of all of them."""
        maps = self._maps | body.maps
        if len(maps) > MAX_MAPS:
            return False
        self._maps = maps
        self.bodies.append(body)
        return True


def plan(script: typed.Script, kernel: Kernel, *, joined: bool = True) -> list[Plan]:
    """Which programs there will be. Unless `joined`, bodies on the same places are not put together."""
    groups: list[Group] = []
    latest: dict[object, Group] = {}
    dispatched: dict[object, Group] = {}
    for probe in script.probes:
        for body in _bodies(probe):
            point = body.points[0]
            if point.guard is None:
                _add(body, groups, latest if joined else {})
                continue
            key = (point.attach, point.context.attach_btf, point.context.prog_type)
            if key not in dispatched or not dispatched[key].take(body):
                groups.append(Group(body, frozenset()))
                dispatched[key] = groups[-1]
    sessions = _sessions(groups, kernel)
    paired = {id(leave) for leave, _ in sessions.values()}
    plans: list[Plan] = []
    for group in groups:
        if id(group) in paired:
            continue
        name = f"p{len(plans)}"
        if id(group) in sessions:
            plans.append(Plan(name, sessions[id(group)][1], entering=len(group.bodies)))
        else:
            plans.append(Plan(name, tuple(group.bodies), dispatch=group.first.points[0].guard is not None))
    return plans


def _bodies(probe: typed.Probe) -> Iterator[Body]:
    points = probe.points
    if not points:
        return
    maps = _maps(probe)
    if len(points) == 1:
        yield Body(probe, points, 0, maps)
    elif points[0].guard is not None or not probe.uses_probe or _has_cookies(points):
        yield Body(probe, points, None, maps)
        yield from (Body(probe, (points[i],), i, maps, again=True) for i in _doubles(points))
    else:
        for i, point in enumerate(points):
            yield Body(probe, (point,), i, maps)


def _doubles(points: tuple[Point, ...]) -> Iterator[int]:
    """Which points are named once more, where one program is attached to a place only once: the body is to run for each
    time."""
    seen = set()
    for i, point in enumerate(points):
        key = (point.attach, point.guard, point.context.attach_btf, point.context.attach_module)
        if key in seen and not isinstance(point.attach, KprobeMulti | UprobeMulti):
            yield i
        seen.add(key)


def _has_cookies(points: tuple[Point, ...]) -> bool:
    return all(isinstance(p.attach, KprobeMulti | UprobeMulti) for p in points)


# --- bodies on the same places -----------------------------------------------------------------------------------


def _add(body: Body, groups: list[Group], latest: dict[object, Group]) -> None:
    """Adds a body to the last group that has something of its places in common, if it has them all in common, or as a
    group of its own. `latest` has the last group of each place."""
    places = _places(body)
    common = {id(group): group for group in map(latest.get, places) if group is not None}
    if len(common) == 1:
        (group,) = common.values()
        if _is_same(group.first, body) and group.take(body):
            return
    groups.append(Group(body, places))
    latest.update(dict.fromkeys(places, groups[-1]))


def _places(body: Body) -> frozenset[object]:
    """Where a body runs, of the kinds of places whose programs run in an order that is not that of their attaching."""
    found: set[object] = set()
    for point in body.points:
        match point.attach:
            case Uprobe(path, offset, returns):
                found.add((path, offset, returns))
            case UprobeMulti(path, offsets):
                found.update((path, offset, point.attach.returns) for offset in offsets)
            case Kprobe(function, offset, address, returns):
                found.add((function, offset, address, returns))
            case KprobeMulti(functions):
                found.update((function, 0, 0, point.attach.returns) for function in functions)
            case Tracing(target):
                context = point.context
                found.add((context.attach_module, context.attach_btf, context.expected_attach_type, target))
    return frozenset(found)


def _is_same(one: Body, other: Body) -> bool:
    """Whether one program can run both: they are attached alike."""

    def ways(body: Body) -> list[object]:
        return [
            (p.attach, c.prog_type, c.expected_attach_type, c.attach_btf, c.attach_module, c.sleepable, c.returns)
            for p in body.points
            for c in (p.context,)
        ]

    return ways(one) == ways(other)


def _maps(probe: typed.Probe) -> frozenset[int]:
    found = (getattr(node, "map", None) for node in nodes((probe.body, probe.predicate)))
    return frozenset(id(symbol) for symbol in found if isinstance(symbol, typed.MapSymbol))


# --- entry and return ------------------------------------------------------------------------------------------------


def _sessions(groups: Sequence[Group], kernel: Kernel) -> dict[int, tuple[Group, tuple[Body, ...]]]:
    """By the `id` of the group for the entry of functions: the one for their return, and the bodies of both as they are
    in one program, which runs where the first stands. Each is in one pair at most."""
    found: dict[int, tuple[Group, tuple[Body, ...]]] = {}
    places: dict[object, list[int]] = {}
    returning: dict[frozenset[object], list[int]] = {}
    for i, group in enumerate(groups):
        for place in group.places:
            places.setdefault(place, []).append(i)
        if getattr(group.first.points[0].attach, "returns", False):
            returning.setdefault(_functions(group), []).append(i)
    for i, enter in enumerate(groups):
        if getattr(enter.first.points[0].attach, "returns", True):
            continue
        for j in returning.get(_functions(enter), ()):
            leave = groups[j]
            both = session(enter.first.points, leave.first.points, kernel)
            if both is None or any(min(i, j) < k < max(i, j) for place in leave.places for k in places[place]):
                continue
            first, second = both
            room = Group(enter.first, frozenset())
            if not all(room.take(body) for body in (*enter.bodies[1:], *leave.bodies)):
                continue
            bodies = [_in_session(body, first) for body in enter.bodies]
            bodies += [_in_session(body, second) for body in leave.bodies]
            found[id(enter)] = leave, tuple(bodies)
            returning[_functions(enter)].remove(j)
            break
    return found


def _functions(group: Group) -> frozenset[object]:
    """The places of a group, whether they are the entry or the return of functions."""
    return frozenset(place[:-1] for place in group.places if isinstance(place, tuple))


def _in_session(body: Body, points: tuple[Point, ...]) -> Body:
    """The body with the attachment of `points`, which are its own in a session."""
    changed = (
        replace(
            p,
            attach=s.attach,
            context=replace(p.context, expected_attach_type=s.context.expected_attach_type),
        )
        for p, s in zip(body.points, points, strict=True)
    )
    return replace(body, points=tuple(changed))


def nodes(node: object) -> Iterator[object]:
    """Everything below a typed node, subprograms' bodies included."""
    waiting = [node]
    while waiting:
        yield (node := waiting.pop())
        if isinstance(node, tuple):
            waiting += node[::-1]
        elif isinstance(node, typed.SubprogramSymbol):
            waiting.append(node.body)
        elif isinstance(node, typed.Node):
            values = [getattr(node, f.name) for f in fields(node) if f.name not in ("span", "type")]
            waiting += [v for v in values if isinstance(v, tuple | typed.SubprogramSymbol | typed.Node)][::-1]
