"""The writers of the user half: numbers, strings and padding, as LLVM IR text.

They are written in SSA form by hand, so that the compiler needs no optimisation passes for them: making the code for a
one-liner costs little more than instruction selection. None of them calls anything or refers to data; `#0` keeps LLVM
from adding either, which is what makes the code free of relocations.

Output bound: each writer may write up to `SLACK` bytes more than the text it makes.
"""

from __future__ import annotations

from pytrace.nativestate import Word

SLACK = 48

ATTRIBUTES = 'attributes #0 = { nounwind noimplicitfloat "no-builtins" "no-jump-tables"="true" }'

# Digits are made from the right at o+24 and moved to o in three words. Two at a time: the pair for r < 100
# is, with t = r / 10, '0' + t in the low byte and '0' + r - 10 t in the high one.
DEC = """
define internal fastcc ptr @dec(ptr %o, i64 %v) #0 {
entry:
  %end = getelementptr i8, ptr %o, i64 24
  br label %head
head:
  %n = phi i64 [ %v, %entry ], [ %q, %pair ]
  %p = phi ptr [ %end, %entry ], [ %p2, %pair ]
  %q = udiv i64 %n, 100
  %q100 = mul i64 %q, 100
  %r = sub i64 %n, %q100
  %r103 = mul i64 %r, 103
  %t = lshr i64 %r103, 10
  %high = shl i64 %r, 8
  %t10 = mul i64 %t, 2559
  %digits = sub i64 %high, %t10
  %chars = add i64 %digits, 12336
  %chars16 = trunc i64 %chars to i16
  %p2 = getelementptr i8, ptr %p, i64 -2
  store i16 %chars16, ptr %p2, align 1
  %more = icmp ugt i64 %n, 99
  br i1 %more, label %pair, label %last
pair:
  br label %head
last:
  %one = icmp ult i64 %n, 10
  %p1 = getelementptr i8, ptr %p, i64 -1
  %first = select i1 %one, ptr %p1, ptr %p2
  %r2 = call fastcc ptr @settle(ptr %o, ptr %first, ptr %end)
  ret ptr %r2
}
"""

RADIX = """
define internal fastcc ptr @radix(ptr %o, i64 %v, i64 %shift, i64 %letter) #0 {
entry:
  %end = getelementptr i8, ptr %o, i64 24
  %one = shl i64 1, %shift
  %mask = sub i64 %one, 1
  br label %head
head:
  %n = phi i64 [ %v, %entry ], [ %q, %head ]
  %p = phi ptr [ %end, %entry ], [ %p1, %head ]
  %d = and i64 %n, %mask
  %alpha = icmp ugt i64 %d, 9
  %base = select i1 %alpha, i64 %letter, i64 48
  %c = add i64 %d, %base
  %c8 = trunc i64 %c to i8
  %p1 = getelementptr i8, ptr %p, i64 -1
  store i8 %c8, ptr %p1
  %q = lshr i64 %n, %shift
  %done = icmp eq i64 %q, 0
  br i1 %done, label %last, label %head
last:
  %r = call fastcc ptr @settle(ptr %o, ptr %p1, ptr %end)
  ret ptr %r
}
"""

SETTLE = """
define internal fastcc ptr @settle(ptr %o, ptr %first, ptr %end) #0 {
  %b = getelementptr i8, ptr %first, i64 8
  %c = getelementptr i8, ptr %first, i64 16
  %x = load i64, ptr %first, align 1
  %y = load i64, ptr %b, align 1
  %z = load i64, ptr %c, align 1
  %o8 = getelementptr i8, ptr %o, i64 8
  %o16 = getelementptr i8, ptr %o, i64 16
  store i64 %x, ptr %o, align 1
  store i64 %y, ptr %o8, align 1
  store i64 %z, ptr %o16, align 1
  %ei = ptrtoint ptr %end to i64
  %fi = ptrtoint ptr %first to i64
  %len = sub i64 %ei, %fi
  %r = getelementptr i8, ptr %o, i64 %len
  ret ptr %r
}
"""

# Makes the text in [start, end) `width` bytes wide.
PAD = """
define internal fastcc ptr @pad(ptr %start, ptr %end, i64 %width, i8 %fill, i1 %left) #0 {
entry:
  %si = ptrtoint ptr %start to i64
  %ei = ptrtoint ptr %end to i64
  %len = sub i64 %ei, %si
  %short = icmp ult i64 %len, %width
  br i1 %short, label %widen, label %wide
wide:
  ret ptr %end
widen:
  %gap = sub i64 %width, %len
  %stop = getelementptr i8, ptr %start, i64 %width
  br i1 %left, label %fill_head, label %move_head
move_head:
  %i = phi i64 [ %len, %widen ], [ %i1, %move ]
  %moved = icmp eq i64 %i, 0
  br i1 %moved, label %fill_head, label %move
move:
  %i1 = sub i64 %i, 1
  %from = getelementptr i8, ptr %start, i64 %i1
  %c = load i8, ptr %from
  %to = getelementptr i8, ptr %from, i64 %gap
  store i8 %c, ptr %to
  br label %move_head
fill_head:
  %f = phi ptr [ %end, %widen ], [ %start, %move_head ]
  br label %fill_next
fill_next:
  %k = phi i64 [ 0, %fill_head ], [ %k1, %fill_next ]
  %at = getelementptr i8, ptr %f, i64 %k
  store i8 %fill, ptr %at
  %k1 = add i64 %k, 1
  %filled = icmp eq i64 %k1, %gap
  br i1 %filled, label %out, label %fill_next
out:
  ret ptr %stop
}
"""

# Copies a string of at most `cap` bytes, eight at a time. A word x holds a zero byte if (x - 0x01…) & ~x & 0x80… is not
# zero; its lowest set bit marks the first one. A full string ends with the trailer unless it is `whole`. Null: it is
# Python's to write.
TEXT = (
    """
declare i64 @llvm.cttz.i64(i64, i1)
define internal fastcc ptr @text(ptr %o, ptr %p, i64 %cap, ptr %s, i1 %whole) #0 {
entry:
  br label %words
words:
  %i = phi i64 [ 0, %entry ], [ %i8, %next ]
  %i8 = add i64 %i, 8
  %fits = icmp ule i64 %i8, %cap
  br i1 %fits, label %word, label %bytes
word:
  %src = getelementptr i8, ptr %p, i64 %i
  %x = load i64, ptr %src, align 1
  %dst = getelementptr i8, ptr %o, i64 %i
  store i64 %x, ptr %dst, align 1
  %less = sub i64 %x, 72340172838076673
  %not = xor i64 %x, -1
  %both = and i64 %less, %not
  %zero = and i64 %both, -9187201950435737472
  %none = icmp eq i64 %zero, 0
  br i1 %none, label %next, label %found
next:
  br label %words
found:
  %bit = call i64 @llvm.cttz.i64(i64 %zero, i1 true)
  %byte = lshr i64 %bit, 3
  %n1 = add i64 %i, %byte
  br label %check
bytes:
  %j = phi i64 [ %i, %words ], [ %j1, %byte_next ]
  %full = icmp eq i64 %j, %cap
  br i1 %full, label %cut, label %byte_load
byte_load:
  %bsrc = getelementptr i8, ptr %p, i64 %j
  %c = load i8, ptr %bsrc
  %nul = icmp eq i8 %c, 0
  br i1 %nul, label %check, label %byte_next
byte_next:
  %bdst = getelementptr i8, ptr %o, i64 %j
  store i8 %c, ptr %bdst
  %j1 = add i64 %j, 1
  br label %bytes
cut:
  br i1 %whole, label %check, label %short
short:
  %trailer_at = getelementptr i64, ptr %s, i64 {TRAILER}
  %trailer = load i64, ptr %trailer_at
  %size_at = getelementptr i64, ptr %s, i64 {TRAILER_SIZE}
  %size = load i64, ptr %size_at
  %long = icmp ugt i64 %size, 8
  br i1 %long, label %bad, label %trail
trail:
  %after = getelementptr i8, ptr %o, i64 %cap
  store i64 %trailer, ptr %after, align 1
  %ncut = add i64 %cap, %size
  br label %check
check:
  %n = phi i64 [ %n1, %found ], [ %j, %byte_load ], [ %j, %cut ], [ %ncut, %trail ]
  %end = getelementptr i8, ptr %o, i64 %n
  %tty_at = getelementptr i64, ptr %s, i64 {TTY}
  %tty = load i64, ptr %tty_at
  %file = icmp eq i64 %tty, 0
  br i1 %file, label %good, label %scan
scan:
  %k = phi i64 [ 0, %check ], [ %k1, %plain ]
  %scanned = icmp eq i64 %k, %n
  br i1 %scanned, label %good, label %look
look:
  %kp = getelementptr i8, ptr %o, i64 %k
  %kc = load i8, ptr %kp
  %k1 = add i64 %k, 1
  %from_space = sub i8 %kc, 32
  %printable = icmp ult i8 %from_space, 95
  br i1 %printable, label %plain, label %control
control:
  %from_tab = sub i8 %kc, 9
  %harmless = icmp ult i8 %from_tab, 2
  br i1 %harmless, label %plain, label %bad
plain:
  br label %scan
good:
  ret ptr %end
bad:
  ret ptr null
}
""".replace("{TRAILER}", str(int(Word.TRAILER)))
    .replace("{TRAILER_SIZE}", str(int(Word.TRAILER_SIZE)))
    .replace("{TTY}", str(int(Word.TTY)))
)
