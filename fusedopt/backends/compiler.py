"""Compiles rules that ``fusedopt._C`` does not have, such as a user's own, or a rule with building blocks around it.

A library is made once, by the compiler that ``CXX`` names, else ``c++`` or ``g++``, and kept in ``FUSEDOPT_CACHE_DIR``,
else in ``fusedopt`` in the user's cache folder. ``FUSEDOPT_COMPILE=0`` turns this off.
"""

import functools
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from .. import emit
from . import native

SOURCES = Path(__file__).parent.parent / "csrc"


class Unavailable(RuntimeError):
    """Why a rule cannot be compiled."""


ARITHMETIC = {torch.float32: "float", torch.float64: "double"}
_loaded: dict = {}  # rule and arithmetic -> the name of its kernel
_refused: dict = {}  # rule and arithmetic -> why it was not compiled


def kernel_name(rule, dtype):
    """What ``_C`` calls the rule's kernel."""
    return _loaded.get((rule, dtype)) or emit.kernel_name(rule)


def refusal(rule, dtype):
    """Why the C++ engine cannot run ``rule`` in this arithmetic, or None; compiles it where that is needed, once."""
    key = rule, dtype
    if key in _loaded or emit.kernel_name(rule) in native.rules():
        return None
    if key not in _refused:
        try:
            load([rule], dtype)
        except Unavailable as error:
            _refused[key] = str(error)
    return _refused.get(key)


def load(rules, dtype, options=()):
    """Compiles rules into one library, unless the cache has it, and loads that. Raises Unavailable, saying why.

    ``options`` follow those that the installed kernels were compiled with.
    """
    arithmetic = ARITHMETIC[dtype]
    names = {rule: f"{emit.kernel_name(rule)}_{arithmetic}" for rule in rules}
    header = emit.rules_header({names[rule]: rule for rule in rules})
    command = [*_compiler(), *_flags(), f"-DFUSEDOPT_ARITHMETIC={arithmetic}", *options]
    native._C.load(str(_library(header, command)))
    _loaded.update({(rule, dtype): name for rule, name in names.items()})


def _library(header, command):
    key = hashlib.sha256("\0".join([header, _sources_digest(), *command]).encode()).hexdigest()[:24]
    library = _cache() / f"{key}.so"
    if not library.exists():
        _compile(command, header, library)
    return library


def _compile(command, header, library):
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        rules, made = Path(folder) / "rules.h", Path(folder) / "rules.so"
        rules.write_text(header)
        engine = SOURCES / "cpu"
        files = [f'-DFUSEDOPT_RULES="{rules}"', f"-I{engine}", str(engine / "kernels.cpp"), "-o", str(made)]
        result = subprocess.run([*command, *files], capture_output=True, text=True)
        if result.returncode != 0:
            first = next((line for line in result.stderr.splitlines() if "error" in line), "without a word")
            raise Unavailable(f"{shlex.join(command)} failed: {first}")
        os.replace(made, library)  # at once, as several processes may compile the same


@functools.cache
def _compiler():
    if os.environ.get("FUSEDOPT_COMPILE") == "0":
        raise Unavailable("FUSEDOPT_COMPILE=0 forbids compiling rules")
    if named := os.environ.get("CXX"):
        return shlex.split(named)
    found = shutil.which("c++") or shutil.which("g++")
    if not found:
        raise Unavailable("no C++ compiler was found; install one (Debian: apt-get install g++) or set CXX")
    return [found]


def described():
    """The compiler of rules that are not in the build, or why there is none."""
    try:
        return f"{shlex.join(_compiler())}, keeps rules in {_cache()}"
    except Unavailable as error:
        return f"none: {error}"


@functools.cache
def _flags():
    """Those that the installed kernels of this CPU's instruction set were compiled with."""
    known = json.loads((SOURCES / "isas.json").read_text())
    return ["-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", "-Wno-psabi", *known[native._C.isa()]]


@functools.cache
def _sources_digest():
    digest = hashlib.sha256()
    for path in [*sorted(SOURCES.rglob("*.h")), SOURCES / "cpu" / "kernels.cpp"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache():
    named = os.environ.get("FUSEDOPT_CACHE_DIR")
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(folder) / "fusedopt"
