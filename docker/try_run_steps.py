"""Runs the steps of a Dockerfile without a container engine: in a Debian 12 root made by
debootstrap, by chroot.

    sudo python3 docker/try_run_steps.py --root DIR --arg STACK=cpu --then "harness plan smoke"
    --then "make bench"

COPY takes what .dockerignore lets through; RUN steps see their ENV, ARG, USER, WORKDIR and cache
mounts, and, as under an engine, this host's /proc, /dev and name resolution. Each --then is run as
a container would: process namespace, environment, ENTRYPOINT. Stands in for the base image:
Debian's own python3.11, with venv and headers. Not seen by this: layers, volumes, resource limits,
the NVIDIA toolkit, and whether the base image itself is as assumed. What this host needs to reach a
package index is given by --bind and --env, and stays out of the root.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
DOCKERFILE = CHECKOUT / "docker" / "Dockerfile"
KNOWN = {
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "FROM",
    "LABEL",
    "RUN",
    "USER",
    "VOLUME",
    "WORKDIR",
}
STAND_IN = (
    "python3,python3-venv,python3-dev"  # of the base image, which brings Python 3.11 with headers
)
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Instruction:
    """One instruction: its upper-case name and the rest of its line, continuation lines joined."""

    name: str
    text: str


def read_dockerfile(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile. Raises ValueError for one that is not among KNOWN."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            if name.upper() not in KNOWN:
                raise ValueError(f"{name}: not an instruction this program knows")
            found.append(Instruction(name.upper(), re.sub(r"\s{2,}", " ", rest.strip())))
    return found


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` replaced, unknown names by nothing, as `docker build` does outside of
    RUN.
    """
    return re.sub(
        r"\$(?:(\w+)|\{(\w+)\})", lambda match: values.get(match[1] or match[2], ""), text
    )


def final_stage(
    instructions: Iterable[Instruction], arguments: Mapping[str, str]
) -> list[Instruction]:
    """The last stage with the stages it is built on, as one list that begins with FROM and the base
    image.
    """
    values: dict[str, str] = {}
    stages: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            image, _, name = (
                part.strip() for part in substitute(instruction.text, values).partition(" AS ")
            )
            current = stages[name or image] = list(stages.get(image, [Instruction("FROM", image)]))
        elif not stages:
            name, _, default = instruction.text.partition(
                "="
            )  # only ARG may come before the first FROM
            values[name] = arguments.get(name, default)
        else:
            current.append(instruction)
    return current


def assignments(text: str) -> dict[str, str]:
    """NAME=value pairs of ENV or LABEL."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def options_of(text: str) -> tuple[list[str], str]:
    """Leading `--option=value` words of an instruction, and what follows them."""
    found = re.match(r"(?:--\S+\s+)*", text)
    end = found.end() if found else 0
    return text[:end].split(), text[end:]


class Ignore:
    """A .dockerignore: the last pattern that matches a path, or a folder it lies in, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        patterns = [
            (line.startswith("!"), line.lstrip("!").strip("/"))
            for line in lines
            if line and line[0] != "#"
        ]
        self._patterns = [
            (kept, re.compile(self._regex(pattern) + r"(?:/.*)?")) for kept, pattern in patterns
        ]

    @staticmethod
    def _regex(pattern: str) -> str:
        parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
        wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        return "".join(wild.get(part, re.escape(part)) for part in parts)

    def ignores(self, path: str) -> bool:
        """Whether `path`, relative to the context, stays out of it."""
        ignored = False
        for kept, regex in self._patterns:
            if regex.fullmatch(path):
                ignored = not kept
        return ignored


def context_files(checkout: Path) -> list[str]:
    """Every file that `docker build` would be sent, relative to the checkout."""
    ignore = Ignore((checkout / ".dockerignore").read_text())
    found = []
    for folder, names, files in os.walk(checkout):
        here = Path(folder).relative_to(checkout)
        # A pattern that keeps something may lie below an ignored folder; only .git has such ones.
        names[:] = [
            name for name in names if name == ".git" or not ignore.ignores(str(here / name))
        ]
        found += [str(here / name) for name in files if not ignore.ignores(str(here / name))]
    return sorted(found)


@dataclass
class Root:
    """The root that stands in for the image, and what instructions have set so far."""

    path: Path
    binds: list[str]
    extra: dict[
        str, str
    ]  # environment that this host needs, as an engine's proxy arguments would be
    cache: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    user: str = "0:0"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    network: bool = True

    def command(
        self, command: list[str], *, mounts: Iterable[tuple[str, str]] = (), groups: str = ""
    ) -> list[str]:
        """The command line that runs `command` in this root, in mount and process namespaces of its
        own.
        """
        inside = shlex.quote(str(self.path))
        script = [
            "set -e",
            "mount --make-rprivate /",
            f"mount -t proc proc {inside}/proc",
            f"mount --rbind /dev {inside}/dev",
        ]
        binds = [("/etc/resolv.conf", "/etc/resolv.conf"), ("/etc/hosts", "/etc/hosts"), *mounts]
        for source, target in [*binds, *(tuple(bind.split(":", 1)) for bind in self.binds)]:
            there = self.path / target.lstrip("/")
            if Path(source).is_dir():
                there.mkdir(parents=True, exist_ok=True)
            else:
                there.parent.mkdir(parents=True, exist_ok=True)
                there.touch()
            script.append(f"mount --rbind {shlex.quote(source)} {shlex.quote(str(there))}")
        variables = [
            f"{name}={value}" for name, value in {**self.environment, **self.extra}.items()
        ]
        where = ["sh", "-c", 'cd "$0" && exec "$@"', self.workdir]
        chroot = [
            "chroot",
            f"--userspec={self.user}",
            *([f"--groups={groups}"] if groups else []),
            str(self.path),
        ]
        script.append("exec " + shlex.join([*chroot, "env", "-i", *variables, *where, *command]))
        namespaces = [
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            *([] if self.network else ["--net"]),
        ]
        return ["unshare", *namespaces, "sh", "-c", "\n".join(script)]

    def run(self, text: str) -> None:
        """A RUN step. Raises CalledProcessError."""
        options, command = options_of(text)
        mounts = []
        for option in options:
            mount = dict(part.split("=", 1) for part in option.removeprefix("--mount=").split(","))
            if mount["type"] != "cache":
                raise ValueError(f"{option}: only cache mounts are known here")
            self.cache.mkdir(parents=True, exist_ok=True)
            os.chown(self.cache, int(mount.get("uid", 0)), int(mount.get("gid", 0)))
            mounts.append((str(self.cache), mount["target"]))
        subprocess.run(self.command(["/bin/sh", "-c", command], mounts=mounts), check=True)

    def copy(self, text: str) -> None:
        """A COPY step. Raises ValueError when a source is not in the context."""
        options, rest = options_of(text)
        owner = dict(option.removeprefix("--").split("=", 1) for option in options).get(
            "chown", "0:0"
        )
        *sources, target = rest.split()
        files = context_files(CHECKOUT)
        for source in sources:
            whole = "" if source == "." else source.rstrip("/") + "/"
            taken = [file for file in files if file == source or file.startswith(whole)]
            if not taken:
                raise ValueError(f"COPY {source}: not in the context")
            for file in taken:
                # The content of a folder is copied, a file by its name into `target/`, or to
                # `target`.
                below = (
                    file.removeprefix(whole)
                    if file != source
                    else Path(file).name
                    if target.endswith("/")
                    else ""
                )
                self._copy_file(CHECKOUT / file, self._inside(target) / below, owner)

    def _copy_file(self, source: Path, target: Path, owner: str) -> None:
        uid, gid = (int(number) for number in owner.split(":"))
        for folder in reversed(target.parents):
            if folder.is_relative_to(self.path) and not folder.exists():
                folder.mkdir()
                os.chown(folder, uid, gid)
        if stat.S_ISREG(source.lstat().st_mode):
            target.unlink(missing_ok=True)
            shutil.copy2(source, target)
            os.chown(target, uid, gid)

    def _inside(self, path: str) -> Path:
        return self.path / os.path.normpath(Path(self.workdir) / path).lstrip("/")


def stand_in_base(root: Path, base: Path, mirror: str | None) -> None:
    """Make `root`, a copy of `base`; `base` is made by debootstrap where it is not there. Raises
    CalledProcessError.
    """
    if not base.exists():
        half = base.with_name(f"{base.name}-half")
        command = [
            "debootstrap",
            "--variant=minbase",
            f"--include={STAND_IN}",
            "bookworm",
            str(half),
        ]
        # In a mount namespace of its own: a killed debootstrap leaves /proc mounted in the root.
        command = ["unshare", "--mount", *command, *([mirror] if mirror else [])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        half.rename(base)
    subprocess.run(["cp", "--archive", str(base), str(root)], check=True)


def build(root: Root, instructions: Iterable[Instruction], arguments: Mapping[str, str]) -> None:
    """Follow the instructions of one stage. Raises CalledProcessError, ValueError."""
    for instruction in instructions:
        begin = time.monotonic()
        text = instruction.text
        known = {**arguments, **root.environment}
        match instruction.name:
            case "FROM":
                print(f"FROM {text}: Debian 12 with {STAND_IN} stands in", flush=True)
                continue
            case "ENV":
                root.environment |= {
                    name: substitute(value, known) for name, value in assignments(text).items()
                }
            case "USER":
                root.user = substitute(text, known)
            case "WORKDIR":
                root.workdir = substitute(text, known)
                root._inside(".").mkdir(parents=True, exist_ok=True)
            case "ENTRYPOINT":
                root.entrypoint = json.loads(text)
            case "COPY":
                root.copy(substitute(text, known))
            case "RUN":
                print(f"RUN {text}", flush=True)
                root.run(text)
        print(f"{instruction.name} {text[:90]}  {time.monotonic() - begin:.1f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--root", type=Path, required=True, help="folder to make; one that exists is used as built"
    )
    parser.add_argument(
        "--base",
        type=Path,
        help="folder of the stand-in for the base image (default: beside the root)",
    )
    parser.add_argument(
        "--arg", action="append", default=[], metavar="NAME=VALUE", help="build argument"
    )
    parser.add_argument("--mirror", help="Debian mirror for debootstrap (default: its own)")
    parser.add_argument(
        "--cache", type=Path, help="stands in for cache mounts (default: beside the root)"
    )
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="SOURCE:TARGET",
        help="also seen by every step",
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="also set for every step"
    )
    parser.add_argument(
        "--then", action="append", default=[], metavar="COMMAND", help="run it as a container would"
    )
    parser.add_argument(
        "--user", metavar="UID:GID", help="as `docker run --user UID:GID --group-add 0`, for --then"
    )
    parser.add_argument("--no-network", action="store_true", help="for --then")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("debootstrap and chroot need root")
    arguments = assignments(shlex.join(given.arg))
    path = given.root.absolute()
    instructions = final_stage(read_dockerfile(DOCKERFILE.read_text()), arguments)
    root = Root(
        path,
        given.bind,
        assignments(shlex.join(given.env)),
        given.cache or path.with_name(f"{path.name}-cache"),
    )
    try:
        if path.exists():
            instructions = [
                step for step in instructions if step.name not in ("FROM", "RUN", "COPY")
            ]
        else:
            stand_in_base(path, given.base or path.with_name(f"{path.name}-base"), given.mirror)
        build(root, instructions, arguments)
        root.network, root.user = not given.no_network, given.user or root.user
        for command in given.then:
            print(f"$ {command}", flush=True)
            whole = root.command([*root.entrypoint, *shlex.split(command)], groups="0")
            print(f"  exit status {subprocess.run(whole).returncode}", flush=True)
    except (subprocess.CalledProcessError, ValueError) as error:
        print(
            "FAILED: "
            f"{error if isinstance(error, ValueError) else f'exit status {error.returncode}'}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
