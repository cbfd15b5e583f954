"""Installs this Secateur on another machine, over the user's own `ssh`; only after the user was asked.

Its wheel goes there, and pip there brings what it needs: for the user alone; into the environment that holds the
Secateur of the address; or, where a system's Python takes no packages, into an environment of its own.
"""

import base64
import csv
import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import IO

from ...errors import Message, SecateurError
from ...jobs import CancelToken, Job, Progress, check
from ...storage.temporary_folders import temporary_folder
from ...subprocesses.ssh import Address, RemoteRun, run_over_ssh, ssh_refusal
from .protocol import DISK_FULL, NOT_FOUND

NAME = "secateur"
PACKAGES = ("app", "engine", "resources")
COMPILED = "__pycache__"
DESCRIPTION = ("METADATA", "entry_points.txt", "top_level.txt", "licenses/LICENSE")
"""What of a distribution's own files goes along; the others say how it was installed here."""
OF_CHECKOUT = {"METADATA": "PKG-INFO"}
"""What such a file is called in the `.egg-info` of a checkout, which is found first where Python starts there."""
WHEEL = "Wheel-Version: 1.0\nGenerator: secateur\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name() -> str:
    """The name of the file, by which pip knows what is in it."""
    return f"{NAME}-{distribution(NAME).version}-py3-none-any.whl"


def write_own_wheel(folder: Path) -> Path:
    """Write the wheel into a folder; also of a checkout that is installed as editable.

    https://packaging.python.org/en/latest/specifications/binary-distribution-format/
    """
    path, rows = folder / wheel_name(), list[tuple[str, str, int | str]]()
    about = distribution(NAME)
    described = f"{NAME}-{about.version}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _content(about, described):
            archive.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((name, f"sha256={digest}", len(content)))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{described}/RECORD", "", "")])
        archive.writestr(f"{described}/RECORD", record.getvalue())
    return path


def _content(about: Distribution, described: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files but the record."""
    for package in PACKAGES:
        top = Path(str(files(f"{NAME}.{package}")))
        for path in sorted(path for path in top.rglob("*") if path.is_file() and COMPILED not in path.parts):
            yield f"{NAME}/{package}/{path.relative_to(top).as_posix()}", path.read_bytes()
    for name in DESCRIPTION:
        if text := about.read_text(name) or about.read_text(OF_CHECKOUT.get(name, name)):
            yield f"{described}/{name}", text.encode()
    yield f"{described}/WHEEL", WHEEL.encode()


SHOWN = 120
"""Characters of a line of pip that are shown."""
TAKE = """
import os, shutil, subprocess, sys, sysconfig, tempfile
from pathlib import Path
def run(*words):
    code = subprocess.call([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if code:
        sys.exit(1)
with tempfile.TemporaryDirectory() as folder:
    wheel = Path(folder, sys.argv[1])
    with wheel.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if wheel.stat().st_size != int(sys.argv[2]):
        sys.exit("The wheel did not arrive whole.")
    python, where = sys.executable, []
    if sys.prefix == sys.base_prefix:
        if Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
            own = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "secateur" / "environment"
            python, command = own / "bin" / "python", Path.home() / ".local" / "bin" / "secateur"
            link = str(own / "bin" / "secateur")
            if os.path.lexists(command) and not (command.is_symlink() and os.readlink(command) == link):
                sys.exit(f"{command} there belongs to another installation, move it away first")
            run(sys.executable, "-m", "venv", own)
        else:
            where = ["--user"]
    run(python, "-m", "pip", "install", "--progress-bar", "off", "--no-warn-script-location", *where, wheel)
    if not where and sys.prefix == sys.base_prefix:
        command.parent.mkdir(parents=True, exist_ok=True)
        if not command.is_symlink():
            command.symlink_to(link)
"""
"""What Python runs there. A system's Python that takes no packages (PEP 668) makes an environment, and links it."""


def can_install(error: SecateurError) -> bool:
    """Whether an installation there is what a refused connection needs."""
    return error.message.code in ("remote.no_program", "remote.version")


def python_there(address: Address) -> str:
    """The Python that gets it: the one in the folder of the address's Secateur, else the one that a login finds."""
    return str(PurePosixPath(address.program).parent / "python3") if address.program else "python3"


def install_there(address: Address, token: CancelToken) -> Job[None]:
    """Install this version there, with what it needs; what was there of another version goes.

    Args:
        address: Where.
        token: Ends the connection; pip there ends as soon as it has something to say.

    Raises:
        SecateurError: No connection, no Python or pip there, or what pip said last.
    """
    check(token)
    host, python = address.title, python_there(address)

    def send_wheel(sink: IO[bytes]) -> None:
        with wheel.open("rb") as file:
            shutil.copyfileobj(file, sink)

    def tell(ran: RemoteRun) -> Progress:
        if not ran.sent:
            said = {"wheel": wheel_name(), "host": host}
            return Progress(Message("progress.sending_wheel", "Sending {wheel} to {host}", said))
        lines = _lines(ran.log)
        said = {"host": host, "line": lines[-1][:SHOWN] if lines else "..."}
        return Progress(Message("progress.installing_there", "Installing on {host}: {line}", said))

    yield Progress("Packing this Secateur")
    with temporary_folder() as place:
        wheel = write_own_wheel(place)
        words = [python, "-c", TAKE, wheel.name, str(wheel.stat().st_size)]
        ran = yield from run_over_ssh(address, words, send_wheel, tell, token)
    if exitcode := ran.exitcode:
        log = ran.log
        if (said := ssh_refusal(host, exitcode, log)) is not None:
            failed = SecateurError(said.code, said.template, log, **said.arguments)
        elif (found := re.search(DISK_FULL, log)) is not None:
            template = "There is no room for Secateur and its packages on {host} ({reason}). Make room there first."
            failed = SecateurError("install.disk_full", template, log, host=host, reason=found[0])
        elif exitcode == NOT_FOUND:
            template = "There is no {python} on {host}. Install Python 3.11 or later there."
            failed = SecateurError("install.no_python", template, log, python=python, host=host)
        elif re.search(r"No module named pip|ensurepip is not available|No module named venv", log):
            template = (
                "Python on {host} has no pip or cannot make environments. Install python3-pip and python3-venv there."
            )
            failed = SecateurError("install.no_pip", template, log, host=host)
        elif re.search(r"requires a different Python|Requires-Python", log):
            template = "Python on {host} is too old. Install Python 3.11 or later there."
            failed = SecateurError("install.old_python", template, log, host=host)
        else:
            lines = _lines(log)
            last = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "")
            template = "Secateur could not be installed on {host}: {reason} (exit code {exitcode})."
            reason = last.removeprefix("ERROR: ").rstrip(".")[:300] or "it said nothing"
            failed = SecateurError("install.failed", template, log, host=host, reason=reason, exitcode=exitcode)
        raise failed


def _lines(log: str) -> list[str]:
    """What pip said, without what it only mentions."""
    return [line.strip() for line in log.splitlines() if line.strip() and not line.startswith(("WARNING", "[notice]"))]
