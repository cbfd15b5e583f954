"""What builds for Windows and macOS cannot run here: its files agree with each other and with those for Linux."""

import plistlib
import re
import subprocess
import sys
from pathlib import Path, PurePath
from xml.etree import ElementTree

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
PROGRAM = "-m secateur.app.main"
HOME = Path("home")


def _extensions() -> set[str]:
    """Of the files that the Linux desktops open with the program."""
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    globs = ElementTree.parse(PACKAGING / "linux" / "org.secateur.Secateur.xml").iter(f"{space}glob")
    return {one.attrib["pattern"].removeprefix("*.") for one in globs}


def _added(system: str, environment: dict[str, str]) -> tuple[Path, Path]:
    told = {"__name__": "told"}
    source = (PACKAGING / "bundle" / "sitecustomize.py").read_text()
    exec(source.partition("prefix, packages = ")[0], told)
    return told["added"](system, environment, HOME)  # type: ignore[operator]


def test_the_same_files_open_with_the_program_on_every_system():
    plist = plistlib.loads((PACKAGING / "macos" / "Info.plist").read_bytes())
    installer = (PACKAGING / "windows" / "secateur.iss").read_text()
    assert set(plist["CFBundleDocumentTypes"][0]["CFBundleTypeExtensions"]) == _extensions()
    assert set(re.findall(r"Classes\\\.(\w+)\\OpenWithProgids", installer)) == _extensions()


def test_every_launcher_starts_the_program_as_the_bundle_does():
    for file in ("bundle/secateur.sh", "macos/launcher.sh", "windows/secateur.cmd", "windows/secateur.iss"):
        assert f"-P {PROGRAM}" in (PACKAGING / file).read_text(), file
    assert "allow-unsigned-executable-memory" in (PACKAGING / "macos" / "entitlements.plist").read_text()
    plistlib.loads((PACKAGING / "macos" / "entitlements.plist").read_bytes())


def test_what_the_build_scripts_name_is_there():
    windows = (PACKAGING / "windows" / "build.ps1").read_text()
    named = re.findall(r"\$top\\(packaging[\w\\.-]+)", windows)
    assert len(named) >= 4 and all((ROOT / name.replace("\\", "/")).is_file() for name in named)
    macos = (PACKAGING / "macos" / "build_dmg").read_text()
    assert all((ROOT / name).is_file() for name in re.findall(r"\$top/(packaging[\w/.-]+)", macos))
    assert all((PACKAGING / "macos" / name).is_file() for name in re.findall(r"\$here/([\w.]+)", macos) if name != "..")
    subprocess.run(["bash", "-n", PACKAGING / "macos" / "build_dmg"], check=True)


@pytest.mark.parametrize(
    ("system", "environment", "prefix"),
    [
        ("linux", {}, "home/.local/share/secateur/packages"),
        ("linux", {"XDG_DATA_HOME": "data"}, "data/secateur/packages"),
        ("darwin", {}, "home/Library/Application Support/secateur/packages"),
        ("win32", {}, "home/AppData/Local/secateur/packages"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/secateur/packages"),
    ],
)
def test_added_packages_lie_where_the_system_keeps_a_users_data(system: str, environment: dict[str, str], prefix: str):
    found, packages = _added(system, environment)
    inside = "Lib" if system == "win32" else f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    assert found == PurePath(prefix) and packages == found / inside / "site-packages"


def test_icons_hold_every_size_that_is_asked_for(tmp_path: Path):
    pytest.importorskip("PySide6")
    windows, macos = tmp_path / "one.ico", tmp_path / "one.icns"
    subprocess.run([sys.executable, PACKAGING / "icons.py", windows, macos], check=True)
    with Image.open(windows) as icon:
        assert {16, 32, 48, 256} <= {width for width, _ in icon.info["sizes"]}
    with Image.open(macos) as icon:
        assert icon.size == (1024, 1024)
        opacity = icon.getchannel("A")
        assert opacity.getpixel((0, 0)) == 0 and opacity.getpixel((512, 60)) == 255
