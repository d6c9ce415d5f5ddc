"""Values in the forms that bpftrace 0.27 accepts and refuses in a config block and in the environment."""

from __future__ import annotations

import pytest

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.semantics.config import KEYS, Config, Value, configure
from pytrace.syntax import ast


def block(text: str, entries: list[tuple[str, ast.Expr | str | Value]]) -> ast.Config:
    span = Span(Source("t", text), 0, len(text))

    def node(value: ast.Expr | str | Value) -> ast.Expr | str:
        match value:
            case bool():
                return ast.Boolean(value, span=span)
            case int():
                return ast.Integer(value, span=span)
            case _:
                return value

    return ast.Config(tuple(ast.ConfigEntry(k, node(v), span=span) for k, v in entries), span=span)


def one(key: str, value: ast.Expr | str | Value) -> tuple[Config, list[str]]:
    found = Diagnostics()
    config = configure(block("config", [(key, value)]), found, environ={})
    return config, [f"{d.severity}: {d.message}" for d in found]


def test_defaults_are_those_of_the_reference() -> None:
    config = configure(None, Diagnostics(), environ={})
    assert config == Config()
    assert (config.max_map_keys, config.max_strlen, config.on_stack_limit) == (4096, 1024, 32)
    assert dict(config.record())["license"] == "GPL"
    assert "cache_user_symbols" not in dict(config.record())
    assert set(dict(config.items())) == set(KEYS)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_map_keys", 10, 10),
        ("max_map_keys", "0x10", 16),
        ("max_map_keys", "1e3", 1000),
        ("max_map_keys", True, 1),
        ("MAX_STRLEN", 5, 5),
        ("bpftrace_max_strlen", 4, 4),
        ("print_maps_on_exit", "no", False),
        ("print_maps_on_exit", "FALSE", False),
        ("print_maps_on_exit", "off", False),
        ("print_maps_on_exit", 2, True),
        ("unstable_tseries", 1, "enable"),
        ("unstable_tseries", 0, "error"),
        ("unstable_tseries", "Enable", "enable"),
        ("unstable_tseries", "1", "enable"),
        ("str_trunc_trailer", 12, "12"),
        ("str_trunc_trailer", True, "1"),
        ("cache_user_symbols", "per_pid", "PER_PID"),
        ("license", "GPL v2", "GPL v2"),
    ],
)
def test_accepted_forms(key: str, value: Value, expected: Value) -> None:
    config, messages = one(key, value)
    assert messages == []
    assert getattr(config, key.lower().removeprefix("bpftrace_")) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_map_keys", "foo", "error: max_map_keys: expecting a number, got 'foo'"),
        ("max_map_keys", "12abc", "error: max_map_keys: expecting a number, got '12abc'"),
        ("max_map_keys", "", "error: max_map_keys: expecting a number, got ''"),
        ("max_map_keys", 0, "error: max_map_keys: 0 is not between 1 and 4294967295"),
        ("cpp_demangle", "t", "error: cpp_demangle: invalid boolean: valid values are true, false, 1 and 0"),
        (
            "stack_mode",
            "PERF",
            "error: stack_mode: invalid value 'PERF': valid values are bpftrace, perf, raw and build_id",
        ),
        ("missing_probes", 1, "error: missing_probes: invalid value '1': valid values are error, warn and ignore"),
        (
            "unstable_tseries",
            "foo",
            "error: unstable_tseries: invalid value 'foo': valid values are enable, warn and error",
        ),
        ("btf", "x", "error: btf: can only be set as an environment variable"),
        ("color", "never", "error: color: not a known configuration option"),
        ("symbol_source", "dwarf", "warning: symbol_source is deprecated and has no effect"),
    ],
)
def test_refused_forms(key: str, value: Value, message: str) -> None:
    config, messages = one(key, value)
    assert messages == [message]
    assert config == Config()


def test_unknown_key_names_the_nearest() -> None:
    found = Diagnostics()
    configure(block("config = { max_map_kys = 1 }", [("max_map_kys", 1)]), found, environ={})
    assert [d.hint for d in found] == ["did you mean 'max_map_keys'?"]


def test_renamed_keys_keep_their_meaning() -> None:
    config, messages = one("no_cpp_demangle", True)
    assert config.cpp_demangle is False
    assert messages == ["warning: no_cpp_demangle has been renamed, please use cpp_demangle"]


def test_an_expression_is_no_value() -> None:
    span = Span(Source("t", "1+1"), 0, 3)
    total = ast.Binary("+", ast.Integer(1, span=span), ast.Integer(1, span=span), span=span)
    assert one("max_probes", total)[1] == ["error: max_probes: expected a string, a number, a boolean or a word"]


def test_environment_wins_and_pytrace_over_bpftrace() -> None:
    entries = block("c", [("max_strlen", 1), ("max_probes", 1), ("log_size", 1)])
    environ = {"BPFTRACE_MAX_STRLEN": "2", "PYTRACE_MAX_STRLEN": "3", "BPFTRACE_MAX_PROBES": "0x20"}
    config = configure(entries, Diagnostics(), environ=environ)
    assert (config.max_strlen, config.max_probes, config.log_size) == (3, 32, 1)
    assert configure(entries, Diagnostics(), environ=environ, options={"max_strlen": 4}).max_strlen == 4


def test_environment_mistakes_are_diagnosed_and_ignored() -> None:
    found = Diagnostics()
    config = configure(block("c", [("max_strlen", 7)]), found, environ={"BPFTRACE_MAX_STRLEN": "foo"})
    assert config.max_strlen == 7
    (mistake,) = found
    assert mistake.render() == (
        "environment:1:1-15: ERROR: max_strlen: expecting a number, got 'foo'\nMAX_STRLEN=foo\n~~~~~~~~~~~~~~"
    )


def test_unknown_option_of_the_caller() -> None:
    found = Diagnostics()
    configure(None, found, environ={}, options={"max_strln": 1})
    assert [(d.message, d.hint) for d in found] == [
        ("max_strln: not a known configuration option", "did you mean 'max_strlen'?")
    ]
