"""Is this interpreter fit to carry the stack? Prints its real path, or says on stderr what is
missing and exits with 1.

Run by whatever `python3` the host has: old syntax and the standard library only.
"""

import importlib
import sys
import sysconfig
from pathlib import Path

# Module → what it takes, when the interpreter was compiled without it.
NEEDED = {
    "bz2": "libbz2",
    "ctypes": "libffi",
    "lzma": "liblzma",
    "sqlite3": "libsqlite3",
    "ssl": "libssl",
    "zlib": "zlib",
}


def missing() -> list:  # type: ignore[type-arg]
    """What this interpreter lacks, one phrase each."""
    if sys.version_info[:2] != (3, 11):
        return [
            "version 3.11, which ONNX Runtime Training needs (this is {}.{})".format(
                *sys.version_info[:2]
            )
        ]
    lacks = []
    for module, library in NEEDED.items():
        try:
            importlib.import_module(module)
        except ImportError:
            lacks.append(f"module {module} (compiled without {library})")
    # ORT's extensions are compiled on this host against Python's C API.
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        lacks.append("Python.h (Debian, Ubuntu: python3.11-dev; Fedora, RHEL: python3.11-devel)")
    return lacks


if __name__ == "__main__":
    lacks = missing()
    if lacks:
        sys.exit("lacks " + ", ".join(lacks))
    print(Path(sys.executable).resolve())
