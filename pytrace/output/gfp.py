"""Names of the kernel's page allocation flags (`include/linux/gfp_types.h`, values of 6.x), for `%gr`."""

from __future__ import annotations

_COMBINED = (
    (0x21C24CA, "GFP_TRANSHUGE"),
    (0x21C20CA, "GFP_TRANSHUGE_LIGHT"),
    (0x2100CCA, "GFP_HIGHUSER_MOVABLE"),
    (0x100CC2, "GFP_HIGHUSER"),
    (0x100CC0, "GFP_USER"),
    (0x400CC0, "GFP_KERNEL_ACCOUNT"),
    (0xCC0, "GFP_KERNEL"),
    (0xC40, "GFP_NOFS"),
    (0x820, "GFP_ATOMIC"),
    (0xC00, "GFP_NOIO"),
    (0x2800, "GFP_NOWAIT"),
)
_SINGLE = (
    (0x1, "GFP_DMA"),
    (0x2, "__GFP_HIGHMEM"),
    (0x4, "GFP_DMA32"),
    (0x20, "__GFP_HIGH"),
    (0x40, "__GFP_IO"),
    (0x80, "__GFP_FS"),
    (0x100, "__GFP_ZERO"),
    (0x400, "__GFP_DIRECT_RECLAIM"),
    (0x800, "__GFP_KSWAPD_RECLAIM"),
    (0x1000, "__GFP_WRITE"),
    (0x2000, "__GFP_NOWARN"),
    (0x4000, "__GFP_RETRY_MAYFAIL"),
    (0x8000, "__GFP_NOFAIL"),
    (0x10000, "__GFP_NORETRY"),
    (0x20000, "__GFP_MEMALLOC"),
    (0x40000, "__GFP_COMP"),
    (0x80000, "__GFP_NOMEMALLOC"),
    (0x100000, "__GFP_HARDWALL"),
    (0x200000, "__GFP_THISNODE"),
    (0x400000, "__GFP_ACCOUNT"),
    (0x800000, "__GFP_ZEROTAGS"),
    (0x1000000, "__GFP_SKIP_ZERO"),
    (0x2000000, "__GFP_SKIP_KASAN"),
    (0x4000000, "__GFP_NO_OBJ_EXT"),
)


def gfp_text(flags: int) -> str:
    """Names joined by `|`, well-known combinations first; bits without a name (movable and reclaimable have none in
    bpftrace either) as one hex number at the end; `0` for no flags."""
    rest = flags & (1 << 64) - 1
    names = []
    for mask, name in _COMBINED + _SINGLE:
        if rest & mask == mask:
            names.append(name)
            rest &= ~mask
    if rest or not names:
        names.append(hex(rest) if rest else "0")
    return "|".join(names)
