"""What a process that runs nnU-Net, and with it trainers of anybody's making, gets of the environment of its parent.

A list of what may pass, not of what may not: credentials for tracking, databases, clouds and code hosts have any name.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from nnunet_assets.core.text.redaction import is_secret_name, redacted

FAMILIES = (
    # nnU-Net and this package
    *("nnUNet_*", "NNUNET_ASSETS_*", "DAGSTER_PIPES_*"),
    # devices, and processes that train together
    *(
        "CUDA*",
        "NVIDIA_*",
        "NV_*",
        "CUBLAS_*",
        "CUDNN_*",
        "NCCL_*",
        "GLOO_*",
        "UCX_*",
        "TORCH*",
        "PYTORCH_*",
        "TRITON_*",
        "CUBLASLT_*",
        "NVRTC_*",
        "NVSHMEM_*",
        "FI_*",
        "IBV_*",
        "RDMAV_*",
    ),
    *(
        "HIP_*",
        "HSA_*",
        "ROCR_*",
        "ROCM_*",
        "MIOPEN_*",
        "MASTER_ADDR",
        "MASTER_PORT",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "GPU_DEVICE_ORDINAL",
        "ROCBLAS_*",
        "HIPBLASLT_*",
    ),
    # threads, memory and libraries of numbers and images
    *("OMP_*", "GOMP_*", "MKL_*", "KMP_*", "OPENBLAS_*", "BLIS_*", "VECLIB_*", "NUMEXPR_*", "MALLOC_*", "ITK_*"),
    *("DNNL_*", "ONEDNN_*", "ATEN_*", "KINETO_*", "NUMBA_*", "NPY_*", "NUMPY_*", "GOTO_NUM_THREADS", "TQDM_*"),
    *("GLIBC_TUNABLES", "TCMALLOC_*", "MIMALLOC_*"),
    *("SITK_*", "BLOSC_*", "HDF5_*", "MPLCONFIGDIR", "MPLBACKEND", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*"),
    # the machine and its user
    *(
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "TERM",
        "HOSTNAME",
        "TMPDIR",
        "TMP",
        "TEMP",
        "TZ",
        "LANG",
        "LANGUAGE",
    ),
    *("LC_*", "XDG_*", "SLURM_*", "SLURMD_NODENAME", "LSB_JOBID", "PBS_JOBID", "PBS_NODEFILE", "SYSTEMROOT"),
    # the compiler that torch.compile calls, and where environment modules, Nix and Xcode put what it needs
    *("CC", "CXX", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "COMPILER_PATH"),
    *("GCC_EXEC_PREFIX", "NIX_*", "SDKROOT", "DEVELOPER_DIR"),
    # Python, and the packages of EasyBuild's modules; not PYTHONSTARTUP, PYTHONINSPECT and PYTHONBREAKPOINT, which
    # run something
    *(
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONHOME",
        "PYTHONUSERBASE",
        "PYTHON_CPU_COUNT",
        "PYTHON_GIL",
        "PYTHONDEVMODE",
        "PYTHONPLATLIBDIR",
        "EBPYTHONPREFIXES",
    ),
    *("PYTHONNOUSERSITE", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE"),
    *("PYTHONPYCACHEPREFIX", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONFAULTHANDLER", "PYTHONMALLOC", "PYTHONOPTIMIZE"),
    # the way out, for nnU-Net's optional logger and weights that a trainer downloads
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HUGGINGFACE_HUB_CACHE"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)
"""Names, and beginnings of names (`*`)."""

WANDB_SWITCH, WANDB_FAMILY = "nnUNet_wandb_enabled", "WANDB_*"
"""nnU-Net's own optional logger reads its credentials from the environment, where this switches it on."""


def child_environment(variables: Mapping[str, str], added: Iterable[str] = ()) -> dict[str, str]:
    """Returns the variables that a child gets.

    Args:
        variables: The parent's.
        added: What the user lets through beside the families, in the same form. These pass whatever they hold; of the
            others, none does that has a secret's name or holds what looks like a credential, as a proxy may.
    """
    is_asked_for = _matcher([*added, *([WANDB_FAMILY] if _is_on(variables.get(WANDB_SWITCH)) else [])])
    is_needed = _matcher(FAMILIES)
    return {
        name: value
        for name, value in variables.items()
        if is_asked_for(name) or (is_needed(name) and not is_secret_name(name) and _holds_no_credential(value))
    }


def _holds_no_credential(value: str) -> bool:
    # Of folders with colons between them each alone: /home/pat:/opt assigns nothing to `pat`.
    folders = value.split(":")
    are_paths = all(folder.startswith("/") and not folder.startswith("//") for folder in folders if folder)
    return all(redacted(part) == part for part in (folders if are_paths else [value]))


def is_pattern(text: str) -> bool:
    """Says whether a text is a variable's name, or the beginning of names with a `*` behind it."""
    return re.fullmatch(r"[A-Za-z_]\w*\*?", text) is not None


def _matcher(patterns: Iterable[str]) -> Callable[[str], object]:
    alternatives = [re.escape(pattern).replace(r"\*", ".*") for pattern in patterns]
    return re.compile("|".join(alternatives) or r"(?!)").fullmatch


def _is_on(switch: str | None) -> bool:
    return switch in ("1", "True", "true")
