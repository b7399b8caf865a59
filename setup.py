"""Drives CMake; everything else about the package stands in pyproject.toml.

Environment: FUSEDOPT_NATIVE=0 installs without compiled code (the eager and Triton engines remain), FUSEDOPT_CUDA=0
leaves the CUDA engine out even where nvcc is found, CMAKE_ARGS adds options to CMake's configure step.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()


def dlpack_include():
    """The folder of a dlpack.h that has the exchange API: the tvm-ffi package's, or torch's own copy."""
    for package, folder in (("tvm_ffi", "include/dlpack"), ("torch", "include/ATen")):
        spec = importlib.util.find_spec(package)
        header = Path(spec.origin).parent / folder / "dlpack.h" if spec and spec.origin else None
        if header and header.exists() and "DLPackExchangeAPI" in header.read_text():
            return str(header.parent)
    raise SystemExit("fusedopt: no dlpack.h with the exchange API; install apache-tvm-ffi, a build requirement")


class CMakeBuild(build_ext):
    def build_extension(self, ext):
        if not (os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")):
            raise SystemExit(
                "fusedopt: no C++ compiler found. Install one (Debian: apt-get install g++) or set CXX, or install "
                "without compiled code, which leaves the eager and Triton engines: FUSEDOPT_NATIVE=0 pip install ."
            )
        import pybind11

        build = Path(self.build_temp).resolve()
        build.mkdir(parents=True, exist_ok=True)
        prefix = Path(self.get_ext_fullpath(ext.name)).resolve().parent.parent
        configure = [
            "cmake", str(ROOT), "-G", "Ninja",
            f"-DCMAKE_INSTALL_PREFIX={prefix}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DDLPACK_INCLUDE_DIR={dlpack_include()}",
            f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja')}",  # an isolated build has another one every time
            f"-DFUSEDOPT_CUDA={os.environ.get('FUSEDOPT_CUDA', 'AUTO')}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]  # fmt: skip
        subprocess.run(configure, cwd=build, check=True)
        subprocess.run(["cmake", "--build", ".", "--target", "install"], cwd=build, check=True)


native = os.environ.get("FUSEDOPT_NATIVE", "1") != "0"
setup(
    ext_modules=[Extension("fusedopt._C", sources=[])] if native else [],
    cmdclass={"build_ext": CMakeBuild},
)
