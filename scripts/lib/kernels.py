"""Debian stock kernels on disk: finding one by a short name, fetching it, and the initramfs that boots it.

A tree is `$VM_HOME/k/<uname -r>/{boot,lib/modules}`; VM_HOME is /var/tmp/pytrace-vm unless set. Fetching uses apt with
lists and caches of its own in a temporary directory: the system's package state is neither used nor changed.
"""

from __future__ import annotations

import functools
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HOME = Path(os.environ.get("VM_HOME", "/var/tmp/pytrace-vm"))
TREES = HOME / "k"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Where each series is to be had. Point releases leave the mirrors when the next one comes, so none is named here.
SUITES = {
    "5.10": ("bullseye-security",),
    "6.1": ("bookworm-security",),
    "6.12": ("trixie-security", "bookworm-security"),
    "6.18": ("trixie-backports",),
    "7.2": ("trixie-backports",),
}

# What the guest needs to see the host's files, in the order in which it is loaded.
GUEST_MODULES = ("virtio_pci", "virtio_mmio", "virtio_console", "virtiofs", "9pnet_virtio", "9p", "overlay")


class VmError(Exception):
    """Something this machine lacks or the mirror has not, in words for the person who typed the command."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The standard output of a command; `VmError` with what it said if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, cwd=cwd)
    except FileNotFoundError as error:
        raise VmError(f"{command[0]} is needed and not installed") from error
    if done.returncode:
        raise VmError(f"{command[0]} failed:\n{done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


# --- finding ------------------------------------------------------------------------------------


def _version_key(release: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", release))


def on_disk() -> list[str]:
    """`uname -r` of every tree, oldest first."""
    return sorted((p.parent.parent.name for p in TREES.glob("*/boot/vmlinuz-*")), key=_version_key)


def find(name: str) -> tuple[str, Path, Path]:
    """(uname -r, vmlinuz, tree) of the newest tree whose release is `name`, or begins with it and goes on with a
    dot, dash or plus (6.1 is not 6.16). A path of a vmlinuz names itself. A series of `SUITES` is fetched if absent.
    """
    if Path(name).is_file():
        image = Path(name).resolve()
        return re.sub(r"^vmlinu[xz]-", "", image.name), image, image.parent.parent
    matching = [r for r in on_disk() if r == name or (r.startswith(name) and r[len(name)] in ".+-")]
    if not matching:
        if name not in SUITES:
            here = ", ".join(on_disk()) or "none"
            raise VmError(f"no kernel {name}: here are {here}; can be fetched: {', '.join(SUITES)}")
        matching = [fetch(name)]
    release = matching[-1]
    return release, TREES / release / "boot" / f"vmlinuz-{release}", TREES / release


# --- fetching -----------------------------------------------------------------------------------


def _mirror(security: bool) -> str:
    """The Debian mirror of the system's own sources, else the public one."""
    apt = Path("/etc/apt")
    text = "\n".join(p.read_text() for p in (apt / "sources.list", *apt.glob("sources.list.d/*")) if p.is_file())
    for uri in re.findall(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+/debian\S*)", text, re.MULTILINE):
        if ("security" in uri) == security:
            return str(uri)
    return "http://deb.debian.org/debian-security" if security else "http://deb.debian.org/debian"


def _newest(available: str, series: str) -> tuple[str, str, str] | None:
    """(version, release, package) of the newest cloud kernel of a series in `apt-cache dumpavail` text."""
    found = []
    for entry in available.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Size): (.*)$", entry, re.MULTILINE))
        name = re.fullmatch(r"linux-(?:image|binary)-(\d\S*-cloud-amd64)", fields.get("Package", ""))
        # Packages that only depend on the real one are small; the real one is linux-binary-* from 6.19 on.
        if name and name[1].startswith(f"{series}.") and int(fields["Size"]) > 3_000_000:
            found.append((fields["Version"], name[1], fields["Package"]))
    return max(found, key=lambda f: _version_key(f[0]), default=None)


def fetch(series: str) -> str:
    """Fetches the newest kernel of a series into `TREES`; its `uname -r`. Needs apt-get, dpkg-deb and depmod."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise VmError(f"fetching {series} needs apt-get and dpkg-deb; or put a kernel's tree into {TREES}/<uname -r>")
    if not Path(KEYRING).exists():
        raise VmError(f"{KEYRING} is missing (package debian-archive-keyring): without it nothing can be verified")
    reasons = []
    for suite in SUITES[series]:
        try:
            return _fetch_from(series, suite)
        except VmError as error:
            reasons.append(f"{suite}: {error}")
    raise VmError(f"cannot fetch a {series} kernel.\n" + "\n".join(reasons))


def _fetch_from(series: str, suite: str) -> str:
    HOME.mkdir(parents=True, exist_ok=True)
    print(f"vm: fetching a {series} kernel from Debian {suite}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=HOME, prefix="apt.") as name:
        work = Path(name)
        work.chmod(0o755)
        for part in ("state/lists/partial", "cache/archives/partial", "deb", "x"):
            (work / part).mkdir(parents=True)
        source = work / "sources.list"
        source.write_text(f"deb [signed-by={KEYRING} arch=amd64] {_mirror('security' in suite)} {suite} main\n")
        options = [
            *("-o", f"Dir::Etc::sourcelist={source}", "-o", "Dir::Etc::sourceparts=/dev/null"),
            *("-o", f"Dir::State={work}/state", "-o", f"Dir::Cache={work}/cache"),
            *("-o", "APT::Sandbox::User=", "-o", "APT::Architecture=amd64"),
        ]
        run("apt-get", *options, "update")
        newest = _newest(run("apt-cache", *options, "dumpavail"), series)
        if newest is None:
            raise VmError("the suite has none")
        version, release, package = newest
        wanted = [f"{package}={version}"]
        if package.startswith("linux-binary-"):
            for kind in ("modules", "base"):
                # A superseded kernel may have lost its modules package; the base alone still boots.
                if version in run("apt-cache", *options, "madison", f"linux-{kind}-{release}"):
                    wanted.append(f"linux-{kind}-{release}={version}")
        run("apt-get", *options, "download", *wanted, cwd=work / "deb")
        for deb in (work / "deb").glob("*.deb"):
            run("dpkg-deb", "-x", deb, work / "x")
        _install(work / "x", release, work / "tree")
        TREES.mkdir(exist_ok=True)
        shutil.rmtree(TREES / release, ignore_errors=True)
        (work / "tree").rename(TREES / release)
    return release


def _install(unpacked: Path, release: str, tree: Path) -> None:
    """One shape of tree, whatever the package's: modules below lib/, the image and its config below boot/."""
    modules = tree / "lib" / "modules" / release
    (tree / "boot").mkdir(parents=True)
    modules.parent.mkdir(parents=True)
    for place in (unpacked / "lib/modules" / release, unpacked / "usr/lib/modules" / release):
        if place.is_dir():
            place.rename(modules)
            break
    else:
        modules.mkdir()
    for name in ("vmlinuz", "config"):
        packaged, kept = unpacked / "boot" / f"{name}-{release}", tree / "boot" / f"{name}-{release}"
        source = packaged if packaged.exists() else modules / name
        if source.exists():
            shutil.copyfile(source, kept)
    for name in ("modules.order", "modules.builtin"):
        (modules / name).touch()
    run(shutil.which("depmod", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "depmod", "-b", tree, release)


# --- the initramfs ------------------------------------------------------------------------------


@functools.cache
def _busybox() -> bytes:
    for directory in (*os.environ.get("PATH", "").split(":"), "/bin", "/usr/sbin"):
        binary = Path(directory) / "busybox"
        if binary.is_file() and b"ld-linux" not in (content := binary.read_bytes())[:8192]:
            return content
    raise VmError("a static busybox is needed (Debian: apt install busybox-static; Fedora: dnf install busybox)")


def _modules(tree: Path, release: str) -> Iterator[tuple[str, bytes]]:
    """File name and uncompressed content of the guest's modules, each after those it depends on."""
    base = tree / "lib" / "modules" / release
    needs: dict[str, list[str]] = {}
    for line in (base / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {re.sub(r"\.ko(\.\w+)?$", "", Path(p).name).replace("-", "_"): p for p in needs}
    done: set[str] = set()
    for module in GUEST_MODULES:
        if module not in by_name:  # built in, or this kernel goes without
            continue
        path = by_name[module]
        for file in reversed([path, *needs[path]]):
            if file in done:
                continue
            done.add(file)
            content = (base / file).read_bytes()
            if file.endswith(".xz"):
                content = lzma.decompress(content)
            elif file.endswith(".zst"):
                content = subprocess.run(["zstd", "-dcq", base / file], stdout=subprocess.PIPE, check=True).stdout
            yield re.sub(r"\.(xz|zst)$", "", Path(file).name), content


def _cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """A "newc" archive of (name, mode, content)."""
    out = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        out += b"070701" + b"".join(b"%08x" % f for f in fields) + encoded
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)


def initramfs(release: str, tree: Path) -> Path:
    """An initramfs of busybox, the guest's modules and `guest-init`; made anew when that or this file changed."""
    made = HOME / f"initramfs-{release}.cpio"
    init = Path(__file__).with_name("guest-init")
    if made.exists() and made.stat().st_mtime > max(init.stat().st_mtime, Path(__file__).stat().st_mtime):
        return made
    if not (tree / "lib/modules" / release / "modules.dep").exists():
        raise VmError(f"{tree}/lib/modules/{release}/modules.dep is missing: run depmod -b {tree} {release}")
    modules = list(_modules(tree, release))
    directory, executable, plain, link = 0o040755, 0o100755, 0o100644, 0o120777
    entries = [(d, directory, b"") for d in ("bin", "mod", "proc", "sys", "dev", "host", "ovl", "root")]
    entries += [("bin/busybox", executable, _busybox()), ("bin/sh", link, b"busybox")]
    entries.append(("init", executable, init.read_bytes()))
    entries += [(f"mod/{name}", plain, content) for name, content in modules]
    entries.append(("mod/order", plain, "".join(f"{name}\n" for name, _ in modules).encode()))
    new = made.with_suffix(f".{os.getpid()}")
    new.write_bytes(_cpio(entries))
    new.rename(made)
    return made
