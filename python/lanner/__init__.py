"""Lanner: a compiler and concurrent virtual machine for object detectors.

    import lanner
    model = lanner.compile("ssd.onnx")
    outputs = model.run({"image": array})
    print(model.profile({"image": array}, runs=20).table())
    model.save("ssd.lanner")
"""

import os as _os

# libgomp reads this once, when it is loaded. Its default burns milliseconds of CPU per idle thread after every parallel
# region; this keeps short waits fast and idles within microseconds. Settings of the user's win.
if "OMP_WAIT_POLICY" not in _os.environ:
    _os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from lanner._core import Error, __version__  # noqa: E402
from lanner._model import Explanation, Model, Profile, ValueInfo, compile, load  # noqa: E402

__all__ = ["Error", "Explanation", "Model", "Profile", "ValueInfo", "__version__", "compile", "load"]
