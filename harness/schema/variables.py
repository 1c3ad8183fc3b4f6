"""Which environment variables may decide a result: the allow-list of what is recorded of them.

A variable is recorded only if its name stands here or begins with a prefix that stands here, and if
nothing in its name speaks of a secret. Everything else stays out: settings of alerts, tokens, and
whatever the user's shell holds.
"""

from __future__ import annotations

DECISIVE_NAMES = frozenset(
    {
        # where weights and data come from
        *(
            "HF_DATASETS_CACHE",
            "HF_DATASETS_OFFLINE",
            "HF_ENDPOINT",
            "HF_HOME",
            "HF_HUB_CACHE",
            "HF_HUB_OFFLINE",
        ),
        *("HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "TRANSFORMERS_OFFLINE"),
        "TOKENIZERS_PARALLELISM",
        # which cards a container shows, and with what arithmetic
        *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_TF32_OVERRIDE"),
        # which libraries are loaded
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHASHSEED"),
        *("TORCH_CUDA_ARCH_LIST", "TORCH_DISTRIBUTED_DEBUG", "TORCH_DEVICE_BACKEND_AUTOLOAD"),
    }
)
# Families of variables that one library reads and that nobody else uses.
DECISIVE_PREFIXES = (
    *("CUDA_", "NCCL_", "NVSHMEM_", "GLOO_"),
    *("ORTMODULE_", "ORT_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_"),
    *("PYTORCH_", "TORCHINDUCTOR_", "TORCHDYNAMO_"),
    *(
        "TORCH_ALLOW_",
        "TORCH_BLAS_",
        "TORCH_COMPILE_",
        "TORCH_CUDNN_",
        "TORCH_LINALG_",
        "TORCH_NCCL_",
    ),
)
SECRET_NAMES = (
    "TOKEN",
    "KEY",
    "SECRET",
    "PASSW",
    "PASSPHRASE",
    "CREDENTIAL",
    "AUTH",
    "COOKIE",
    "WEBHOOK",
)


def is_secret(name: str) -> bool:
    """Whether a variable of this name may hold a secret; rather yes than no, tokenizers
    excepted.
    """
    plain = name.upper().replace("TOKENIZER", "")
    return any(word in plain for word in SECRET_NAMES)


def is_decisive(name: str) -> bool:
    """Whether a variable of this name may decide a result, and may therefore stand in a record."""
    return (name in DECISIVE_NAMES or name.startswith(DECISIVE_PREFIXES)) and not is_secret(name)
