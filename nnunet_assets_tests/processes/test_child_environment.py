"""The environment of a child: what training needs, what the user adds, and no credential under any name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.processes.child_environment import FAMILIES, child_environment, is_pattern

NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C.UTF-8",
    "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
    "nnUNet_raw": "/data@site/raw",
    "nnUNet_n_proc_DA": "4",
    "nnUNet_extTrainer": "/mine/trainers",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "CUDA_HOME": "/usr/local/cuda",
    "NCCL_DEBUG": "INFO",
    "TORCHINDUCTOR_CACHE_DIR": "/scratch",
    "TORCH_HOME": "/scratch/torch",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "SLURM_JOB_ID": "17",
    "PYTHONPATH": "/mine",
    "https_proxy": "http://proxy:3128",
    "SSL_CERT_FILE": "/etc/ssl/cert.pem",
    "DAGSTER_PIPES_CONTEXT": "eJyrVkrKz1eyUlBKSixSqgUAKLgFPg==",
    "NNUNET_ASSETS_FOLDS_AT_ONCE": "2",
    # torch.compile links with what a module names; packages of EasyBuild's modules are found by it
    "LIBRARY_PATH": "/cvmfs/gcc/lib",
    "CPATH": "/cvmfs/gcc/include",
    "EBPYTHONPREFIXES": "/cvmfs/scipy:/cvmfs/torch",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "GLIBC_TUNABLES": "glibc.malloc.arena_max=2",
    "HF_HUB_OFFLINE": "1",
    "SLURMD_NODENAME": "gpu07",
}
SECRET = {
    "MLFLOW_TRACKING_URI": "https://me:hunter2@host",
    "MLFLOW_TRACKING_PASSWORD": "hunter2",
    "MLFLOW_TRACKING_USERNAME": "me",
    "PGPASSWORD": "hunter2",
    "MYSQL_PWD": "hunter2",
    "GITHUB_PAT": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AZURE_STORAGE_SAS": "sv=2024&sig=hunter2",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountKey=hunter2",
    "DATA_URL": "https://host/data?access_token=hunter2",
    "HF_TOKEN": "hunter2",
    "storage_key": "hunter2",
    "SECRET_SAUCE_OF_THE_HOUSE": "hunter2",
    "KRB5CCNAME": "/tmp/krb5cc_0",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "SLURM_JWT": "hunter2.hunter2",
    "SLURM_TOKEN": "hunter2",
    "nnUNet_password": "hunter2",
    "http_proxy": "http://me:hunter2@proxy:3128",
    "WANDB_API_KEY": "hunter2",
    "PYTHONSTARTUP": "/home/me/.pythonrc",
    "PYTHONBREAKPOINT": "evil.run",
}


def test_a_child_gets_what_training_needs_and_nothing_else() -> None:
    assert child_environment({**NEEDED, **SECRET}) == NEEDED


@given(st.from_regex(r"[A-Z][A-Z_]{2,20}", fullmatch=True))
def test_a_name_of_no_family_never_passes(name: str) -> None:
    of_a_family = any(name == known or (known.endswith("*") and name.startswith(known[:-1])) for known in FAMILIES)
    assert (name in child_environment({name: "x"})) <= of_a_family


def test_what_the_user_names_passes_whatever_it_holds() -> None:
    variables = {"MY_SERVER": "https://me:pw@host", "MY_TOKEN": "x", "MINE": "y", "OTHER": "z"}
    assert child_environment(variables, ["MY_*", "MINE"]) == {k: v for k, v in variables.items() if k != "OTHER"}


@pytest.mark.parametrize(("switch", "passes"), [("1", True), ("True", True), ("0", False), ("", False)])
def test_the_key_of_weights_and_biases_passes_where_nnunet_is_asked_to_use_it(switch: str, passes: bool) -> None:
    variables = {"nnUNet_wandb_enabled": switch, "WANDB_API_KEY": "hunter2"}
    assert ("WANDB_API_KEY" in child_environment(variables)) is passes


@pytest.mark.parametrize(
    ("text", "is_one"), [("MINE", True), ("MY_*", True), ("*", False), ("A B", False), ("1A", False)]
)
def test_a_pattern_is_a_name_or_a_beginning(text: str, is_one: bool) -> None:
    assert is_pattern(text) is is_one


@pytest.mark.parametrize("value", ["/home/pat:/opt/lib", ":/opt/token:/usr/bin:", "/srv/secret:/data/jwt:/bin"])
def test_folders_that_are_called_like_a_credential_are_folders(value: str) -> None:
    assert child_environment({"PATH": value, "LD_LIBRARY_PATH": value}) == {"PATH": value, "LD_LIBRARY_PATH": value}


@pytest.mark.parametrize("value", ["/bin:token=hunter2hunter2", "/data?token=hunter2", "/x/ghp_" + 30 * "a"])
def test_what_is_more_than_folders_is_looked_at_as_a_whole(value: str) -> None:
    assert child_environment({"PATH": value}) == {}
