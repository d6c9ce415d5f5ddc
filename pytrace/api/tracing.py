"""`pytrace.trace`: a script, compiled and set to work in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytrace.api.compiling import compile_for
from pytrace.api.core import OnEvent
from pytrace.api.session import Session
from pytrace.api.streams import STDOUT
from pytrace.kernel.privileges import require
from pytrace.program import Program

if TYPE_CHECKING:
    from pytrace.api.options import CompileOptions
    from pytrace.api.streams import Format, TextStream
    from pytrace.api.warn import OnWarning
    from pytrace.output import Renderer, Resolver


def trace(
    script: str | Program,
    *,
    params: Sequence[str | int] = (),
    named: Mapping[str, str | bool] | None = None,
    options: CompileOptions | None = None,
    name: str = "<script>",
    pid: int = 0,
    dwarf_pids: Sequence[int] = (),
    command: str | Sequence[str] | None = None,
    on_event: OnEvent | None = None,
    output: TextStream | int | None = STDOUT,
    format: Format = "text",
    renderer: Renderer | Callable[[Resolver], Renderer] | None = None,
    on_warning: OnWarning | None = None,
) -> Session:
    """A session of a script, for `with`: attached inside the block, its maps readable there and afterwards; or to
    `follow`, as the command line does.

    `params`, `named`, `options` and `name` are those of `compile`; `dwarf_pids`, `on_event`, `output`, `format`,
    `renderer` and `on_warning` those of `Session`. With `pid` only this process is traced, and its end is the
    session's. `command` (split as a shell would, but no shell runs) starts when everything is attached; its end is the
    session's, and the session's end is its.

    Raises `PrivilegeError`, `ScriptError`, and what a `Session` raises when it starts.
    """
    require()
    chosen: CompileOptions = {"timestamps": on_event is not None, "pid": pid, **(options or {})}
    child = None
    if command is not None:
        from pytrace.runtime import Child

        child = Child(command)
    try:
        program = (
            script
            if isinstance(script, Program)
            else compile_for(
                script,
                name=name,
                params=params,
                named=named,
                options=chosen,
                cpid=child.pid if child else 0,
                on_warning=on_warning,
                stacklevel=3,
            )
        )
        session = Session(
            program,
            pid=pid,
            dwarf_pids=dwarf_pids,
            on_event=on_event,
            output=output,
            format=format,
            renderer=renderer,
            options=chosen,
            on_warning=on_warning,
            child=child,
        )
        session._allowed = True
        return session
    except BaseException:
        if child is not None:
            child.close()
        raise
