"""Push and pull with the real protocols: an S3 server and an SSH server on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.caching.conftest import Repository

pytestmark = pytest.mark.remotes

AWS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as listener:
            if listener.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"No server at port {port}.")


@pytest.fixture
def s3(virtual_environment: Callable[[str], Path]) -> Iterator[str]:
    """The address of an empty S3 server."""
    port = free_port()
    server = subprocess.Popen([virtual_environment("moto") / "moto_server", "-H", "127.0.0.1", "-p", str(port)])
    try:
        wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port of an SSH server that lets this user in, and the key for it."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no SSH server: apt-get install openssh-server")
    folder, port = tmp_path / "ssh", free_port()
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none", "UsePAM": "no",
        "AuthorizedKeysFile": folder / "user.pub", "StrictModes": "no", "Subsystem": "sftp internal-sftp",
        "PasswordAuthentication": "no",
    }  # fmt: skip
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where a server run by root confines its children
    server = subprocess.Popen([program, "-D", "-f", folder / "config", "-E", folder / "log"])
    try:
        wait_for(port, server)
        yield port, folder / "user"
    finally:
        server.terminate()
        server.wait()


def push_and_pull(published: Repository, folder: Path, dvc: str, url: str, **settings: str) -> None:
    """Add the remote to a clone, push everything to it, and pull it all into a clone that has only this remote."""
    author = published.clone(folder / "author")
    author.run(dvc, "pull")
    author.run(dvc, "remote", "add", "own", url)
    for name, value in {"verify": "true", **settings}.items():
        author.run(dvc, "remote", "modify", "own", name, value)
    author.run(dvc, "push", "--remote", "own", no_proxy="127.0.0.1", **AWS)
    author.run("git", "rm", "-r", "--quiet", "dvc-store")
    author.run("git", "commit", "--all", "--quiet", "--message", "Publish elsewhere")
    reader = author.clone(folder / "reader")
    reader.run(dvc, "pull", "--remote", "own", no_proxy="127.0.0.1", **AWS)
    assert reader.planned() == {}


def test_s3(published: Repository, s3: str, virtual_environment: Callable[[str], Path], tmp_path: Path) -> None:
    make = f"import boto3; boto3.client('s3', endpoint_url='{s3}').create_bucket(Bucket='artifacts')"
    published.run(str(virtual_environment("moto") / "python"), "-c", make, no_proxy="127.0.0.1", **AWS)
    dvc = virtual_environment("dvc-remotes") / "dvc"
    push_and_pull(published, tmp_path, str(dvc), "s3://artifacts/seediff", endpointurl=s3)


def test_ssh(
    published: Repository, ssh: tuple[int, Path], virtual_environment: Callable[[str], Path], tmp_path: Path
) -> None:
    dvc, (port, key) = virtual_environment("dvc-remotes") / "dvc", ssh
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/store"
    push_and_pull(published, tmp_path, str(dvc), url, keyfile=str(key))
    assert any((tmp_path / "store").rglob("*.dir"))
