"""What ``docs/plugins.md`` and ``docs/fabfiles.md`` show works as it stands there."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import pytest

from hostout.commands import loading
from hostout.testing import EmbeddedHost, make_key
from records import Records

PROJECT = Path(__file__).parents[2]
EXAMPLE = PROJECT / "examples" / "plugin"


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (PROJECT / "docs" / name).read_text(), re.DOTALL)


def test_the_code_in_the_plugin_guide_is_that_of_the_example() -> None:
    code = (EXAMPLE / "src" / "hostout_announce.py").read_text() + (EXAMPLE / "pyproject.toml").read_text()
    shown = blocks("plugins.md", "python") + blocks("plugins.md", "toml")
    assert len(shown) == 6
    assert [block for block in shown if block not in code] == []


@pytest.mark.parametrize("block", blocks("fabfiles.md", "python"), ids=lambda block: re.findall(r"def (\w+)", block)[0])
def test_every_fabfile_in_the_guide_can_be_loaded(block: str, tmp_path: Path) -> None:
    fabfile = tmp_path / "fabfile.py"
    fabfile.write_text(block)
    names = {command.name for command in loading.fabfile(str(fabfile)).commands}
    assert names == set(re.findall(r"^def (\w+)", block, re.MULTILINE))


def test_both_styles_of_the_guide_work_in_one_file(tmp_path: Path) -> None:
    records = Records(tmp_path / "buildout")
    key = make_key(records.home / ".ssh" / "id_ed25519")
    fabfile = records.fabfile("fabfile.py", "\n".join(blocks("fabfiles.md", "python")[:2]))
    with EmbeddedHost(tmp_path / "host", authorized_keys=[Path(f"{key}.pub")]) as host:
        host.write_known_hosts(records.home / ".ssh" / "known_hosts")
        place = {"host": f"127.0.0.1:{host.port}", "user": getpass.getuser(), "path": str(host.home)}
        records.part("host1", fabfiles=fabfile, greeting="hello", **place)
        for words in (("echo", "world"), ("greet", "world")):
            said = records.call("host1", *words)
            assert "[127.0.0.1] out: hello world\n" in said.stdout, said.stdout + said.stderr
        disk = records.call("host1", "disk", "uptime")
        assert disk.returncode == 0, disk.stdout + disk.stderr
