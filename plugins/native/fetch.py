#!/usr/bin/env python3
"""Puts the native libraries that plugins load at run time into `.fusebox/native/`.

Reads the pins in `libraries.toml`, lets pip download each wheel with its digest required, and takes
the named files out of it into `<dest>/<library>-<version>/`, next to a `record.json`. The folder
appears complete or not at all, and a folder that is already right costs only the reading of its
files. It never installs a Python package and never compiles anything.

Needs Python 3.11 with pip. Exit codes: 0 ready, 1 failed (one line on stderr says what to do),
2 wrong usage.
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:
    sys.exit("fetch.py: Python 3.11 or newer is needed (found " + platform.python_version() + ")")

HERE = Path(__file__).resolve().parent
PROJECT_ROOT = HERE.parents[1]
RECORD = "record.json"
DOWNLOAD_SECONDS = 600


class Missing(Exception):
    """Something that the user must provide; the message says what."""


def target():
    """The name of this machine in the pins, such as `linux-x86_64`."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower())
    return f"{platform.system().lower()}-{machine or platform.machine().lower()}"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wheel_pin(name, library):
    pin = library["wheel"].get(target())
    if pin is None:
        known = ", ".join(sorted(library["wheel"]))
        raise Missing(
            f"{name}: no wheel is pinned for {target()} (pinned: {known}); install {name} "
            f"{library['version']} yourself and point FUSEBOX_{name.upper()}_LIBRARY to it"
        )
    return pin


def problem_with(folder, pin):
    """What keeps `folder` from being the pinned library; None where it is right."""
    if not folder.is_dir():
        return f"{folder} is not there"
    if not (folder / RECORD).is_file():
        return f"{folder / RECORD} is not there"
    for file in pin["files"]:
        path = folder / file["name"]
        if not path.is_file():
            return f"{path} is not there"
        found = sha256(path)
        if found != file["sha256"]:
            return f"{path} has sha256 {found}, pinned is {file['sha256']}"
    return None


def check_needs(name, library):
    for shared_object, provider in library.get("needs", {}).items():
        try:
            ctypes.CDLL(shared_object)
        except OSError:
            raise Missing(f"{name}: {shared_object} is missing; install {provider}") from None


def download(name, library, pin, into):
    """Downloads the pinned wheel with pip and returns its path."""
    requirements = into / "requirements.txt"
    requirements.write_text(
        f"{library['package']}=={library['version']} --hash=sha256:{pin['sha256']}\n"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--platform", pin["platform"], "--dest", str(into)]
    if "python_version" in library:
        command += ["--python-version", library["python_version"]]
    command += ["--requirement", str(requirements)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Missing(
            f"{name}: pip did not finish in {DOWNLOAD_SECONDS} s; check the network and try again"
        ) from None
    wheels = sorted(into.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise Missing(f"{name}: {explain(done.stderr, library)}")
    return wheels[0]


def explain(stderr, library):
    """One line for what pip said."""
    if "No module named pip" in stderr:
        return "pip is missing; install it (`apt-get install python3-pip` or `python3 -m ensurepip`)"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    reason = (errors or lines or ["pip gave no reason"])[0]
    what = f"{library['package']} {library['version']}"
    if "DO NOT MATCH" in stderr:
        return f"the downloaded wheel of {what} does not have the pinned digest; it was not used"
    return (
        f"pip could not download {what} ({reason}); check the network and the package index that "
        "pip is configured for"
    )


def extract(name, library, pin, wheel, folder):
    """Takes the pinned files out of `wheel`; `folder` appears by one rename, complete."""
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in pin["files"]:
                path = partial / file["name"]
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(file["member"]) as source, open(path, "wb") as copy:
                    shutil.copyfileobj(source, copy)
        record = {
            "library": name,
            "version": library["version"],
            "target": target(),
            "wheel_sha256": pin["sha256"],
            "files": {file["name"]: file["sha256"] for file in pin["files"]},
        }
        (partial / RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
        if (problem := problem_with(partial, pin)) is not None:
            raise Missing(f"{name}: the wheel does not hold what is pinned: {problem}")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time(dest):
    """Lets parallel runs, such as test processes, wait for each other."""
    dest.mkdir(parents=True, exist_ok=True)
    with open(dest / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def provide(name, library, dest, check_only):
    """Makes sure that one library is there and returns its folder."""
    pin = wheel_pin(name, library)
    folder = dest / f"{name}-{library['version']}"
    problem = problem_with(folder, pin)
    if problem is not None:
        if check_only:
            raise Missing(f"{name}: {problem}; run `python3 plugins/native/fetch.py`")
        with one_at_a_time(dest):
            if problem_with(folder, pin) is not None:
                with tempfile.TemporaryDirectory(prefix="fusebox-native-") as scratch:
                    wheel = download(name, library, pin, Path(scratch))
                    extract(name, library, pin, wheel, folder)
    check_needs(name, library)
    return folder


def parse_arguments(libraries):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dest",
        type=Path,
        default=PROJECT_ROOT / ".fusebox" / "native",
        help="folder that gets one sub-folder per library (default: %(default)s)",
    )
    parser.add_argument(
        "--only", choices=sorted(libraries), action="append", help="only this library; repeatable"
    )
    parser.add_argument(
        "--check", action="store_true", help="download nothing; fail where something is missing"
    )
    return parser.parse_args()


def main():
    libraries = tomllib.loads((HERE / "libraries.toml").read_text())
    arguments = parse_arguments(libraries)
    failed = False
    for name in arguments.only or sorted(libraries):
        library = libraries[name]
        try:
            folder = provide(name, library, arguments.dest, arguments.check)
            print(f"{name} {library['version']}: ready in {folder}")
        except (Missing, OSError) as error:
            print(f"fetch.py: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
