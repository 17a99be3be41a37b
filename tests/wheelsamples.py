"""Wheels of every sort, made here, with what zc.buildout makes of them; and eggs as something that can be compared.

What does not belong here: what is tested with them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PKG_RESOURCES = "# a comment\n\n__import__('pkg_resources').declare_namespace(__name__)\n"
PKGUTIL = "from pkgutil import extend_path\r\n\r\n__path__ = extend_path(__path__, __name__)\r\n"
EITHER = f"try:\n    {PKG_RESOURCES.splitlines()[-1]}\nexcept ImportError:\n" + "".join(
    f"    {line}\n" for line in PKGUTIL.splitlines() if line
)
BY_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD")


@dataclass(frozen=True)
class Wheel:
    """``name`` and ``version`` as METADATA has them, ``base`` as the file name has them.

    ``content`` is text by name; ``{info}`` and ``{data}`` stand for its own two folders. ``egg``: what is in the egg
    besides metadata, empty folders with a slash at the end. ``modes`` are those that are not 644 in the wheel.
    """

    name: str
    version: str
    base: str
    content: Mapping[str, str | bytes]
    egg: tuple[str, ...]
    folder: str = ""
    modes: Mapping[str, int] = field(default_factory=dict)
    tags: str = "py3-none-any"
    requires: tuple[str, ...] = ()
    python: str = ""

    @property
    def filename(self) -> str:
        return f"{self.base}-{self.tags}.whl"

    def egg_name(self, tag: str) -> str:
        """Of the egg's folder, for Python and platform."""
        return f"{self.folder or self.base}-{tag}.egg"

    def make(self, where: Path) -> Path:
        """Write it; gives its path."""
        info, data = f"{self.base}.dist-info", f"{self.base}.data"
        files = {name.format(info=info, data=data): text for name, text in self.content.items()}
        needed = "".join(f"Requires-Dist: {each}\n" for each in self.requires)
        needed += f"Requires-Python: {self.python}\n" if self.python else ""
        head = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n{needed}"
        files[f"{info}/METADATA"] = f"{head}\nName: no\n"
        files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {self.tags}\n"
        files[f"{info}/RECORD"] = "".join(_row(name, text) for name, text in files.items()) + f"{info}/RECORD,,\n"
        where.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(where / self.filename, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                member = zipfile.ZipInfo(name)
                member.external_attr = (self.modes.get(name, 0o644) | stat.S_IFREG) << 16
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, text)
        return where / self.filename


def _row(name: str, text: str | bytes) -> str:
    content = text.encode() if isinstance(text, str) else text
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def plain(number: int = 1, version: str = "1.0", text: str = "x = 1\n", files: int = 3) -> Wheel:
    """One of many that look alike."""
    base = f"hostouttest_plain{number}"
    content = {f"{base}/file{n}.py": f"{text}# {n}\n" for n in range(files)}
    every: dict[str, str | bytes] = {f"{base}/__init__.py": text, **content, "{info}/top_level.txt": f"{base}\n"}
    inside = tuple(name for name in every if not name.startswith("{"))
    return Wheel(base.replace("_", "-"), version, f"{base}-{version}", every, inside)


EVERY_SORT = (
    plain(),
    Wheel(
        "HostoutTest.Dots-And_Dashes",
        "1.0",
        "hostouttest_dots_and_dashes-1.0",
        {"hostouttest_dots.py": "", "{info}/top_level.txt": "hostouttest_dots\n"},
        ("hostouttest_dots.py",),
        folder="HostoutTest.Dots_And_Dashes-1.0",
    ),
    Wheel(
        "hostouttest-local",
        "1.0+Local-7.01",
        "hostouttest_local-1.0+local.7.1",
        {"hostouttest_local/__init__.py": "", "hostouttest_local/sub/data.txt": "x"},
        ("hostouttest_local/__init__.py", "hostouttest_local/sub/data.txt"),
    ),
    Wheel(
        "hostouttest-epoch",
        "1!2.0",
        "hostouttest_epoch-1!2.0",
        {"hostouttest_epoch.py": ""},
        ("hostouttest_epoch.py",),
    ),
    Wheel(
        "hostouttest-zeros",
        "2024.07.04",
        "hostouttest_zeros-2024.07.04",
        {"hostouttest_zeros.py": "", "{info}/top_level.txt": "hostouttest_zeros\n"},
        ("hostouttest_zeros.py",),
        folder="hostouttest_zeros-2024.7.4",
    ),
    Wheel(
        "hostouttest-cases",
        "1.0",
        "hostouttest_cases-1.0",
        {
            "hostouttest_cases/__init__.py": "",
            "hostouttest_cases/Licenses/One.txt": "",
            "hostouttest_cases/licenses/one.txt": "x",
            "hostouttest_cases/licenses/One.txt": "xx",
        },
        (
            "hostouttest_cases/Licenses/One.txt",
            "hostouttest_cases/__init__.py",
            "hostouttest_cases/licenses/One.txt",
            "hostouttest_cases/licenses/one.txt",
        ),
    ),
    Wheel(
        "hostouttest-early",
        "1.0-alpha.2.post3.dev4",
        "hostouttest_early-1.0a2.post3.dev4",
        {"hostouttest_early.py": ""},
        ("hostouttest_early.py",),
    ),
    Wheel(
        "hostouttest-scripts",
        "1.0",
        "hostouttest_scripts-1.0",
        {
            "hostouttest_scripts/__init__.py": "def main(): pass\n",
            "bin/inside.py": "",
            "{data}/scripts/tool": "#!python\n",
            "{data}/data/bin/other": "",
            "{info}/entry_points.txt": "[console_scripts]\nhostouttest = hostouttest_scripts:main\n",
        },
        ("hostouttest_scripts/__init__.py",),
    ),
    Wheel(
        "hostouttest-no-scripts",
        "1.0",
        "hostouttest_no_scripts-1.0",
        {"bin/inside.py": "x", "{data}/scripts/tool": "#!python\n", "{info}/entry_points.txt": "[zc.buildout]\n"},
        ("bin/inside.py",),
    ),
    Wheel(
        "hostouttest-data",
        "1.0",
        "hostouttest_data-1.0",
        {
            "hostouttest_data/__init__.py": "",
            "hostouttest_data/twice.py": "root\n",
            "share/mine.txt": "",
            "{data}/purelib/hostouttest_data/twice.py": "purelib\n",
            "{data}/purelib/hostouttest_pure.py": "",
            "{data}/platlib/hostouttest_data/native.so": b"\x7fELF",
            "{data}/headers/hostouttest.h": "",
            "{data}/data/etc/hostouttest.conf": "",
            "{data}/data/kept/hostouttest/conf": "x",
            "{data}/data/share/theirs.txt": "",
            "{info}/top_level.txt": "hostouttest_data\nkept\nshare\n",
        },
        (
            "hostouttest_data/__init__.py",
            "hostouttest_data/native.so",
            "hostouttest_data/twice.py",
            "hostouttest_pure.py",
            "kept/hostouttest/conf",
            "share/mine.txt",
        ),
    ),
    Wheel(
        "hostouttest-among",
        "1.0",
        "hostouttest_among-1.0",
        {
            "hostouttest_among/__init__.py": "",
            "{data}/data/lib/python/hostouttest_among/data.txt": "x",
            "{data}/data/lib/elsewhere/data.txt": "",
            "{info}/top_level.txt": "hostouttest_among\nlib\n",
        },
        ("hostouttest_among/__init__.py", "hostouttest_among/data.txt"),
    ),
    Wheel(
        "hostouttest-no-top",
        "1.0",
        "hostouttest_no_top-1.0",
        {"hostouttest_no_top/a/b.py": "", "single.py": "", "loose.txt": "", "_native.abi3.so": b"\0"},
        ("_native.abi3.so", "hostouttest_no_top/a/b.py", "loose.txt", "single.py"),
    ),
    Wheel(
        "hostouttest-wrong-top",
        "1.0",
        "hostouttest_wrong_top-1.0",
        {
            "hostouttest_outer/inner/__init__.py": "",
            "hostouttest_outer/inner/deep/a.py": "",
            "hostouttest_outer/other.py": "",
            "hostouttest_outer/single.py": "",
            "{info}/top_level.txt": "\n gone \r\nhostouttest_outer/inner\nhostouttest_outer/single\n",
        },
        ("hostouttest_outer/other.py", "inner/__init__.py", "inner/deep/a.py", "single.py"),
    ),
    Wheel(
        "hostouttest.namespaces.old",
        "1.0",
        "hostouttest_namespaces_old-1.0",
        {
            "hostouttest_ns/__init__.py": PKG_RESOURCES,
            "hostouttest_ns/inner/__init__.py": PKGUTIL,
            "hostouttest_ns/inner/code/__init__.py": "x = 1\n",
            "hostouttest_ns/either/__init__.py": EITHER,
            "hostouttest_ns/either/code/__init__.py": "",
            "hostouttest_ns/lonely/__init__.py": PKG_RESOURCES,
            "hostouttest_ns/not_alone/__init__.py": PKG_RESOURCES,
            "hostouttest_ns/not_alone/module.py": "",
            "hostouttest_ns/long/__init__.py": PKGUTIL + "a = 1\n" * 5,
            "hostouttest_ns/turned/__init__.py": "# pkgutil\nextend_path = 1\ndeclare_namespace = pkg_resources\n",
            "hostouttest_ns/backwards/__init__.py": "extend_path = 1\npkgutil = 2\n",
            "elsewhere/ns/__init__.py": PKGUTIL,
            "{info}/top_level.txt": "hostouttest_ns\n",
            "{info}/namespace_packages.txt": "hostouttest_ns\nhostouttest_ns.inner\n",
        },
        (
            "hostouttest_ns/backwards/__init__.py",
            "hostouttest_ns/either/code/__init__.py",
            "hostouttest_ns/inner/code/__init__.py",
            "hostouttest_ns/lonely/",
            "hostouttest_ns/long/__init__.py",
            "hostouttest_ns/not_alone/__init__.py",
            "hostouttest_ns/not_alone/module.py",
            "hostouttest_ns/turned/",
        ),
        folder="hostouttest.namespaces.old-1.0",
    ),
    Wheel(
        "hostouttest-modes",
        "1.0",
        "hostouttest_modes-1.0",
        {
            "hostouttest_modes/__init__.py": "",
            "hostouttest_modes/tool": "#!/bin/sh\n",
            "hostouttest_modes/secret": "",
            "hostouttest_modes/all": "",
            "hostouttest_modes/größe.txt": "ö",
            "hostouttest_modes/a file": "",
            "{info}/top_level.txt": "hostouttest_modes\n",
        },
        (
            "hostouttest_modes/__init__.py",
            "hostouttest_modes/a file",
            "hostouttest_modes/all",
            "hostouttest_modes/größe.txt",
            "hostouttest_modes/secret",
            "hostouttest_modes/tool",
        ),
        modes={"hostouttest_modes/tool": 0o750, "hostouttest_modes/secret": 0o600, "hostouttest_modes/all": 0o666},
    ),
)
"""One of each; zc.buildout 5.2 and 6.0 agree on all of them."""


def tree(egg: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything in an egg, bytecode and what installers write aside; folders end with a slash."""
    found = {}
    for folder, folders, names in os.walk(egg):
        folders[:] = [name for name in folders if name != "__pycache__"]
        inside = Path(folder).relative_to(egg)
        found[f"{inside}/"] = (stat.S_IMODE(Path(folder).stat().st_mode), b"")
        for name in names:
            if not name.endswith(".pyc") and not (folder.endswith(".dist-info") and name in BY_INSTALLERS):
                path = Path(folder, name)
                found[f"{inside / name}"] = (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
    return found


def names(egg: Path) -> tuple[str, ...]:
    """What is in an egg besides metadata, as ``Wheel.egg`` has it."""
    every = [name for name in tree(egg) if ".dist-info" not in name]
    full = {str(parent) for name in every for parent in Path(name).parents}
    return tuple(sorted(name for name in every if not (name.endswith("/") and name[:-1] in full) and name != "./"))
