"""Machines of the user's configuration of ssh are offered, patterns and exceptions are not."""

from pathlib import Path

from secateur.engine.subprocesses.ssh import ssh_aliases

CONFIG = """\
# Host commented
Host gpu gpu-2 *.example.org !bastion
    HostName gpu.example.org
host="quoted"
HOST=equals
Match host other
Include parts/*.conf nowhere
Host "unclosed
Host -oProxyCommand=evil gpu
"""


def test_names_of_machines_are_found_in_order_and_once(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(CONFIG)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "one.conf").write_text("Host inner\nInclude config extra\n")
    (tmp_path / "extra").write_text("Host beside\n")
    (tmp_path / "parts" / "two.conf").write_bytes(b"Host \xff last\n")
    assert ssh_aliases(tmp_path / "config") == ("gpu", "gpu-2", "quoted", "equals", "inner", "beside", "last")
    assert ssh_aliases(tmp_path / "none") == ()
