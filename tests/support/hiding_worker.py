"""The real worker, except that ORTModule is told to hide a failed export and to go on in PyTorch,
as it does where nobody tells it otherwise.
"""

from harness.worker import __main__
from harness.worker.backends.onnxruntime import OnnxRuntime

environment = OnnxRuntime.environment


def hiding(backend: OnnxRuntime) -> dict[str, str]:
    return {
        **environment(backend),
        "ORTMODULE_FALLBACK_POLICY": "FALLBACK_UNSUPPORTED_ONNX_MODEL",
    }


OnnxRuntime.environment = hiding  # type: ignore[method-assign]
__main__.main()
