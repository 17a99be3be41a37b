"""Which wheels fit which hosts."""

from __future__ import annotations

import pytest
from packaging.utils import parse_wheel_filename

from hostout.model import Json
from hostout.packaging.tags import Target


def python(**more: Json) -> dict[str, Json]:
    facts = {
        "version": "3.11.2",
        "implementation": "cpython",
        "platform": "linux-x86_64",
        "libc": ["glibc", "2.36"],
        "soabi": "cpython-311-x86_64-linux-gnu",
    }
    return {**facts, **more}


BOOKWORM = Target.of(python())
ALPINE = Target.of(python(libc=["musl", "1.2"], soabi="cpython-311-x86_64-linux-musl"))
ARM = Target.of(python(platform="linux-aarch64"))
OLD = Target.of(python(libc=["glibc", "2.17"]))
FREE = Target.of(python(version="3.13.0", soabi="cpython-313t-x86_64-linux-gnu"))


def fits(target: Target, tags: str) -> bool:
    return target.rank(parse_wheel_filename(f"example-1-{tags}.whl")[3]) is not None


@pytest.mark.parametrize(
    ("target", "tags", "expected"),
    [
        (BOOKWORM, "py3-none-any", True),
        (BOOKWORM, "py2.py3-none-any", True),
        (BOOKWORM, "py2-none-any", False),
        (BOOKWORM, "cp311-cp311-manylinux_2_28_x86_64", True),
        (BOOKWORM, "cp311-cp311-manylinux_2_36_x86_64", True),
        (BOOKWORM, "cp311-cp311-manylinux_2_39_x86_64", False),
        (BOOKWORM, "cp311-cp311-manylinux1_x86_64", True),
        (BOOKWORM, "cp39-abi3-manylinux2014_x86_64", True),
        (BOOKWORM, "cp312-abi3-manylinux2014_x86_64", False),
        (BOOKWORM, "cp310-cp310-manylinux2014_x86_64", False),
        (BOOKWORM, "cp311-cp311-manylinux2014_aarch64", False),
        (BOOKWORM, "cp311-cp311-musllinux_1_1_x86_64", False),
        (BOOKWORM, "cp311-cp311-linux_x86_64", True),
        (BOOKWORM, "cp311-cp311-macosx_11_0_arm64", False),
        (OLD, "cp311-cp311-manylinux_2_28_x86_64", False),
        (OLD, "cp311-cp311-manylinux2014_x86_64", True),
        (ALPINE, "cp311-cp311-musllinux_1_1_x86_64", True),
        (ALPINE, "cp311-cp311-manylinux2014_x86_64", False),
        (ALPINE, "py3-none-any", True),
        (ARM, "cp311-cp311-manylinux_2_17_aarch64", True),
        (ARM, "cp311-cp311-manylinux_2_12_aarch64", False),
        (FREE, "cp313-cp313t-manylinux_2_28_x86_64", True),
        (FREE, "cp313-cp313-manylinux_2_28_x86_64", False),
    ],
)
def test_a_wheel_fits_the_python_it_was_built_for(target: Target, tags: str, expected: bool) -> None:
    assert fits(target, tags) is expected


def test_a_wheel_for_the_platform_is_better_than_a_pure_one() -> None:
    ranks = [
        BOOKWORM.rank(parse_wheel_filename(f"example-1-{tags}.whl")[3])
        for tags in (
            "cp311-cp311-manylinux_2_28_x86_64",
            "cp311-cp311-manylinux2014_x86_64",
            "cp39-abi3-manylinux2014_x86_64",
            "py3-none-any",
        )
    ]
    assert None not in ranks
    assert ranks == sorted(ranks, key=lambda rank: rank or 0)


def test_a_host_is_named_for_people() -> None:
    assert str(BOOKWORM) == "cpython 3.11 on linux_x86_64, glibc 2.36"
