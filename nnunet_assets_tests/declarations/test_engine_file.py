"""Where folds train, as a project and its experiments declare it: what is taken, and what is refused at which line."""

from pathlib import Path

import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.declarations.engine_file import declared_engine
from nnunet_assets.declarations.project import read_project
from nnunet_assets.declarations.sections.engine_config import OWN_OPTIONS, EngineConfig
from nnunet_assets.errors import ConfigError
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project

WHOLE = """\
kind: slurm
gpus: 2
gpu_type: a100
cpus: 12
memory_gb: 60.5
time_limit_minutes: 1440
partition: gpu
account: radiology
options: ["--qos=long", "--exclude=n[1,3]"]
modules: [cuda/12.1]
prologue: /shared/set up.sh
"""


def project(root: Path, engine: str, experiment: str = "") -> Path:
    """Writes a project with this engine.yaml and these further lines of its experiment."""
    write_project(root, {"defs.yaml": documents(DATASET, EXPERIMENT + experiment)})
    (root / "engine.yaml").write_text(engine)
    return root


def engine_of(root: Path) -> EngineConfig:
    return declared_engine(root, read_project(root).experiments[0])


def test_without_a_declaration_folds_train_here(tmp_path: Path) -> None:
    write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})
    assert engine_of(tmp_path).chosen == "local"


def test_everything_that_a_project_declares_becomes_a_jobs_resources(tmp_path: Path) -> None:
    engine = engine_of(project(tmp_path, WHOLE))
    assert engine.chosen == "slurm"
    assert engine.resources(device="auto", num_gpus=1) == Resources(
        2,
        "a100",
        12,
        60.5,
        1440,
        "gpu",
        "radiology",
        ("--qos=long", "--exclude=n[1,3]"),
        ("cuda/12.1",),
        "/shared/set up.sh",
    )


def test_what_an_experiment_declares_goes_before_it_and_the_rest_is_the_projects(tmp_path: Path) -> None:
    own = "  engine: {time_limit_minutes: 60, options: [], partition: short}\n"
    found = engine_of(project(tmp_path, WHOLE, own)).resources(device="cuda", num_gpus=1)
    assert (found.time_limit_minutes, found.partition, found.options) == (60, "short", ())
    assert (found.cpus, found.modules) == (12, ("cuda/12.1",))
    assert engine_of(project(tmp_path / "2", WHOLE, "  engine: {kind: local}\n")).chosen == "local"


def test_how_many_folds_train_at_once_is_for_the_project_to_say(tmp_path: Path) -> None:
    declared = read_project(project(tmp_path / "1", "kind: slurm\nfolds_at_once: 50\n"))
    assert declared.engine.folds_at_once == 50
    assert declared.in_jobs == declared.experiments
    assert declared.engine.resources(device="cpu", num_gpus=1) == Resources(gpus=0)
    with pytest.raises(ConfigError, match=r"engine\.folds_at_once: is not a field here"):
        read_project(project(tmp_path / "2", "", "  engine: {folds_at_once: 2}\n"))


RAY = """\
kind: ray
address: 10.0.0.1:6379
gpus: 0.5
cpus: 8
memory_gb: 32
custom_resources: {fast_disk: 1}
"""


def test_a_task_of_ray_has_a_part_of_a_gpu_and_what_only_ray_knows(tmp_path: Path) -> None:
    found = engine_of(project(tmp_path, RAY)).resources(device="auto", num_gpus=1)
    assert found == Resources(
        gpus=0.5, cpus=8, memory_gb=32, address="10.0.0.1:6379", custom_resources={"fast_disk": 1}
    )


@pytest.mark.parametrize(
    ("whole", "own", "kind", "given"),
    [
        (RAY, "{kind: slurm, gpus: 1, partition: gpu}", "slurm", {"gpus": 1, "cpus": 8, "partition": "gpu"}),
        (WHOLE, "{kind: ray}", "ray", {"gpus": 2, "cpus": 12, "gpu_type": "a100", "modules": ("cuda/12.1",)}),
    ],
)
def test_another_engine_than_the_projects_takes_over_what_both_understand(
    tmp_path: Path, whole: str, own: str, kind: str, given: dict[str, object]
) -> None:
    found = engine_of(project(tmp_path, whole, f"  engine: {own}\n"))
    assert found.chosen == kind
    asked = found.resources(device="cuda", num_gpus=1)
    assert given.items() <= vars(asked).items()
    assert (asked.address, asked.options, asked.account, asked.time_limit_minutes) == (None, (), None, None)


@pytest.mark.parametrize(("device", "num_gpus", "gpus"), [("auto", 1, 1), ("cuda", 3, 3), ("cpu", 1, 0)])
def test_a_job_has_the_gpus_that_its_fold_trains_on(device: str, num_gpus: int, gpus: int) -> None:
    assert EngineConfig(kind="slurm").resources(device=device, num_gpus=num_gpus).gpus == gpus


def test_where_a_fold_trains_is_no_part_of_what_is_trained(tmp_path: Path) -> None:
    (here,) = read_project(project(tmp_path / "1", "")).experiments
    (there,) = read_project(project(tmp_path / "2", WHOLE, "  engine: {gpus: 4}\n")).experiments
    assert here.training_hash() == there.training_hash()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("kind: Slurm", "kind: Slurm is not allowed. Did you mean slurm? Allowed: local, slurm, ray."),
        ("cpu: 4", "cpu: is not a field here. Did you mean cpus?"),
        ("folds_at_once: 0", "folds_at_once: 0 is out of range: it must be at least 1."),
        ("cpus: 0", "cpus: 0 is out of range: it must be at least 1."),
        ("memory_gb: 60G", "memory_gb: must be a number, not 60G."),
        ("time_limit_minutes: 24:00", "time_limit_minutes: YAML reads 24:00 as a number in base 60."),
        ("partition: 7", "partition: must be text, not 7. YAML reads 7 as the number 7: put it in quotes."),
        ("account: 'a b'", "account: 'a b' is not a name of letters, digits"),
        ('partition: "gpu\\n#SBATCH --uid=0"', "is not a name of letters, digits"),
        ("partition: --uid=0", "partition: '--uid=0' is not a name of letters, digits"),
        ("options: --qos=long", "options: must be a list"),
        ('options: ["--qos=long --uid=0"]', ""),
        ('options: ["-p gpu"]', "options[0]: '-p gpu' is not one option in the form --name or --name=value"),
        ('options: ["--comment=a\\n--uid=0"]', "is not one option in the form --name or --name=value"),
        ('options: ["job.sh"]', "options[0]: 'job.sh' is not one option"),
        ('options: ["--export=ALL"]', "options[0]: '--export=ALL': --export is set by nnunet_assets"),
        ('options: ["--exp=ALL"]', "options[0]: '--exp=ALL': --export is set by nnunet_assets"),
        ('options: ["--arr=1-9"]', "options[0]: '--arr=1-9': --array is set by nnunet_assets"),
        ('modules: ["cuda; rm -rf /"]', "is not a name of letters, digits"),
        ('modules: ["$(id)"]', "is not a name of letters, digits"),
        ("modules: [-v]", "is not a name of letters, digits"),
        ("prologue: set_up.sh", "prologue: 'set_up.sh' is not the absolute path of a file"),
        ('prologue: "/a\\n#SBATCH --uid=0"', "is not the absolute path of a file"),
        ("num_gpus: 1", "num_gpus: is not a field here"),
        ("custom_resources: {fast_disk: two}", "custom_resources.fast_disk: must be a number, not two"),
        ("gpus: 1.5", "gpus: 1.5 is neither a whole number of GPUs nor a part of one"),
        ("address: 10.0.0.1", "address: '10.0.0.1' is not where a Ray cluster is reached: HOST:PORT of its head"),
        ("address: ray://10.0.0.1:10001", "is not where a Ray cluster is reached"),
        ("address: http://10.0.0.1:8265", "is not where a Ray cluster is reached"),
        ("custom_resources: {fast_disk: 0}", "0 is out of range: it must be more than 0"),
        ("custom_resources: {'a b': 1}", "'a b' is not a name of letters, digits"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, line: str, sentence: str) -> None:
    text = f"cpus: 4\n{line}\n".replace("cpus: 4\ncpus", "gpus: 1\ncpus")
    if not sentence:  # one argument, of whose value Slurm may think what it likes
        assert engine_of(project(tmp_path, text)).options == ["--qos=long --uid=0"]
        return
    with pytest.raises(ConfigError) as caught:
        read_project(project(tmp_path, text))
    (found,) = str(caught.value).splitlines()[1:]
    assert found.startswith("engine.yaml:2: ")
    assert sentence in found


@pytest.mark.parametrize("option", OWN_OPTIONS)
def test_no_option_by_which_a_job_is_supervised_may_be_given(option: str) -> None:
    for text in (option, f"{option}=1", option[:5]):
        with pytest.raises(ValueError, match="is set by nnunet_assets"):
            EngineConfig(options=[text])


def test_an_experiments_own_is_told_at_its_own_line(tmp_path: Path) -> None:
    files = {"defs.yaml": documents(DATASET, EXPERIMENT + "  engine:\n    gpus: -1\n")}
    (found,) = errors_of(tmp_path, files)
    assert found == "defs.yaml:10: attributes.engine.gpus: -1 is out of range: it must be at least 0."


@pytest.mark.parametrize(
    ("engine", "experiment", "sentence"),
    [
        ("kind: slurm\ngpus: 1\n", "  num_gpus: 2\n", "by engine.yaml the job gets 1 GPUs, and the fold trains on 2"),
        ("", "  num_gpus: 2\n  engine: {kind: slurm, gpus: 1}\n", "the job gets 1 GPUs, and the fold trains on 2"),
        ("kind: ray\ncpus: 8\ngpus: 0.5\n", "  num_gpus: 2\n", "the job gets 0.5 GPUs, and the fold trains on 2"),
        ("kind: ray\n", "", "kind: ray needs `cpus`, the processors of each fold"),
        (
            "kind: ray\ncpus: 8\n",
            "  engine: {partition: gpu}\n",
            "partition: Ray knows nothing of the kind, Slurm does",
        ),
        ("kind: slurm\n", "  engine: {gpus: 0.5}\n", "0.5 is a part of a GPU, and Slurm gives whole ones"),
        ("kind: slurm\naddress: auto\n", "", "engine.yaml:2: address: Slurm knows nothing of the kind, Ray does"),
        ("kind: ray\noptions: []\n", "", "engine.yaml:2: options: Ray knows nothing of the kind"),
        ("kind: slurm\ngpus: 0.5\n", "", "engine.yaml:2: gpus: 0.5 is a part of a GPU"),
    ],
)
def test_what_contradicts_the_engine_or_the_fold_is_refused(
    tmp_path: Path, engine: str, experiment: str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_project(project(tmp_path, engine, experiment))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- slurm\n", "must be fields, one `name: value` a line"),
        ("kind: slurm\n---\nkind: local\n", "one document is all that this file may have"),
        ("kind: slurm\nkind: local\n", "kind"),
        ("kind: [\n", "engine.yaml:"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=r"1 error"):
        read_project(project(tmp_path, text))
    with pytest.raises(ConfigError) as caught:
        engine_of_config(tmp_path)
    assert sentence in str(caught.value)


def engine_of_config(root: Path) -> EngineConfig:
    """Returns the engine as a run reads it when it starts, while the file is wrong."""
    whole = (root / "engine.yaml").read_text()
    (root / "engine.yaml").unlink()
    (config,) = read_project(root).experiments
    (root / "engine.yaml").write_text(whole)
    return declared_engine(root, config)
