"""The step before an upload, as a project has it beside its playbook: a wheel of every version that has none yet.

Writes the pins of the project's own packages as well. Runs in the working copy; it and its deployment know nothing
of hostout.
"""

import re
import subprocess
import sys
from pathlib import Path

WHEELS = Path("downloads/dist")
VERSION = re.compile(r'^version = "(.*)"', re.MULTILINE)


def main() -> None:
    pins, changed = ["[versions]"], []
    for file in sorted(Path("src").glob("*/pyproject.toml")):
        name, version = file.parent.name, VERSION.findall(file.read_text())[0]
        pins.append(f"{name} = {version}")
        if not any(WHEELS.glob(f"{name.replace('-', '_')}-{version}-*.whl")):
            changed.append(file.parent)
    if changed:
        build = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
        subprocess.run([*build, "-w", WHEELS, *changed], check=True)
    written = Path("own.cfg")
    text = "\n".join([*pins, ""])
    if not written.exists() or written.read_text() != text:
        written.write_text(text)


if __name__ == "__main__":
    main()
