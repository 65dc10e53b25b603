#!/usr/bin/env python3
"""Make the root file systems of the example matrices from Debian packages.

    examples/build.py python redis nginx

makes python.tar, redis.tar and nginx.tar beside this file, by means of the apt sources of this host. The
packages are unpacked, not installed: none of their scripts runs. Nothing is left out that the program itself
needs; what only scripts of packages need (debconf, adduser ...) is told to apt as already there. The same
versions of the packages give the same bytes. Needs apt and dpkg-deb of Debian or a derivative and their
package lists (apt-get update); `python` needs root as well, to compile the modules of the standard library in
a chroot, which installing the package would have done.
"""

import argparse
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent

Files = dict[str, tuple[tarfile.TarInfo, bytes]]
"""Path inside → its header and content; without a slash at either end."""

FOR_SCRIPTS = (
    *("adduser", "base-passwd", "debconf", "dpkg", "init-system-helpers", "iproute2", "lsb-base"),
    *("passwd", "perl-base", "sysvinit-utils", "ucf"),
)
"""What packages depend on for their own scripts only."""

LEFT_OUT = re.compile(
    r"usr/(share/(bug|doc|doc-base|info|lintian|locale|man|pixmaps|vim)|lib/systemd|lib/[^/]+/gconv)(/.*)?"
    r"|etc/(apparmor\.d|cron\.[a-z]+|default|init\.d|logrotate\.d|ufw)(/.*)?"
)
"""Documentation, translations and what only an init system reads."""

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Links to the directory of that name below /usr, as on every Debian since version 12."""

DIRECTORIES = {
    **dict.fromkeys(("dev", "etc", "run", "usr", "var"), 0o755),
    **dict.fromkeys(("proc", "sys"), 0o555),
    "root": 0o700,
    "tmp": 0o1777,
}
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}

NGINX_CONF = """\
user www-data;
worker_processes 1;
error_log stderr;
pid /run/nginx.pid;
events {}
http {
    access_log off;
    server {
        listen 127.0.0.1:8080;
        root /var/www/html;
    }
}
"""


@dataclass(frozen=True)
class Recipe:
    """What one root file system is made of."""

    packages: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    finish: Callable[[Files], None] | None = None
    """A last change that needs the whole."""


def compile_modules(files: Files) -> None:
    """Add the compiled form of every Python module. Without it each start would compile what it imports."""
    if os.geteuid() != 0:
        raise BuildError("compiling its modules in a chroot needs root: sudo examples/build.py python")
    with tempfile.TemporaryDirectory(prefix="isobench-example-") as directory:
        unpack(files, Path(directory))
        (program,) = (name for name in files if re.fullmatch(r"usr/bin/python3\.\d+", name))
        library = f"usr/lib/{Path(program).name}"
        compile_all = f"/{program} -m compileall -q -j 1 /{library}"
        run(["chroot", directory, *compile_all.split()], env={"PYTHONHASHSEED": "0"})
        for compiled in sorted(Path(directory, library).rglob("*.pyc")):
            add_file(files, str(compiled.relative_to(directory)), compiled.read_bytes())


RECIPES = {
    "python": Recipe(("python3-minimal",), finish=compile_modules),
    "redis": Recipe(("redis-server",)),
    "nginx": Recipe(
        ("nginx",),
        files={
            "etc/nginx/nginx.conf": NGINX_CONF,
            "var/www/html/index.html": "<!DOCTYPE html><title>isobench</title><p>It serves.</p>\n",
        },
        directories=("var/lib/nginx", "var/log/nginx"),
    ),
}


class BuildError(Exception):
    """Something the user has to do, or a tool that failed."""


def main() -> int:
    """Make what is asked for; the exit code of the program."""
    parser = argparse.ArgumentParser(description="Make root file systems from Debian packages.")
    names = sorted(RECIPES)
    parser.add_argument("names", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the archives (default: this one)")
    chosen = parser.parse_args()
    for name in chosen.names:
        try:
            made = make(RECIPES[name], chosen.out / f"{name}.tar")
        except (BuildError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(made)
    return 0


def make(recipe: Recipe, target: Path) -> str:
    """Make one archive; a line that says what it is."""
    with tempfile.TemporaryDirectory(prefix="isobench-example-") as directory:
        packages = download(recipe.packages, Path(directory))
        files = root_file_system(packages, recipe)
    draft = target.with_name(f".{target.name}.draft")
    try:
        draft.write_bytes(archive(files))
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    return f"{target}: {len(packages)} packages, {len(files)} files, {target.stat().st_size / 1e6:.1f} MB"


def download(names: Iterable[str], directory: Path) -> list[Path]:
    """The packages and what they depend on, verified by apt with the keys of this host."""
    # A host that has nothing installed but what is not wanted; its own state is not touched.
    status = directory / "status"
    status.write_text("".join(_installed(name) for name in FOR_SCRIPTS))
    options = ["-o", f"Dir::State::status={status}", "-o", "APT::Install-Recommends=false"]
    plan = run(["apt-get", *options, "--simulate", "install", *names], remedy="apt-get update")
    wanted = [
        f"{name}={version}" for name, version in re.findall(r"^Inst (\S+) \((\S+) ", plan, re.MULTILINE)
    ]
    # Root would otherwise become _apt, which may not write here.
    run(["apt-get", "-o", "APT::Sandbox::User=root", "--quiet", "download", *wanted], cwd=directory)
    return sorted(directory.glob("*.deb"))


def _installed(name: str) -> str:
    lines = (
        f"Package: {name}",
        "Status: install ok installed",
        "Version: 9999",
        "Architecture: all",
        "Multi-Arch: foreign",
        "Maintainer: nobody",
        "Description: not needed to run",
    )
    return "\n".join(lines) + "\n\n"


def root_file_system(packages: Iterable[Path], recipe: Recipe) -> Files:
    """All files of the packages, and what every program expects besides."""
    files: Files = {}
    for name in MERGED:
        add(files, name, tarfile.SYMTYPE, 0o777, linkname=f"usr/{name}")
    for name, mode in DIRECTORIES.items():
        add(files, name, tarfile.DIRTYPE, mode)
    for package in packages:
        for info, content in unpacked(package):
            if LEFT_OUT.fullmatch(info.name) is None and info.name not in MERGED:
                files.setdefault(info.name, (info, content))
    for name, (major, minor) in DEVICES.items():
        add(files, f"dev/{name}", tarfile.CHRTYPE, 0o666, devmajor=major, devminor=minor)
    for name in recipe.directories:
        add(files, name, tarfile.DIRTYPE, 0o755)
    for name, text in {**ACCOUNTS, **recipe.files}.items():
        add_file(files, name, text.encode())
    if recipe.finish:
        recipe.finish(files)
    return files


def unpacked(package: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """What the package holds, under the names it has on a system with merged /usr."""
    stream = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(stream)) as content:
        for info in content:
            info.name = merged(info.name)
            if info.islnk():
                info.linkname = merged(info.linkname)
            if info.isdir():
                info.mtime = 0
            if info.name:
                file = content.extractfile(info) if info.isreg() else None
                yield info, file.read() if file else b""


def merged(name: str) -> str:
    """``./lib/x`` → ``usr/lib/x``."""
    name = name.removeprefix("./").strip("/").removeprefix(".")
    top, slash, _ = name.partition("/")
    return f"usr/{name}" if slash and top in MERGED else name


def add(files: Files, name: str, kind: bytes, mode: int, **fields: int | str) -> None:
    """Add an entry of root's, from 1970."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, mode
    for key, value in fields.items():
        setattr(info, key, value)
    files[name] = (info, b"")


def add_file(files: Files, name: str, content: bytes) -> None:
    """Add a regular file."""
    add(files, name, tarfile.REGTYPE, 0o644, size=len(content))
    files[name] = (files[name][0], content)


def archive(files: Files) -> bytes:
    """The archive: sorted, numeric owners alone, so that it hangs on the content only."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as made:
        # Hard links last: what they link to has to be there.
        for name in sorted(files, key=lambda name: (files[name][0].islnk(), name)):
            info, content = files[name]
            info.uname = info.gname = ""
            made.addfile(info, io.BytesIO(content))
    return data.getvalue()


def unpack(files: Files, directory: Path) -> None:
    """Put the files into a directory, as root."""
    packed = directory / "packed.tar"
    packed.write_bytes(archive(files))
    options = ("--extract", "--numeric-owner", "--preserve-permissions")
    run(["tar", *options, f"--file={packed}", f"--directory={directory}"])
    packed.unlink()


def run(
    argv: Iterable[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, remedy: str = ""
) -> str:
    """Run a tool and return what it printed."""
    words = tuple(argv)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **(env or {})}
    try:
        done = subprocess.run(words, check=False, cwd=cwd, env=environment, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BuildError(f"{words[0]} is not installed; this needs Debian or a derivative of it") from error
    if done.returncode:
        hint = f"\nTry: {remedy}" if remedy else ""
        raise BuildError(f"{shlex.join(words)}: exit code {done.returncode}: {done.stderr.strip()}{hint}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
