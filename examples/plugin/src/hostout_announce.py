"""A plugin for hostout: looks at the pages of a new release, and tells a chat when it is live.

Everything that a plugin can have is here once: options with defaults, a secret one, a command, a function that joins a
command of hostout's, a ``check`` and a ``health`` hook.
"""

from __future__ import annotations

import json
import urllib.request
from typing import ClassVar

from hostout import abort, command_step, current, get, hook, replaces, shell, superfun

SECONDS = 10
"""How long the chat may take to answer."""

LOOK = "import sys, urllib.request as u; sys.exit(sys.argv[2] not in u.urlopen(sys.argv[1], None, 10).read().decode())"
"""What the host runs to look for a text on a page. It has a Python: the deployment itself needs one."""


class Recipe:
    """What buildout makes of ``extends = hostout-announce``: sets defaults on the options of the host part."""

    hostout_options: ClassVar = {
        "announce-url": {"help": "where messages are posted to, as {'text': …}", "secret": True},
        "announce-text": {"help": "what is said when a release is live; {host} is the name of the part"},
        "announce-pages": {"help": "a line for each page that must work: its URL on the host, and a text on it"},
    }

    def __init__(self, buildout, part, options):
        options.setdefault("announce-text", "{host} runs a new release")
        options.setdefault("announce-pages", "")


@hook("check")
def check():
    """Here, before anything is changed on any host."""
    if not get("announce-url", ""):
        abort("announce-url is not set: nobody would hear of this deployment")


@hook("health")
def health():
    """On the host, after the release has started: Steps, because the host does them even when the line is cut."""
    return [_look(*line.split(None, 1)) for line in get("announce-pages").splitlines() if line.strip()]


def _look(url, text=""):
    seconds = float(get("health-timeout", "60"))
    return command_step(f"look for '{text}' at {url}", shell("python3 -c {} {} {}", LOOK, url, text), retry=seconds)


@replaces
def postdeploy():
    """Make the release live, and say so"""
    superfun()  # hostout's own postdeploy; raises when the release does not get well
    announce(get("announce-text").format(host=current().name))


def announce(text):
    """Tell the chat something"""
    content = json.dumps({"text": text}).encode()
    request = urllib.request.Request(get("announce-url").reveal(), content, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=SECONDS).close()
