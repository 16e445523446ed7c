"""Whether the packages are there and fit each other, and whether torch runs and sees a device."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.processes.interpreter import python_command, with_safe_imports
from nnunet_assets.project_folder.dagster_home import count_gpus

PACKAGE = "nnunet_assets"

# In an interpreter of its own: importing torch takes seconds, and a broken one may end its process.
_TORCH_PROBE = """
import json, torch, torchvision
gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
print(json.dumps([torch.__version__, torchvision.__version__, gpus, torch.backends.mps.is_available()]))
"""
_TORCH_SECONDS = 300


def package_findings() -> Iterator[Finding]:
    """Compares what is installed with what the package asks for, and dagster with dagster-webserver."""
    from packaging.requirements import Requirement

    python = ".".join(map(str, sys.version_info[:3]))
    try:
        asked = [Requirement(text) for text in requires(PACKAGE) or []]
        yield Finding("ok", "nnunet_assets", f"{version(PACKAGE)} on Python {python}")
    except PackageNotFoundError:
        yield Finding("error", "nnunet_assets", "is not installed, only on the path.", "pip install -e .")
        return
    installed = {}
    for requirement in asked:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        wanted = f"'{requirement.name}{requirement.specifier}'"
        found = installed[requirement.name] = _version(requirement.name)
        if found is None:
            yield Finding("error", requirement.name, "is not installed.", f"pip install {wanted}")
        elif not requirement.specifier.contains(found, prereleases=True):
            yield Finding("error", requirement.name, f"{found} does not fit {wanted}.", f"pip install {wanted}")
    shown = ("dagster", "mlflow", "nnunetv2")
    versions = ", ".join(f"{name} {installed[name]}" for name in shown if installed.get(name))
    yield Finding("ok", "packages", f"{sum(v is not None for v in installed.values())} of {len(installed)}: {versions}")
    yield from _same_version(installed.get("dagster"), installed.get("dagster-webserver"))


def nnunet_findings() -> Iterator[Finding]:
    """Looks up in nnU-Net's sources every name that is used of it."""
    from nnunet_assets.nnunet.seams import TESTED, installed_nnunet

    found = installed_nnunet()
    if found.problem:
        problem, _, remedy = found.problem.rpartition(". ")
        yield Finding("error", "nnU-Net", f"{problem}.", remedy)
    elif found.is_tested:
        yield Finding("ok", "nnU-Net", f"nnunetv2 {found.version} has every name that is used of it.")
    else:
        yield Finding(
            "warning",
            "nnU-Net",
            f"nnunetv2 {found.version} has every name that is used of it, but the tests ran with {', '.join(TESTED)}.",
            "Compare a short fold with what you know (`nnunet-assets demo`), or take a version that was tested.",
        )


def _same_version(dagster: str | None, webserver: str | None) -> Iterator[Finding]:
    if dagster and webserver and dagster != webserver:
        yield Finding(
            "error",
            "dagster-webserver",
            f"{webserver} beside dagster {dagster}: the two must be the same version.",
            f"pip install dagster-webserver=={dagster}",
        )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def torch_findings(variables: Mapping[str, str]) -> Iterator[Finding]:
    """Imports torch and torchvision in a child process and compares their devices with the driver's."""
    try:
        probe = subprocess.run(
            python_command("-c", _TORCH_PROBE),
            env=with_safe_imports(variables) if variables else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_TORCH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        yield Finding("error", "torch", f"is not imported after {_TORCH_SECONDS} s.", "Look at the disk it lies on.")
        return
    if probe.returncode != 0:
        reason = (probe.stderr.strip() or f"its process ended with {probe.returncode}").splitlines()[-1]
        yield Finding(
            "error",
            "torch",
            f"torch and torchvision cannot be imported: {reason}",
            "Install both together and from one index: pip install --force-reinstall torch torchvision",
        )
        return
    torch_version, torchvision_version, gpus, has_mps = json.loads(probe.stdout.splitlines()[-1])
    yield Finding("ok", "torch", f"{torch_version}, torchvision {torchvision_version}")
    yield _device_finding(gpus, has_mps, count_gpus(variables))


def _device_finding(gpus: list[str], has_mps: bool, n_driver_gpus: int) -> Finding:
    if gpus:
        return Finding("ok", "device", f"{len(gpus)} CUDA: {', '.join(gpus)}")
    if n_driver_gpus:
        return Finding(
            "error",
            "device",
            f"the driver lists {n_driver_gpus} GPU, torch sees none: torch is a CPU build, or newer than the driver.",
            "Install a torch build for your driver's CUDA version (nvidia-smi shows it), or update the driver.",
        )
    if has_mps:
        return Finding("ok", "device", "Apple's GPU (mps)")
    return Finding(
        "warning",
        "device",
        "no GPU: folds train on the CPU.",
        "Enough for the example; nnU-Net's own 1000 epochs would take weeks.",
    )
