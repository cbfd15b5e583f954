"""Makes the one-folder bundle: Secateur with a Python and all libraries, which runs from wherever the folder lies.

    python packaging/bundle/build.py dist/secateur-*.whl build/secateur

A real Python, not a frozen program: models are Python files of the user's, which import what they like; the engine's
processes are started as `python -m`; and packages can be added (`bin/python3 -m pip install NAME`, see
`sitecustomize.py`). On Linux the Python is the one that runs this script, so build on the oldest system that is to be
served; it needs `patchelf`. On Windows and macOS, where this has never been run, it is a relocatable one
(`--python-folder`, as `uv python install` brings). The installed packages come from where pip finds them, torch as a
CPU build.
"""

import argparse
import compileall
import contextlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).parent
EXTRAS = "gui,timm,text,gguf"
"""Of the extras: what opens models. `secateur doctor` names the others and the command that adds them."""
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
UNUSED = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "config-*",
    "site-packages",
    "dist-packages",
)
"""Parts of Python's own library that stay behind; its other packages come by pip."""
RELOCATABLE_UNUSED = (
    "__pycache__",
    *(name for name in UNUSED if name != "config-*"),
    "tcl*",
    "tk8*",
    "libtcl*",
    "libtk*",
    "include",
)
"""Of a relocatable Python: its packages come by pip as well."""
MODULES_UNUSED = ("_tkinter*", "_test*", "_xxtest*", "_ctypes_test*", "xxlimited*", "nis.*", "_dbm*", "_gdbm*")
SYSTEM = re.compile(r"(ld-linux.*|libc|libm|libpthread|libdl|librt|libutil|libresolv|libgcc_s|libstdc\+\+)[.-]")
"""Libraries that every system has, and that must be its own."""
WINDOW = re.compile(r"libxcb-|libxkbcommon|libXau|libXdmcp|libbsd|libmd")
"""Of what Qt's platform plugins load, the libraries that desktops often lack; the others are the system's."""
OLDEST = 315532800.0
"""1980, the first year that a zip archive can say."""


def main() -> int:
    """Make the folder; it must not exist."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="the wheel of Secateur")
    parser.add_argument("folder", type=Path, help="the folder to make")
    parser.add_argument("--python-folder", type=Path, help="a relocatable Python to copy (default: Linux's own one)")
    arguments = parser.parse_args()
    bundle = arguments.folder.absolute()
    bundle.mkdir(parents=True)
    whole = arguments.python_folder
    python = copy_relocatable(whole, bundle) if whole is not None else copy_python(bundle)
    keep_to_itself(bundle, python)
    packages = install(python, arguments.wheel)
    leave_out(packages, patterns())
    if whole is None:
        bundle_libraries(bundle, packages)
    notices(bundle, python)
    make_libraries(bundle)
    compile_all(bundle)
    return 0


def copy_relocatable(folder: Path, bundle: Path) -> Path:
    """Copy a Python that runs from wherever its folder lies, without its packages; returns the new one."""
    shutil.copytree(
        folder, bundle, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*RELOCATABLE_UNUSED)
    )
    windows = bundle / "python.exe"
    python = windows if windows.exists() else bundle / "bin" / "python3"
    library = Path(_output([python, "-c", "import os; print(os.path.dirname(os.__file__))"]).strip())
    (library / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
    shutil.copy(HERE / "sitecustomize.py", library)
    if python != windows:
        put_launcher(bundle / "bin")
    return python


def put_launcher(programs: Path) -> None:
    """Put the command that starts the program beside its Python."""
    shutil.copy(HERE / "secateur.sh", programs / "secateur")
    (programs / "secateur").chmod(0o755)


def keep_to_itself(bundle: Path, python: Path) -> None:
    """As a virtual environment it takes no packages from the user's folder for Pythons of this version."""
    (bundle / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    if _output([python, "-c", "import site; print(site.ENABLE_USER_SITE)"]).strip() != "False":
        raise SystemExit("Packages of other Pythons would come before those of the bundle.")


def copy_python(bundle: Path) -> Path:
    """Copy the interpreter that runs this, its library and the shared libraries of both; returns the new one."""
    library = bundle / "lib" / VERSION
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns("__pycache__", *UNUSED))
    for module in (library / "lib-dynload").iterdir():
        if any(fnmatch(module.name, pattern) for pattern in MODULES_UNUSED):
            module.unlink()
    (library / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
    (library / "sitecustomize.py").unlink(missing_ok=True)  # may be a link into the system's settings
    shutil.copy(HERE / "sitecustomize.py", library)
    programs = bundle / "bin"
    programs.mkdir()
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    python = programs / VERSION
    shutil.copy2(base, python)
    (programs / "python3").symlink_to(VERSION)
    put_launcher(programs)
    wanted = [python, *(library / "lib-dynload").glob("*.so")]
    copy_libraries(wanted, bundle / "lib", keep=lambda name: not SYSTEM.match(name))
    set_search_path(python, "$ORIGIN/../lib")
    for module in wanted[1:]:
        set_search_path(module, "$ORIGIN/../..")
    return python


def install(python: Path, wheel: Path) -> Path:
    """Install Secateur with its packages; returns the folder of packages."""
    ask = (
        "import site, sys\n"
        "print(next(p for p in site.getsitepackages() if p.startswith(sys.prefix) and p.endswith('-packages')))"
    )
    packages = Path(_output([python, "-c", ask]).strip())
    packages.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile", "--target", packages]
    own = os.environ | {"PIP_PREFIX": ""}  # not where the user's packages go
    subprocess.run([*command, "pip", f"{wheel.absolute()}[{EXTRAS}]"], check=True, env=own)
    shutil.rmtree(packages / "bin", ignore_errors=True)  # programs of libraries, by a path that will not be theirs
    if gpu := sorted(path.name for path in packages.glob("nvidia*")):
        raise SystemExit(
            f"pip took a GPU build of torch ({gpu[0]}): name an index with CPU builds (PIP_EXTRA_INDEX_URL)"
        )
    return packages


def patterns(path: Path = HERE / "left_out.txt") -> list[str]:
    """What is left out, as patterns below the folder of packages."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def is_left_out(path: Path, what: Iterable[str]) -> bool:
    """Whether a pattern (`*` stands for `/` too) names a path below the packages' folder, or a folder above it."""
    return any(fnmatch(str(one), pattern) for one in (path, *path.parents) for pattern in what)


def leave_out(packages: Path, what: Sequence[str]) -> None:
    """Delete what the patterns name."""
    for folder, _, files in os.walk(packages, topdown=False):
        for name in files:
            if is_left_out(Path(folder, name).relative_to(packages), what):
                Path(folder, name).unlink()
        with contextlib.suppress(OSError):  # something is left in it
            Path(folder).rmdir()


def bundle_libraries(bundle: Path, packages: Path) -> None:
    """Put beside Qt what its platform plugins need and a small desktop lacks."""
    qt = packages / "PySide6" / "Qt"
    copy_libraries([*(qt / "plugins").rglob("*.so"), *(qt / "lib").glob("*.so*")], qt / "lib", keep=WINDOW.match)


def copy_libraries(users: Iterable[Path], folder: Path, keep: Callable[[str], object]) -> None:
    """Copy the system's libraries that files load, and those that these load, as far as `keep` says so of the name."""
    for name, path in sorted(needed_by(users).items()):
        if keep(name) and not (folder / name).exists() and not path.is_relative_to(folder):
            shutil.copy(path.resolve(), folder / name)
            set_search_path(folder / name, "$ORIGIN")


def needed_by(users: Iterable[Path]) -> dict[str, Path]:
    """The libraries that files load, directly or not, by name, as this system finds them."""
    lines = "".join(_output(["ldd", path]) for path in users if path.is_file()).splitlines()
    found = (re.match(r"\s+(\S+) => (/\S+)", line) for line in lines)
    return {match[1]: Path(match[2]) for match in found if match}


def set_search_path(path: Path, where: str) -> None:
    """Where a file looks for the libraries that it loads."""
    path.chmod(0o755)
    _run(["patchelf", "--set-rpath", where, path])


def notices(bundle: Path, python: Path) -> None:
    """Write the licences of all packages into one file, and a list of them that programs read (CycloneDX)."""
    shown = ("--format=plain-vertical", "--with-license-file", "--with-notice-file", "--no-license-path", "--with-urls")
    tool = (sys.executable, "-m", "piplicenses", f"--python={python}", "--ignore-packages", "secateur")
    text = _output([*tool, *shown])
    if "torch" not in text:
        raise SystemExit("The licences of the packages could not be listed.")
    own = HERE.parents[1] / "LICENSE"
    (bundle / "LICENSE").write_text(own.read_text())
    (bundle / "THIRD-PARTY-NOTICES.txt").write_text("".join((NOTICE, text, *copyrights(bundle))))
    _run([sys.executable, "-m", "cyclonedx_py", "environment", python, "--of", "JSON", "-o", bundle / "sbom.json"])


NOTICE = """\
Secateur is under the Apache License 2.0 (LICENSE). This folder also holds what is listed here, each under its own
licence. Qt and PySide6 are used under the LGPL 3: they lie in folders of their own below lib/, as their makers built
them, and may be replaced there by other builds of the same version.

"""


def copyrights(bundle: Path) -> Iterator[str]:
    """What Debian tells of the libraries that were copied from the system, and of Python itself."""
    yield from _debian_copyrights(bundle) if shutil.which("dpkg") else ()
    python = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    if python.is_file():
        yield f"\n{'=' * 78}\nPython\n{'=' * 78}\n{python.read_text()}"


def _debian_copyrights(bundle: Path) -> Iterator[str]:
    copied = {path.name for path in (bundle / "lib").glob("*.so*")}
    copied |= {path.name for path in bundle.rglob("PySide6/Qt/lib/*") if WINDOW.match(path.name)}
    owners = {
        line.partition(":")[0]
        for name in copied
        for line in _output(["dpkg", "-S", f"*/{name}"], check=False).splitlines()
    }
    for owner in sorted(owners):
        document = Path("/usr/share/doc", owner, "copyright")
        if document.is_file():
            yield f"\n{'=' * 78}\n{owner} (from Debian)\n{'=' * 78}\n{document.read_text(errors='replace')}"


def make_libraries(folder: Path) -> None:
    """Make modules, shared libraries and metadata plain files: none is a program by a path that is not there.

    What came out of archives without a time is dated now.
    """
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        if path.stat().st_mtime < OLDEST:
            os.utime(path)
        if path.is_dir():
            continue
        if path.suffix == ".py":
            first, *rest = path.read_bytes().split(b"\n", 1)
            if first.startswith(b"#!"):
                path.write_bytes(b"\n".join([b"#", *rest]))  # lines keep their numbers
        if path.suffix == ".py" or ".so" in path.suffixes or ".dist-info/" in path.as_posix():
            path.chmod(0o644)


def compile_all(bundle: Path) -> None:
    """Compile every module, unchecked against its source: the folder may lie where nothing can be written."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(bundle, quiet=2, workers=0, invalidation_mode=mode, stripdir=str(bundle))


def _run(command: list[str | Path]) -> None:
    subprocess.run(command, check=True)


def _output(command: Sequence[str | Path], check: bool = True) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check).stdout


if __name__ == "__main__":
    sys.exit(main())
