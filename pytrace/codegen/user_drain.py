"""The loop of the user half, as LLVM IR text: it walks the ring and calls the function of each event.

The protocol with the kernel is that of kernel/bpf/ringbuf.c: a record is there once the producer position, read with
acquire semantic, is past it and its header does not say BUSY; storing the consumer position with release semantic gives
its room back. Records start at multiples of 8 and never wrap, as the data area is mapped twice.
"""

from __future__ import annotations

from pytrace.nativestate import EMPTY, FULL, HAND_OVER, Word

# Bytes given back to the kernel at a time: often enough for producers, rarely enough not to fight over a cache line.
_RELEASE = 16 * 1024


def _load(word: Word) -> str:
    name = word.name.lower()
    return f"  %{name}_at = getelementptr i64, ptr %s, i64 {int(word)}\n  %{name} = load i64, ptr %{name}_at\n"


def drain_loop(bound: int, cases: list[tuple[int, int]], strangers_from: int) -> str:
    """The entry. `cases` are the native events: id and the least length of a record; `bound` is the most that any of
    them writes. Records of other events below `strangers_from` are counted and handed over."""
    loads = "".join(
        _load(w) for w in Word if w not in (Word.RECORD, Word.LENGTH, Word.TRAILER, Word.TRAILER_SIZE, Word.TTY)
    )
    switch = "\n".join(f"    i32 {id}, label %event{id}" for id, _ in cases)
    blocks = "".join(
        f"""
event{id}:
  %whole{id} = icmp uge i32 %len, {length}
  br i1 %whole{id}, label %call{id}, label %hand_over
call{id}:
  %text{id} = call fastcc ptr @event{id}(ptr %r, ptr %o, ptr %s)
  br label %written
"""
        for id, length in cases
    )
    written = ", ".join(f"[ %text{id}, %call{id} ]" for id, _ in cases)
    after = (
        f"""
written:
  %o_new = phi ptr {written}
  %for_python = icmp eq ptr %o_new, null
  br i1 %for_python, label %hand_over, label %deliver
deliver:
  %count_at = getelementptr i64, ptr %counts_p, i64 %id64
  %count = load i64, ptr %count_at
  %count1 = add i64 %count, 1
  store i64 %count1, ptr %count_at
  br label %advance
"""
        if cases
        else ""
    )
    o_next = "[ %o, %record ]" + (", [ %o_new, %deliver ]" if cases else "")
    return f"""
define i64 @drain(ptr %s) #0 {{
entry:
{loads}
  %data_p = inttoptr i64 %data to ptr
  %cons_p = inttoptr i64 %consumer to ptr
  %prod_p = inttoptr i64 %producer to ptr
  %counts_p = inttoptr i64 %counts to ptr
  %out_p = inttoptr i64 %out to ptr
  %out_end = getelementptr i8, ptr %out_p, i64 %out_size
  %out_start = getelementptr i8, ptr %out_p, i64 %out_used
  %limit = getelementptr i8, ptr %out_end, i64 {-bound}
  %budget_end = add i64 %position, %budget
  br label %snapshot

snapshot:
  %pos0 = phi i64 [ %position, %entry ], [ %next, %advanced ]
  %out0 = phi ptr [ %out_start, %entry ], [ %o_next, %advanced ]
  store atomic i64 %pos0, ptr %cons_p release, align 8
  %prod = load atomic i64, ptr %prod_p acquire, align 8
  %nothing = icmp eq i64 %pos0, %prod
  br i1 %nothing, label %leave, label %spent
spent:
  %over = icmp uge i64 %pos0, %budget_end
  br i1 %over, label %leave, label %records

records:
  %pos = phi i64 [ %pos0, %spent ], [ %next, %more ]
  %o = phi ptr [ %out0, %spent ], [ %o_next, %more ]
  %at = and i64 %pos, %mask
  %h = getelementptr i8, ptr %data_p, i64 %at
  %header = load atomic i32, ptr %h acquire, align 8
  %busy = icmp slt i32 %header, 0
  br i1 %busy, label %leave, label %record
record:
  %len = and i32 %header, 1073741823
  %len64 = zext i32 %len to i64
  %padded = add i64 %len64, 15
  %step = and i64 %padded, -8
  %next = add i64 %pos, %step
  %r = getelementptr i8, ptr %h, i64 8
  %flag = and i32 %header, 1073741824
  %discard = icmp ne i32 %flag, 0
  br i1 %discard, label %advance, label %room
room:
  %no_room = icmp ugt ptr %o, %limit
  br i1 %no_room, label %leave, label %identify
identify:
  %tiny = icmp ult i32 %len, 8
  br i1 %tiny, label %stranger, label %dispatch
dispatch:
  %id = load i32, ptr %r, align 8
  %id64 = zext i32 %id to i64
  switch i32 %id, label %other [
{switch}
  ]
{blocks}
{after}
other:
  %known = icmp ult i32 %id, {strangers_from}
  br i1 %known, label %hand_over, label %stranger
stranger:
  %strangers1 = add i64 %strangers, 1
  store i64 %strangers1, ptr %strangers_at
  br label %handed
hand_over:
  %hcount_at = getelementptr i64, ptr %counts_p, i64 %id64
  %hcount = load i64, ptr %hcount_at
  %hcount1 = add i64 %hcount, 1
  store i64 %hcount1, ptr %hcount_at
  br label %handed
handed:
  %record_at = getelementptr i64, ptr %s, i64 {int(Word.RECORD)}
  %ri = ptrtoint ptr %r to i64
  store i64 %ri, ptr %record_at
  %length_at = getelementptr i64, ptr %s, i64 {int(Word.LENGTH)}
  store i64 %len64, ptr %length_at
  br label %leave

advance:
  %o_next = phi ptr {o_next}
  %given = load i64, ptr %cons_p
  %held = sub i64 %next, %given
  %release = icmp ugt i64 %held, {_RELEASE}
  br i1 %release, label %give, label %advanced
give:
  store atomic i64 %next, ptr %cons_p release, align 8
  br label %advanced
advanced:
  %again = icmp eq i64 %next, %prod
  br i1 %again, label %snapshot, label %more
more:
  br label %records

leave:
  %status = phi i64 [ {EMPTY}, %snapshot ], [ {FULL}, %spent ], [ {EMPTY}, %records ], [ {FULL}, %room ],
                    [ {HAND_OVER}, %handed ]
  %pos_out = phi i64 [ %pos0, %snapshot ], [ %pos0, %spent ], [ %pos, %records ], [ %pos, %room ], [ %next, %handed ]
  %pos_free = phi i64 [ %pos0, %snapshot ], [ %pos0, %spent ], [ %pos, %records ], [ %pos, %room ], [ %pos, %handed ]
  %o_out = phi ptr [ %out0, %snapshot ], [ %out0, %spent ], [ %o, %records ], [ %o, %room ], [ %o, %handed ]
  store atomic i64 %pos_free, ptr %cons_p release, align 8
  store i64 %pos_out, ptr %position_at
  %oi = ptrtoint ptr %o_out to i64
  %used = sub i64 %oi, %out
  store i64 %used, ptr %out_used_at
  ret i64 %status
}}
"""
