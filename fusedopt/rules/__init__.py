"""One file per paper: the maths as a plain function, and the class that users construct."""

import importlib
import pkgutil

from .. import nnmf

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
nnmf.build_all()
