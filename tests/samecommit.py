"""A project of which everybody who has the same commit makes the same release: the files of its repository.

What does not belong here: who has it, and on which computer.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from samples import SETUP_CFG

BUILDOUT = """\
[buildout]
parts = app host1
develop = src/*
versions = versions
# all that is needed is in the repository: no index is asked
find-links = ${buildout:directory}/links
index = ${buildout:directory}/links

[app]
recipe = zc.recipe.egg
eggs =
    example
    MarkupSafe
    hostouttest-source
interpreter = py

[host1]
recipe = collective.hostout
host = app.example.com
path = /srv/app
include =
    etc/app.ini
    tools
pre-commands = ${buildout:directory}/bin/app stop

[versions]
MarkupSafe = 3.0.2
hostouttest-source = 1.0
"""
FILES = {
    ".gitignore": "bin\ndevelop-eggs\neggs\nparts\nvar\n.installed.cfg\n*.egg-info\n__pycache__\n",
    "etc/app.ini": "[app]\ndebug = false\n",
    "tools/run": "#!/bin/sh\n",
    "tools/notes.txt": "größer\n",
    **{f"src/example/{name}": text for name, text in SETUP_CFG.items()},
}
BACKEND = """\
import time, zipfile
def build_wheel(to, config_settings=None, metadata_directory=None):
    name, info = "hostouttest_source-1.0-py3-none-any.whl", "hostouttest_source-1.0.dist-info"
    with zipfile.ZipFile(to + "/" + name, "w") as archive:
        archive.writestr("hostouttest_source.py", f"built = {time.time()}\\n")
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: hostouttest-source\\nVersion: 1.0\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return name
"""
SDIST = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND,
    "PKG-INFO": "Metadata-Version: 2.1\nName: hostouttest-source\nVersion: 1.0\n",
}
IDENTIFY = """\
import sys
from hostout import config, packaging
found = config.load("parts/hostout")
print(packaging.prepare(found.host("host1"), found.local, lambda event: None).id)
"""


def sources(folder: Path) -> Path:
    """A source distribution of which every build is another one."""
    with tarfile.open(folder / "hostouttest_source-1.0.tar.gz", "w:gz") as archive:
        for name, text in SDIST.items():
            about = tarfile.TarInfo(f"hostouttest_source-1.0/{name}")
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    return folder
