"""Maps declared as `lpm(n)`: the longest prefix that an address is in decides. What it is, Python's ipaddress says."""

from __future__ import annotations

import ipaddress
import json
import random

import pytest

import pytrace as library
from tests.conftest import Runner

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(r: random.Random) -> list[Network]:
    """Some that contain each other."""
    found: set[Network] = {ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")}
    while len(found) < 24:
        inside = r.choice(sorted(found, key=str))
        bits = r.randint(inside.prefixlen, inside.max_prefixlen)
        found.add(ipaddress.ip_network((_inside(r, inside), bits), strict=False))
    return sorted(found, key=str)


def _inside(r: random.Random, network: Network) -> Address:
    return network[r.randrange(network.num_addresses)]


def test_lookups_find_the_longest_prefix(pytrace: Runner) -> None:
    r = random.Random(7)
    networks = _networks(r)
    addresses = [_inside(r, r.choice(networks)) for _ in range(60)]
    addresses += [ipaddress.ip_address(a) for a in ("11.0.0.1", "::a00:1", "2001:db9::", "a00::")]
    values = {network: i + 1 for i, network in enumerate(networks)}
    lines = [f'@n[pton("{n.network_address}"), {n.prefixlen}] = {i};' for n, i in values.items()]
    lines += [f'printf("%d ", @n[pton("{a}")]);' for a in addresses]
    found = pytrace("-q", "-e", f"let @n = lpm(100); begin {{ {' '.join(lines)} exit(); }}")
    first, _, rest = found.stdout.partition("\n")
    expected = []
    for address in addresses:
        around = [n for n in networks if address in n]
        expected.append(values[max(around, key=lambda n: n.prefixlen)] if around else 0)
    assert [int(word) for word in first.split()] == expected
    assert len(set(expected)) > 10
    assert 0 in expected
    assert rest.split("\n") == ["", *(f"@n[{n}]: {i}" for n, i in values.items()), ""]


def test_what_programs_do_with_them(pytrace: Runner) -> None:
    """Assignment and deletion are about the prefix itself, everything else about the one that is found."""
    script = """let @net = lpm(10); begin {
        $bits = 12;
        @net[pton("10.0.0.0"), 8] = 0;
        @net[ntop(pton("10.31.255.255")), $bits] = 100;
        @net[pton("10.0.0.0"), 16] = 7;
        @net[pton("10.200.0.1")]++;
        @net[ntop(pton("10.17.0.1"))] += 20;
        print((has_key(@net, pton("10.9.9.9")), has_key(@net, pton("11.9.9.9")), has_key(@net, (pton("10.0.0.1"), 7))));
        print(@net[pton("10.0.0.0"), 15]);
        if (find(@net, pton("10.0.1.1"), $v)) { print($v); }
        print((delete(@net, (pton("10.0.0.0"), 16)), delete(@net, (pton("10.0.0.0"), 16))));
        print(@net[pton("10.0.1.1")]);
        print(@net[pton("10.17.0.0"), 12]);
        @net[0x0100007f] = 5;
        print(@net);
        exit();
    }"""
    found = pytrace("-q", "-f", "json", "-e", script)
    assert found.stderr == ""
    data = [json.loads(line)["data"] for line in found.stdout.splitlines()]
    assert data[:-1] == [
        [True, False, False],
        1,
        7,
        [True, False],
        1,
        120,
        {"@net": {"10.0.0.0/8": 1, "127.0.0.1/32": 5, "10.16.0.0/12": 120}},
    ]
    assert data[-1] == data[-2]


def test_a_length_that_no_address_has_is_refused_and_counted(pytrace: Runner) -> None:
    script = (
        'let @n = lpm(4); begin { $b = 33; @n[pton("1.2.3.4"), $b] = 1; print(has_key(@n, pton("1.2.3.4"))); exit(); }'
    )
    found = pytrace("-q", "-e", script)
    assert found.stdout == "false\n\n\n"
    assert "1 updates of @n failed: no address has a prefix of that length" in found.stderr


def test_the_map_of_a_session(pytrace: Runner) -> None:
    with library.trace('let @n = lpm(9); begin { @n[pton("10.0.0.0"), 8] = "a"; @n[pton("fe80::"), 10] = "b"; }') as t:
        assert t.maps["@n"].to_dict() == {"10.0.0.0/8": "a", "fe80::/10": "b"}
        assert t.maps["@n"]["10.3.4.5"] == "a"
        assert t.maps["@n"]["fe80::/10"] == "b"
        for other in ("11.0.0.0", "10.0.0.0/33", "fe80::/9", "no address"):
            with pytest.raises(KeyError):
                t.maps["@n"][other]
        t.attach('begin { @n[pton("10.1.0.0"), 16] = "c"; }')
        assert t.maps["@n"]["10.1.2.3"] == "c"
    assert t.maps["@n"]["10.1.0.0/16"] == "c"
    assert t.maps["@n"].to_rows()[0] == {"key": "10.0.0.0/8", "value": "a"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("@n = 1;", "@n is an lpm map: its elements have keys"),
        ('@n[pton("::1"), 1, 2] = 1;', "its keys are no tuples of 3"),
        ('@n["10.0.0.0"] = 1;', "is no address"),
        ("@n[(uint8[2])(uint16)1] = 1;", "4 or 16 bytes"),
        ('@n[pton("10.0.0.0"), 33] = 1;', "an address of 32 bits has no prefix of 33"),
        ('@n[pton("::"), 129] = 1;', "an address of 128 bits has no prefix of 129"),
        ('@n[pton("::"), "x"] = 1;', "expected a number of bits"),
        ('@n[pton("::")] = count();', "has no aggregations"),
        ('@n[pton("::")] = 1; for ($x : @n) { }', "the kernel cannot walk through"),
        ('@n[pton("::")] = 1; print(len(@n));', "the kernel cannot count"),
        ("push(@n, 1);", "@n is not a queue or stack"),
    ],
)
def test_refused(pytrace: Runner, body: str, message: str) -> None:
    found = pytrace("-e", f"let @n = lpm(4); begin {{ {body} }}")
    assert found.status == 1
    assert message in found.stderr
