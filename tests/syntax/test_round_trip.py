"""What the printer writes parses to the tree it was given, and prints the same again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings

from pytrace.diagnostics import Source
from pytrace.syntax import (
    ast,
    parse,
    parse_expression,
    parse_statements,
    print_expr,
    print_script,
    print_stmt,
)
from tests.syntax import strategies


@given(strategies.expressions)
@settings(max_examples=400, deadline=None)
def test_expression(tree: Any) -> None:
    text = print_expr(tree)
    again = parse_expression(Source("-e", text))
    assert again == tree, text
    assert print_expr(again) == text


@given(strategies.statements)
@settings(max_examples=200, deadline=None)
def test_statement(tree: Any) -> None:
    text = print_stmt(tree)
    assert parse_statements(Source("-e", text)) == (tree,), text


@given(strategies.scripts)
@settings(max_examples=150, deadline=None)
def test_script(tree: ast.Script) -> None:
    text = print_script(tree)
    again = parse(Source("-e", text))
    assert again == tree, text
    assert print_script(again) == text


WRITTEN = """\
#!/usr/bin/env pytrace
// About this script.
#include <linux/x.h>
#define A 1

struct foo { int x; // in a struct
 };
config = { a = 1e6; /* beside */ b = perf }
import "lib.bt"; import "more.bt";
// before the probe
begin { // first
  /* lead */
  @a = 0x10; // after a


  // before b
  $b = /* inner */ 5ms;
  if ($b) { // in if
     print(1);
     // end of block
  } // after if
  else if $b > (2) { print((2)); }
  else { print("\\x41\\n"); }
  $x = { $y = 1; if $y { 1 } else { 2 } };
  { f() }
  ({ 1 });
  // last
}
kprobe:f, uprobe:/bin/a:f /pid == 1 && (comm != "x")/ < @ = hist(5); >
macro m($a, b) { if b { $a } else { let $z = 2; $z } }
fn f($a:uint8,$b:struct x*):int64 { return -(-1); }
let @m = hash(100)
kprobe:g /(*$x)/ {}
/* two
   lines */
"""

CANONICAL = """\
#!/usr/bin/env pytrace

// About this script.
#include <linux/x.h>
#define A 1

struct foo { int x; // in a struct
 };

config = {
  a = 1e6; /* beside */
  b = perf;
}

import "lib.bt";
import "more.bt";

// before the probe
begin {
  // first
  /* lead */
  @a = 0x10; // after a

  // before b
  /* inner */
  $b = 5ms;
  if ($b) {
    // in if
    print(1);
    // end of block
  } else if ($b > 2) {
    // after if
    print(2);
  } else {
    print("A\\n");
  }
  $x = {
    $y = 1;
    $y ? 1 : 2
  };
  {
    f();
  }
  ({ 1 });
  // last
}

kprobe:f,
uprobe:/bin/a:f /pid == 1 && comm != "x"/ {
  @ = hist(5);
}

macro m($a, b) {
  b ? $a : {
    let $z = 2;
    $z
  }
}

fn f($a : uint8, $b : struct x *) : int64 {
  return -(-1);
}

let @m = hash(100);

kprobe:g /(*$x)/ {}

/* two
 lines */
"""


def test_canonical_form() -> None:
    tree = parse(Source("-e", WRITTEN))
    assert print_script(tree) == CANONICAL
    again = parse(Source("-e", CANONICAL))
    assert again == tree
    assert print_script(again) == CANONICAL


@given(strategies.expressions)
@settings(max_examples=50, deadline=None)
def test_nodes_are_frozen_dataclasses(tree: Any) -> None:
    assert dataclasses.is_dataclass(tree)
    assert dataclasses.replace(tree) == tree
    assert hash(dataclasses.replace(tree)) == hash(tree)
    elsewhere = dataclasses.replace(tree, span=dataclasses.replace(tree.span, start=7, end=9))
    assert elsewhere == tree
    with pytest.raises(dataclasses.FrozenInstanceError):
        tree.span = elsewhere.span
