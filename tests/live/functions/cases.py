# ruff: noqa: E501, UP031  # a script reads better on one line, and its braces without being doubled
"""What each function of the language does on a running kernel: scripts and what they must print.

`{target}` in scripts and commands is the program of `TARGET`. What a script prints is known from the language's rules, or
from a source that has nothing to do with the compiler (`/proc`, the standard library, arithmetic done by hand).
"""

from __future__ import annotations

import os
import pwd
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

TARGET = r"""
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
struct inner { int a; int b; };
struct outer { long first; struct inner second; char text[8]; };
volatile unsigned int answer = 42;
const char *volatile motto = "in memory";
volatile long sink;
struct outer thing = {1, {2, 3}, "eight..!"};
__attribute__((noinline)) long greet(const char *text, long n, struct outer *o) { sink += n + o->first; return n * 2; }
static void nothing(int number) { sink += number; }
int main(int argc, char **argv) {
    static const unsigned char bytes[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    prctl(PR_SET_NAME, "target");
    signal(SIGUSR1, nothing);
    greet("hello, world", 21, &thing);
    static char where[] = "/nowhere/lib/some.conf";
    openat(AT_FDCWD, where, O_RDONLY);
    syscall(SYS_getpgid, bytes);
    if (argc > 1) answer = 43;
    return 0;
}
"""


@dataclass(frozen=True)
class Case:
    """`says` is all of the standard output but for empty lines at its ends, `like` a pattern for it; `error` a pattern
    that the standard error (or the diagnostics) must contain."""

    script: str
    says: str | None = None
    like: str | None = None
    command: str = ""
    status: int = 0
    error: str = ""
    feature: str = ""


OPENAT = 'tracepoint:syscalls:sys_enter_openat /comm == "target"/'
GREET = "uprobe:{target}:greet"
RUN = "{target}"


def begin(body: str, says: str | None = None, **rest: str) -> Case:
    """A case that needs no more than a run of `begin`."""
    return Case(f"begin {{ {body} exit(); }}", says, **rest)  # type: ignore[arg-type]  # every field but status is text


def opens(body: str, says: str | None = None, **rest: str) -> Case:
    """A case in the target's openat(2) of /nowhere/lib/some.conf."""
    return Case(f"{OPENAT} {{ {body} }}", says, command=RUN, **rest)  # type: ignore[arg-type]  # as above


def greets(body: str, says: str | None = None, **rest: str) -> Case:
    """A case at the entry of the target's greet("hello, world", 21, &thing)."""
    return Case(f"{GREET} {{ {body} }}", says, command=RUN, **rest)  # type: ignore[arg-type]  # as above


def refused(script: str, error: str) -> Case:
    """A script that does not compile."""
    return Case(script, error=error, status=1)


def kallsyms(name: str) -> int:
    for line in Path("/proc/kallsyms").read_text().splitlines():
        address, _, symbol, *_ = line.split()
        if symbol == name:
            return int(address, 16)
    raise LookupError(name)


CONNECT = 'import socket; s = socket.create_server(("127.0.0.1", 0)); socket.create_connection(s.getsockname())'
PATH = "/nowhere/lib/some.conf"
ROOT_CGROUP = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
HISTOGRAM = "@:\n[1]                    3 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|"
OPEN = tempfile.NamedTemporaryFile()  # noqa: SIM115  # is open for as long as the tests run
HEX = "0x[0-9a-f]+"

CASES: dict[str, tuple[Case, ...]] = {
    # --- strings
    "str": (
        opens("print(str(args.filename));", PATH),
        opens("print(str(args.filename, 4)); $n = 4; print(str(args.filename, $n));", "/no\n/no"),
        opens("print(str(args.filename, 1000)); print((str(args.filename, 0), 1));", f"{PATH}\n(, 1)"),
        Case(f"config = {{ max_strlen=8 }} {OPENAT} {{ print(str(args.filename)); }}", "/nowhere..", command=RUN),
        Case(f"config = {{ max_strlen=23 }} {OPENAT} {{ print(str(args.filename)); }}", PATH, command=RUN),
        greets('print(str(arg0)); print(str(*uaddr("motto")));', "hello, world\nin memory"),
        begin(
            'print(str("hello", 3)); $n = 3; print(str("hello", $n)); print(str(curtask.comm) == comm);',
            "hel\nhe\ntrue",
        ),
        begin('print(str((uint8*)0) == "");', "true"),
        refused("begin { print(str((1, 2))); }", "str\\(\\) expects a pointer"),
    ),
    "strlen": (
        begin('print(strlen("hello")); $s = "four"; print(strlen($s)); print(strlen(strerror(2)));', "5\n4\n25"),
        opens("print(strlen(str(args.filename))); print(strlen(args.filename));", f"{len(PATH)}\n{len(PATH)}"),
        Case(f"config = {{ max_strlen=8 }} {OPENAT} {{ print(strlen(str(args.filename))); }}", "8", command=RUN),
        refused("begin { print(strlen(1)); }", "string-like"),
    ),
    "strcap": (begin('print(strcap("hello")); print(strcap(comm)); print(strcap(curtask.comm));', "6\n16\n16"),),
    "debugf": (
        begin('print(1); debugf("%d %s", 1, comm); print(2);', "1\n2"),
        refused('begin { debugf("%d%d%d%d", 1, 2, 3, 4); }', "debugf\\(\\) takes 3 values at most"),
        refused('begin { debugf("%s", 1); }', "cannot show a 'int8' by %s"),
    ),
    "str_concat": (
        begin('print(str_concat("foo", "bar")); $a = "x"; print(str_concat($a, str_concat("-", $a)));', "foobar\nx-x"),
        opens(
            'print(str_concat(comm, str(args.filename))); @[str_concat(comm, "!")] = 1;',
            f"target{PATH}\n\n\n@[target!]: 1",
        ),
        begin('$a = (uint8[4])"abc"; print(str_concat($a, "def"));', "abcdef"),
    ),
    "strstr": (
        begin('print(strstr("hello", "ll")); print(strstr("hello", "xx")); print(strstr("hello", ""));', "2\n-1\n0"),
        opens(
            'print((strstr(str(args.filename), "lib"), strstr(str(args.filename), "nope"), strstr(comm, "et")));',
            f"({PATH.index('lib')}, -1, 4)",
        ),
        begin(
            '$h = "aabaabaaab"; $n = "baaab"; print((strstr($h, $n), strstr($h, "aaab"), strstr($h, "bb")));',
            "(5, 6, -1)",
            feature="bpf_loop",
        ),
        begin(
            '$h = "abc"; $e = ""; $l = "abcd"; print((strstr($h, $e), strstr($h, $l), strstr($h, $h)));',
            "(0, -1, 0)",
            feature="bpf_loop",
        ),
        opens(
            '$n = str_concat("some", ".conf"); print(strstr(str(args.filename), $n));',
            str(PATH.index("some")),
            feature="bpf_loop",
        ),
    ),
    "strcontains": (
        begin('print(strcontains("hello", "ell")); print(strcontains("hello", "olleh"));', "true\nfalse"),
        Case(f'{OPENAT[:-1]} && strcontains(str(args.filename), "/lib/")/ {{ print("found"); }}', "found", command=RUN),
    ),
    "globmatch": (
        opens(
            '$f = str(args.filename); print((globmatch($f, "*/lib/*.conf"), globmatch($f, "/nowhere/*.con"), '
            'globmatch(comm, "t[a-c]r?[!x]t"), globmatch(comm, "t*t*t"), globmatch(comm, "targe")));',
            "(true, false, true, false, false)",
        ),
        begin(
            r'print((globmatch("a*b", "a\\*b"), globmatch("axb", "a\\*b"), globmatch("", "*"), globmatch("]", "[]]")));',
            "(true, false, true, true)",
        ),
        refused("begin { print(globmatch(comm, comm)); }", "must be a string literal"),
    ),
    "strncmp": (
        begin('print((strncmp("hello", "help", 3), strncmp("hello", "help", 4), strncmp("a", "b", 0)));', "(0, 1, 0)"),
        opens(
            'print((strncmp(comm, "tarzan", 3), strncmp(comm, "tarzan", 4), strncmp(comm, "target", 100)));',
            "(0, 1, 0)",
        ),
        refused('begin { print(strncmp("a", "b", -1)); }', "non-negative"),
    ),
    "memcmp": (
        begin('print((memcmp("abc", "abd", 3), memcmp("abd", "abc", 3), memcmp("abc", "abd", 2)));', "(-1, 1, 0)"),
        begin(
            'print((memcmp("a", "z", 1), memcmp(curtask, curtask, 8))); $n = 2; print(memcmp("abc", "abd", $n));',
            "(-25, 0)\n0",
        ),
        greets(
            'print((memcmp("hello", (int8*)arg0, 5), memcmp("hullo", (int8*)arg0, 5)));', f"(0, {ord('u') - ord('e')})"
        ),
    ),
    "assert_str": (
        begin('assert_str("a"); assert_str(comm); print(1);', "1"),
        refused("begin { assert_str(1); }", "string-like"),
    ),
    "default_str_length": (
        begin("print(default_str_length); print(default_str_length());", "1024\n1024"),
        Case("config = { max_strlen=77 } begin { print(default_str_length); }", "77"),
    ),
    # --- bytes
    "buf": (
        greets('printf("%r|%rh|%rx\\n", buf(arg0, 7), buf(arg0, 3), buf(arg0, 2));', "hello, |68 65 6c|\\x68\\x65"),
        begin('$a = (uint8[4])0x01020304; printf("%r %r\\n", buf($a), buf($a, 2));', "\\x04\\x03\\x02\\x01 \\x04\\x03"),
        opens('$n = 4; printf("%r\\n", buf(args.filename, $n)); @[buf(comm, 3)] = count();', "/now\n\n\n@[tar]: 1"),
        refused("begin { print(buf(curtask)); }", "expects a length"),
    ),
    "bswap": (
        begin(
            "print((bswap((uint16)0x1234), bswap((uint32)0x12345678), bswap((int64)1), bswap(1)));",
            f"({0x3412}, {0x78563412}, {1 << 56}, 1)",
        ),
        greets(
            "print((bswap(arg1), bswap((uint32)arg1), bswap((uint16)arg1)));", f"({21 << 56}, {21 << 24}, {21 << 8})"
        ),
    ),
    "macaddr": (
        begin(
            "$a = (uint8[8])0x0000665544332211; print(macaddr($a)); @ = macaddr($a);",
            "11:22:33:44:55:66\n\n\n@: 11:22:33:44:55:66",
        ),
        greets('printf("%s\\n", macaddr(arg0));', "68:65:6C:6C:6F:2C"),
        refused('begin { print(macaddr("abcdef")); }', "literal string"),
    ),
    "ntop": (
        begin(
            'print((ntop(0x0100007f), ntop(2, 0x0100007f), ntop(pton("::1")), ntop(pton("10.1.2.3"))));',
            "(127.0.0.1, 127.0.0.1, ::1, 10.1.2.3)",
        ),
        Case(
            'tracepoint:syscalls:sys_enter_getpgid /comm == "target"/ { $p = (uint8*)args.pid; @ = ntop(1); }',
            "@: 1.0.0.0",
            command=RUN,
        ),
        begin("$a = (uint8[4])0x04030201; @[ntop($a)] = count();", "@[1.2.3.4]: 1"),
        refused('begin { print(ntop("ab")); }', "4 or 16 bytes"),
    ),
    "pton": (
        begin(
            'print(pton("1.2.3.4")); print(pton("2001:db8::1"));', "[1,2,3,4]\n[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,1]"
        ),
        begin('$a = (uint8[4])0x04030201; print($a == pton("1.2.3.4")); print($a == pton("1.2.3.5"));', "true\nfalse"),
        refused('begin { print(pton("1.2.3.999")); }', "valid IPv4/IPv6"),
    ),
    # --- names and addresses
    "kaddr": (
        begin('print(kaddr("vfs_read"));', str(kallsyms("vfs_read"))),
        refused('begin { print(kaddr("no such symbol")); }', "Failed to resolve kernel symbol"),
    ),
    "percpu_kaddr": (refused('begin { print(percpu_kaddr("no such symbol")); }', "Failed to resolve kernel symbol"),),
    "reg": (
        greets('print((reg("di") == arg0, reg("rsi"), str(reg("di"))));', "(true, 21, hello, world)"),
        refused('profile:hz:99 { print(reg("foo")); }', "not a valid register"),
        refused('begin { print(reg("ip")); }', "reg can not be used in begin probes"),
    ),
    "uaddr": (
        greets('print((*uaddr("answer"), str(*uaddr("motto"))));', "(42, in memory)"),
        Case('uretprobe:{target}:greet { print(*uaddr("answer")); }', "42", command=RUN, feature="uprobe_multi"),
        Case(
            'uprobe:{target}:greet, uprobe:{target}:main { @[func] = *uaddr("answer"); }',
            "@[greet]: 42\n@[main]: 42",
            command=RUN,
        ),
        refused('begin { print(uaddr("x")); }', "uaddr can not be used"),
    ),
    "kptr": (begin("print(kptr(curtask).pid == tid); print(kptr(5));", "true\n5"),),
    "uptr": (opens("print(str(uptr((int8*)args.filename)));", PATH),),
    "container_of": (
        begin("$t = curtask; print(container_of(&$t->se.load, struct task_struct, se.load) == $t);", "true"),
        Case(
            "struct inner { int a; int b; }; struct outer { long first; struct inner second; }; "
            + GREET
            + " { $o = (struct outer *)arg2; $i = &$o->second; print(container_of($i, struct outer, second).first); }",
            "1",
            command=RUN,
        ),
    ),
    "syscall_name": (
        begin("print((syscall_name(0), syscall_name(9999)));", "(read, Unknown syscall)"),
        Case(
            'tracepoint:raw_syscalls:sys_enter /comm == "target" && syscall_name(args.id) == "getpgid"/ { print(args.id); }',
            "121",
            command=RUN,
        ),
    ),
    "signal_name": (begin("print((signal_name(9), signal_name(15), signal_name(99)));", "(Killed, Terminated, N/A)"),),
    "strerror": (
        begin(
            "print((strerror(2), strerror(-2), strerror(0), strerror(9999)));",
            "(No such file or directory, No such file or directory, Success, Unknown error)",
        ),
        Case(
            'tracepoint:syscalls:sys_exit_openat /comm == "target" && args.ret < 0/ { @[strerror(args.ret)] = count(); }',
            "@[No such file or directory]: 1",
            command=RUN,
        ),
    ),
    "cgroup_path": (begin('print(cgroup_path(cgroupid("%s"), "unified"));' % ROOT_CGROUP, "unified:/"),),
    "cgroupid": (
        begin(f'print(cgroupid("{ROOT_CGROUP}"));', str(os.stat(ROOT_CGROUP).st_ino)),
        refused('begin { print(cgroupid("/no/such/path")); }', "No such file or directory"),
    ),
    "socket_cookie": (
        Case(
            "rawtracepoint:inet_sock_set_state /pid == cpid/ "
            "{ @[socket_cookie(args.sk) > 0 && socket_cookie(args.sk) == args.sk.__sk_common.skc_cookie.counter] = 1; }",
            "@[true]: 1",
            command=f"{sys.executable} -c '{CONNECT}'",
            feature="socket_cookie",
        ),
        Case("begin { print(socket_cookie((struct sock *)0)); }", "0"),
        refused("begin { print(socket_cookie(curtask)); }", "struct sock \\*"),
    ),
    # --- files and packets
    "path": (
        Case(
            f'iter:task_file /ctx.task != 0 && ctx.task.tgid == {os.getpid()} && path(ctx.file.f_path) == "{OPEN.name}"/ '
            "{ print(path(ctx.file.f_path)); print(path(ctx.file.f_path, 6)); }",
            f"{OPEN.name}\n{OPEN.name[-5:]}",
            feature="d_path",
        ),
        refused("begin { print(path(curtask)); }", "struct path"),
    ),
    "skboutput": (refused('begin { skboutput("/tmp/x", curtask, 1, 0); }', "struct sk_buff"),),
    # --- process
    "pid": (
        begin("print(pid); print(pid() == pid(init)); print(pid(curr_ns) == pid);", like=r"\d+\ntrue\ntrue"),
        Case("begin { print(pid == %d); }" % os.getpid(), "true"),
        refused("begin { print(pid(foo)); }", "expects: curr_ns or init"),
    ),
    "tid": (begin("print(tid == pid);", "true"),),
    "ppid": (opens("print(ppid == %d);" % os.getpid(), "true"), begin("print(ppid(curtask));", str(os.getppid()))),
    "comm": (
        opens("print((comm, comm(curtask)));", "(target, target)"),
        Case(
            f"iter:task /ctx.task != 0 && ctx.task.pid == {os.getpid()}/ "
            "{ print(comm(ctx.task.pid) == ctx.task.comm); print(comm(99999999)); }",
            "true\nN/A",
            feature="kfunc",
        ),
        refused("begin { print(comm(1)); }", "Type: special"),
    ),
    "pcomm": (opens('print(pcomm == "%s");' % Path("/proc/self/comm").read_text().strip(), "true"),),
    "leader_tid": (opens("print((leader_tid == pid, leader_tid(curtask) == pid));", "(true, true)"),),
    "leader_comm": (opens("print((leader_comm, leader_comm(curtask)));", "(target, target)"),),
    "curtask": (begin("print((curtask.pid == tid, curtask.tgid == pid));", "(true, true)"),),
    "uid": (begin("print(uid);", str(os.getuid())),),
    "gid": (begin("print(gid);", str(os.getgid())),),
    "username": (begin("print(username);", pwd.getpwuid(os.getuid()).pw_name),),
    "cgroup": (begin('print(cgroup == cgroupid("%s")); print(cgroup > 0);' % ROOT_CGROUP, like="(true|false)\ntrue"),),
    "cpu": (begin("print(cpu < ncpus);", "true"),),
    "ncpus": (begin("print(ncpus);", str(os.sysconf("SC_NPROCESSORS_CONF"))),),
    "numaid": (begin("print(numaid);", like=r"\d+"),),
    "rand": (begin("$a = rand; $b = rand; $c = rand(); print($a == $b && $b == $c);", "false"),),
    "cpid": (
        Case(OPENAT + " { print(cpid == pid); }", "true", command=RUN),
        begin("print(cpid);", "0"),
    ),
    "has_cpid": (begin("print(has_cpid);", "false"), Case("begin { print(has_cpid); }", "true", command=RUN)),
    "usermode": (
        begin("print(usermode);", "1"),
        opens("print(usermode);", "0"),
        greets("print(usermode);", "1"),
    ),
    # --- probe
    "probe": (begin("print(probe);", "begin"), opens("print(probe);", "tracepoint:syscalls:sys_enter_openat")),
    "probetype": (begin("print(probetype);", "special"), greets("print(probetype);", "uprobe")),
    "func": (greets("print(func);", "greet"), refused("begin { print(func); }", "func is not available")),
    "args": (
        opens(
            "print(args.flags); print(args);",
            like=r"0\n\{ \.__syscall_nr = 257, \.dfd = -100, \.filename = " + HEX + r", \.flags = 0, \.mode = 0 \}",
        ),
        refused("begin { print(args); }", "no args"),
    ),
    "ctx": (
        Case(
            "iter:task /ctx.task != 0 && ctx.task.pid == %d/ { print(ctx.task.tgid == %d); }"
            % (os.getpid(), os.getpid()),
            "true",
            feature="iter",
        ),
    ),
    "argN": (greets("print((arg1, str(arg0)));", "(21, hello, world)"), refused("begin { print(arg0); }", "arg0")),
    "retval": (
        Case("uretprobe:{target}:greet { print(retval); }", "42", command=RUN),
        refused("begin { print(retval); }", "retval"),
    ),
    # --- time
    "nsecs": (
        begin(
            "$a = nsecs; $b = nsecs(boot); print($b >= $a && $b - $a < 1000000000); print(nsecs(monotonic) > 0);",
            "true\ntrue",
        ),
        begin(
            "print((nsecs(tai) / 1000000000 - %d) / 3600);" % int(time.clock_gettime(time.CLOCK_TAI)),
            "0",
            feature="ktime_tai",
        ),
        begin(
            "$a = nsecs(sw_tai); $b = nsecs(tai); print($b - $a < 1000000 && $a - $b < 1000000);",
            "true",
            feature="ktime_tai",
        ),
        begin("print((nsecs(sw_tai) / 1000000000 - %d) / 3600);" % int(time.clock_gettime(time.CLOCK_TAI)), "0"),
        refused("begin { print(nsecs(foo)); }", "clock"),
    ),
    "elapsed": (begin("print(elapsed < 60000000000);", "true"),),
    "jiffies": (begin("print(jiffies > 0);", "true"),),
    "time": (begin('time("%Y\\n");', str(time.localtime().tm_year)),),
    "strftime": (
        begin(
            'print(strftime("%Y", nsecs)); printf("%s\\n", strftime("%f", 0));',
            like=rf"{time.localtime().tm_year}\n\d{{6}}",
        ),
    ),
    # --- output
    "printf": (
        begin('printf("%d %u %x %s|%5d|%-5s|%c\\n", -1, 7, 255, "text", 42, "ab", 65);', "-1 7 ff text|   42|ab   |A"),
        refused('begin { printf("%d\\n"); }', "Not enough arguments"),
        refused('begin { printf("%d\\n", "text"); }', "expects"),
    ),
    "print": (
        begin(
            'print(1); print("a"); print((1, "a")); print((x=1, y="b")); $a = (uint16[2])0x00010002; print($a);',
            "1\na\n(1, a)\n{ .x = 1, .y = b }\n[2,1]",
        ),
        begin("@[1] = 5; @[2] = 7; print(@); print(@, 1); print(@[1]); clear(@);", "@[1]: 5\n@[2]: 7\n@[2]: 7\n5"),
        begin("print(*curtask);", like=r"\{ \.thread_info = .*\}"),
        Case(
            "struct inner { int a; int b; }; struct outer { long first; struct inner second; char text[8]; }; "
            + GREET
            + " { print(*(struct outer *)arg2); }",
            "{ .first = 1, .second = { .a = 2, .b = 3 }, .text = eight..! }",
            command=RUN,
        ),
    ),
    "errorf": (Case('begin { errorf("bad %d", 7); }', "", error=r"1:9-28: ERROR: bad 7", status=0),),
    "warnf": (Case('begin { warnf("odd %s", "x"); }', "", error=r"1:9-29: WARNING: odd x"),),
    "cat": (begin('cat("/proc/%d/comm", pid);', Path("/proc/self/comm").read_text().strip()),),
    "system": (begin('system("echo %d", 6 * 7);', "42"),),
    "join": (
        Case(
            'tracepoint:syscalls:sys_enter_execve /pid == cpid/ { join(args.argv); join(args.argv, ","); }',
            "/bin/true a b c\n/bin/true,a,b,c",
            command="/bin/true a b c",
        ),
    ),
    "exit": (
        Case("begin { print(1); exit(); print(2); }", "1"),
        Case("begin { exit(3); }", "", status=3),
    ),
    # --- maps
    "clear": (begin("@[1] = 1; @c = count(); clear(@); clear(@c);", ""),),
    "zero": (begin("@[1] = 5; zero(@);", "@[1]: 0"),),
    "delete": (begin("@[1] = 5; @[2] = 6; print(delete(@, 1)); print(delete(@, 7));", "true\nfalse\n\n\n@[2]: 6"),),
    "push": (
        Case(
            "let @q = queue(2); begin { print(push(@q, 1)); print(push(@q, 300)); exit(); }",
            "true\ntrue",
        ),
    ),
    "pop": (
        Case(
            "let @q = queue(3); let @s = stack(3); begin { push(@q, 1); push(@q, 300); push(@s, (1, 2)); push(@s, (3, 400)); "
            "while (pop(@q, $x)) { print($x); } while (pop(@s, $y)) { print($y); } print(pop(@q, $x)); exit(); }",
            "1\n300\n(3, 400)\n(1, 2)\nfalse",
        ),
    ),
    "peek": (
        Case(
            'let @s = stack(3); begin { push(@s, "a"); push(@s, "bc"); if (peek(@s, $x)) { print($x); } '
            "if (pop(@s, $y)) { print($y); } if (peek(@s, $x)) { print($x); } exit(); }",
            "bc\nbc\na",
        ),
    ),
    "has_key": (begin("@[1] = 5; print(has_key(@, 1)); print(has_key(@, 2)); clear(@);", "true\nfalse"),),
    "find": (begin("@[1] = 5; if (find(@, 1, $v)) { print($v); } print(find(@, 2, $v)); clear(@);", "5\nfalse"),),
    "len": (
        begin(
            "@[1] = 5; @[7] = 1; print(len(@)); $k = kstack(3); print(len($k) <= 3); clear(@);",
            "2\ntrue",
            feature="for_each_map_elem",
        ),
    ),
    # --- aggregations
    "count": (begin("@ = count(); @ = count(); print((int64)@);", "2\n\n\n@: 2"),),
    "sum": (begin("@ = sum(5); @ = sum(-7);", "@: -2"),),
    "avg": (begin("@ = avg(5); @ = avg(8); @n = avg(-5); @n = avg(-8);", "@: 6\n@n: -6"),),
    "min": (begin("@ = min(5); @ = min(8);", "@: 5"),),
    "max": (begin("@ = max(5); @ = max(8);", "@: 8"),),
    "stats": (
        begin("@ = stats(5); @ = stats(8);", "@: { .count = 2, .average = 6, .total = 13 }"),
        begin(
            '@["a"] = stats(-7); @["a"] = stats(-2); $s = @["a"].total; print(($s, @["a"].average, @["a"].count)); '
            'print(@["b"].avg); clear(@);',
            "(-9, -4, 2)\n0",
            feature="percpu_lookup",
        ),
        refused("begin { @ = stats(1); print(@.median); }", "no field 'median'"),
    ),
    "hist": (begin("@ = hist(1); @ = hist(1); @ = hist(1);", HISTOGRAM),),
    "lhist": (
        begin(
            "@ = lhist(1, 0, 10, 1); @ = lhist(1, 0, 10, 1); @ = lhist(1, 0, 10, 1);",
            HISTOGRAM,
        ),
    ),
    "tseries": (begin("@ = tseries(4, 1s, 5);", like=r"@:\n[\s\S]*\.000000000 \|.*\| 4[\s\S]*"),),
    "quantile": (
        begin(
            "for ($i : 0..100) { @h = hist($i); @l = lhist($i, 0, 100, 10); @k[1] = hist($i, 5); } "
            "print((quantile(@h, 0), quantile(@h, 50), quantile(@l, 50), quantile(@l, 95), quantile(@k[1], 25), "
            "quantile(@k[2], 50))); clear(@h); clear(@l); clear(@k);",
            "(0, 50, 50, 95, 24, 0)",
            feature="percpu_lookup",
        ),
        refused("begin { @ = count(); print(quantile(@, 50)); }", "hist"),
    ),
    # --- stacks
    "kstack": (
        opens("print(kstack(2));", like=r"( {8}\S+\+\d+\n?){1,2}"),
        refused("begin { print(kstack(1025)); }", "depth"),
        begin("print(len(kstack(0)));", "0"),
    ),
    "ustack": (greets("print(ustack(1));", like=r" {8}greet\+\d+\s*"),),
    "dw_ustack": (
        greets("print(dw_ustack(2));", like=r" {8}greet\+\d+\n {8}main\+\d+\s*", feature="task_pt_regs"),
        refused("begin { print(dw_ustack(1025)); }", "depth"),
        refused("config = { unstable_dw_ustack=error } begin { print(dw_ustack); }", "not enabled"),
    ),
    "ksym": (begin('print(ksym(kaddr("vfs_read")));', "vfs_read"),),
    "usym": (greets('printf("%s\\n", usym(reg("ip")));', "greet"),),
    # --- control
    "assert": (
        Case('begin { assert(1 == 1, "fine"); print("on"); }', "on"),
        Case(
            'begin { assert(pid == 1, "50% wrong"); print("on"); } end { print("end"); }',
            "end",
            error=r"1:9-38: ERROR: assert failed: 50% wrong",
            status=1,
        ),
    ),
    "signal": (
        Case(GREET + ' { signal("USR1"); }', "", command=RUN, feature="send_signal"),
        refused("begin { signal(9); }", "probetype special"),
        refused("tracepoint:syscalls:sys_enter_openat { signal(65); }", "between 1 and 64"),
        refused('tracepoint:syscalls:sys_enter_openat { signal("SIGNOT"); }', "Invalid string for signal"),
    ),
    "signal_thread": (
        Case(
            GREET + ' { signal_thread(10); } tracepoint:signal:signal_deliver /comm == "target"/ { print(args.sig); }',
            "10",
            command=RUN,
            feature="send_signal_thread",
        ),
    ),
    "override": (refused("begin { override(1); }", "kprobes only"),),
    "write_user": (
        Case(
            OPENAT + ' { write_user(args.filename, "/etc", 4); print(str(args.filename)); }',
            "/etchere/lib/some.conf",
            command=RUN,
            feature="write_user",
        ),
        refused('tracepoint:syscalls:sys_enter_openat { write_user(args.filename, "a", 9); }', "cannot take 9 bytes"),
    ),
    "unwatch": (begin("unwatch(5); print(1);", "1"),),
    # --- compile time
    "is_str": (begin('print((is_str("a"), is_str(comm), is_str(1), is_str(curtask)));', "(true, true, false, false)"),),
    "is_ptr": (begin("print((is_ptr(curtask), is_ptr(1)));", "(true, false)"),),
    "is_array": (begin("print((is_array((uint8[4])1), is_array(1)));", "(true, false)"),),
    "is_integer": (begin("print((is_integer(pid), is_integer(curtask), is_integer(true)));", "(true, false, false)"),),
    "is_unsigned_integer": (begin("print((is_unsigned_integer(pid), is_unsigned_integer(1)));", "(true, false)"),),
    "is_literal": (
        begin(
            "print((is_literal(1), is_literal(-1 + 2), is_literal(true), is_literal(pid), is_literal((uint8)1)));",
            "(true, true, true, false, false)",
        ),
    ),
    "is_err": (
        begin(
            "print((is_err((uint8*)0xfffffffffffff001), is_err((uint8*)0xfffffffffffff000), is_err(curtask)));",
            "(true, false, false)",
        ),
    ),
    "kfunc_exist": (begin('print((kfunc_exist("vfs_read"), kfunc_exist("no_such_function")));', "(true, false)"),),
    "kfunc_allowed": (
        begin('print((kfunc_allowed("vfs_read"), kfunc_allowed("no_such_function")));', "(false, false)"),
    ),
    "config": (
        Case(
            "config = { max_strlen=99 } begin { print((config.max_strlen, config.missing_probes, config.lazy_symbolication)); }",
            "(99, error, true)",
        ),
        begin("print(config);", like=r"\{ \.cpp_demangle = true, .* \.license = GPL \}"),
    ),
    "static_assert": (
        begin('static_assert(sizeof(uint64) == 8, "odd"); print(1);', "1"),
        refused('begin { static_assert(1 == 2, "no way"); }', "ERROR: no way"),
    ),
    "fail": (
        refused('begin { fail("%d of %s", 3, "them"); }', "ERROR: 3 of them"),
        refused('begin { fail("%d", pid); }', "known at compile time"),
    ),
    # --- words of the language
    "getopt": (begin('print((getopt("limit", 10), getopt("name", "x"), getopt("flag")));', "(10, x, false)"),),
    "sizeof": (begin("print((sizeof(uint32), sizeof(comm)));", "(4, 16)"),),
    "offsetof": (
        Case(
            "struct s { char a; long b; struct { int c; int d; } e; }; begin { print((offsetof(struct s, b), offsetof(struct s, e.d))); }",
            "(8, 20)",
        ),
        refused("begin { print(offsetof(struct task_struct, nope)); }", "no field named 'nope'"),
    ),
    "typeof": (begin("let $x: typeof(pid) = 1; print(sizeof($x));", "4"),),
    "typeinfo": (
        Case(
            'config = { unstable_typeinfo=enable } begin { $a = (uint8[4])1; print((typeinfo(1).full_type, typeinfo("a").base_type, '
            'typeinfo($a).full_type, typeinfo(curtask).full_type, typeinfo((1, "a")).base_type)); }',
            "(int8, string, uint8[4], struct task_struct *, tuple)",
        ),
        refused("begin { print(typeinfo(1)); }", "not enabled by default"),
    ),
}
