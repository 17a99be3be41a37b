"""hostout-announce as its users have it: named in ``extends`` of a buildout that is deployed to a real SSH server.

The server runs in this process (``EmbeddedHost``); so do the application's page and the chat.
"""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from hostout.testing import EmbeddedHost, make_key

PLUGIN = Path(__file__).parents[1]
BUILDOUT = """\
[buildout]
develop = {plugin}
parts = host1

[host1]
recipe = collective.hostout
extends = hostout-announce
host = {host.address}:{host.port}
user = {host.user}
identity-file = {key}
host-key = {host.fingerprint}
path = {host.home}/app
health-timeout = 30
announce-pages = http://127.0.0.1:{page.server_port}/ Welcome
"""


class Server(HTTPServer):
    """Answers every request with ``page``; ``received`` is what was posted to it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = "Welcome"
        self.received = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(self.server.page)

    def do_POST(self):
        self.server.received.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.answer("ok")

    def answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments):
        """Keeps the output of the tests free of requests."""


@pytest.fixture
def page():
    """The application, as far as this plugin is concerned."""
    with Server() as server:
        yield server
        server.shutdown()


@pytest.fixture
def chat():
    with Server() as server:
        yield server
        server.shutdown()


class Site:
    """A buildout with ``bin/hostout``, and the host that it deploys to."""

    def __init__(self, folder, configuration):
        self.folder = folder
        (folder / "buildout.cfg").write_text(configuration)
        built = self.call(Path(sys.executable).with_name("buildout"), "-NU")
        assert built.returncode == 0, built.stdout

    def hostout(self, *words):
        return self.call("bin/hostout", *words)

    def call(self, *words):
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(words, cwd=self.folder, timeout=300, check=False, **output)

    def everything(self):
        """All that is written down, by file."""
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}


@pytest.fixture
def configuration(tmp_path, page, chat):
    """A buildout.cfg without, and a line with, the address of the chat."""
    key = make_key(tmp_path / "key")
    with EmbeddedHost(tmp_path / "host", authorized_keys=[tmp_path / "key.pub"]) as host:
        text = BUILDOUT.format(plugin=PLUGIN, host=host, key=key, page=page)
        yield text, f"announce-url = http://127.0.0.1:{chat.server_port}/hooks/s3cret\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


@pytest.fixture
def site(folder, configuration):
    return Site(folder, "".join(configuration))


def test_it_brings_a_command(site):
    assert "   announce         : Tell the chat something\n" in site.hostout("host1").stdout


def test_the_command_tells_the_chat(site, chat):
    said = site.hostout("host1", "announce", "maintenance at 6 o'clock")
    assert said.returncode == 0, said.stdout
    assert chat.received == [("/hooks/s3cret", {"text": "maintenance at 6 o'clock"})]


def test_the_address_of_the_chat_is_kept_secret(site):
    said = site.hostout("-v", "host1", "announce", "hello")
    assert "s3cret" not in said.stdout
    places = {path.name for path, content in site.everything().items() if b"s3cret" in content}
    assert places == {"buildout.cfg", "secrets.json"}


def test_without_a_chat_nothing_is_deployed(folder, configuration):
    text, _ = configuration
    said = Site(folder, text).hostout("host1", "deploy")
    assert said.returncode == 4
    assert "announce-url is not set" in said.stdout
    assert "Hostout aborted" in said.stdout


def test_a_release_that_is_well_is_announced(site, chat):
    said = site.hostout("host1", "deploy")
    assert said.returncode == 0, said.stdout
    assert chat.received == [("/hooks/s3cret", {"text": "host1 runs a new release"})]


def test_a_release_whose_page_is_broken_is_not_announced(folder, configuration, page, chat):
    page.page = "Internal Server Error"
    site = Site(folder, "".join(configuration).replace("health-timeout = 30", "health-timeout = 2"))
    said = site.hostout("host1", "deploy")
    assert said.returncode == 1
    assert f"look for 'Welcome' at http://127.0.0.1:{page.server_port}/" in said.stdout
    assert chat.received == []
