"""What README and pages say, held against the code: their examples are run, their tables and quotations compared."""

import ast
import re
import runpy
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel

import nnunet_assets
from nnunet_assets import settings as settings_module
from nnunet_assets.cli.main import COMMANDS
from nnunet_assets.components import CrossValidationExperiment, Ensemble, NnunetDataset, Search
from nnunet_assets.core.evaluation.gap import GAP_METRICS, find_gaps
from nnunet_assets.core.fold.journal import read_records
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, PhantomConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.named_experiment import experiment_named, folds_named
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.declarations.search_config import BudgetConfig, SearchConfig, SearchedConfig
from nnunet_assets.declarations.sections.engine_config import ProjectEngine
from nnunet_assets.declarations.sections.found_ensembles_config import FoundEnsemblesConfig
from nnunet_assets.declarations.sections.splits_config import GroupsConfig, SplitsConfig
from nnunet_assets.declarations.sections.tracking_config import TrackingConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.declarations.sections.watch_config import WatchConfig
from nnunet_assets.jobs import build_jobs
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.processes import variables
from nnunet_assets.processes.variables import CHECKPOINTS_VARIABLE, CHILD_VARIABLES_VARIABLE, SHARE_FILES_VARIABLE
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_runs import gap_metrics, summary_metrics
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.store import names
from nnunet_assets_tests.assets.graphs import graph
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result
from nnunet_assets_tests.nnunet.training.test_journal_logger import log_epoch
from nnunet_assets_tests.project_builders import write_project

ROOT = Path(nnunet_assets.__file__).resolve().parents[1]
PACKAGE = ROOT / "nnunet_assets"

pytestmark = [
    pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="an installed package has no README"),
    # The jobs name the partitions that Dagster would find by itself.
    pytest.mark.filterwarnings("ignore:Parameter `partitions_def` of function `define_asset_job`:DeprecationWarning"),
]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if (ROOT / "README.md").exists() else []
README = "\n".join(page.read_text() for page in PAGES)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = [text for _, text in FENCED.findall(README)] + re.findall(r"`([^`\n]+)`", FENCED.sub("", README))


def blocks(language: str) -> list[str]:
    """Returns the texts between ```language and ```."""
    return [text for found, text in FENCED.findall(README) if found == language]


def table(heading: str) -> list[list[str]]:
    """Returns the cells of the only table under a heading, without its header."""
    section = re.split(r"^#+ ", README.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line.strip("|\n").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def declarations() -> dict[str, str]:
    """Returns each block that declares components, by the file in `experiments` that its first line names."""
    declaring = [text for text in blocks("yaml") if "nnunet_assets.components." in text]
    return {re.findall(r"^# experiments/(\S+)\n", text)[0]: text for text in declaring}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return read_project(write_project(tmp_path_factory.mktemp("readme"), declarations()))


@pytest.fixture(scope="module")
def definitions(project: Project) -> dg.Definitions:
    return dg.Definitions.merge(graph(project), dg.Definitions(jobs=build_jobs(project)))


def test_the_declarations_are_valid_and_none_is_overlooked(project: Project) -> None:
    documents = [kind for text in declarations().values() for kind in re.findall(r"^type: \S+\.(\w+)$", text, re.M)]
    declared = [NnunetDataset.__name__] * len(project.datasets)
    declared += [CrossValidationExperiment.__name__] * len(project.experiments)
    declared += [Ensemble.__name__] * len(project.ensembles)
    declared += [Search.__name__] * len(project.searches)
    assert sorted(documents) == sorted(declared)
    assert len(project.experiments) >= 2


def test_the_diagram_has_the_assets_of_the_graph_and_their_dependencies(definitions: dg.Definitions) -> None:
    (diagram,) = blocks("mermaid")
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", diagram, re.M))
    specs = list(definitions.resolve_all_asset_specs())
    assert drawn == {(dep.asset_key.path[-1], spec.key.path[-1]) for spec in specs for dep in spec.deps}
    assert set(re.findall(r'^ +(\w+)\["<b>\1</b>', diagram, re.M)) == {spec.key.path[-1] for spec in specs}


def test_the_experiments_and_folds_that_backfill_names_are_declared(project: Project) -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("nnunet-assets backfill")]
    named = [line.split()[2:] for line in lines] + [["4", "2d", "short"]]
    assert len(named) >= 2
    for words in named:
        experiment, _, folds = " ".join(words).partition(" --folds ")
        config = experiment_named([experiment], project)
        assert folds_named(folds or None, config, project), words


def test_the_split_is_one_that_a_dataset_may_declare() -> None:
    (text,) = [text for text in blocks("yaml") if text.startswith("splits:")]
    assert DatasetConfig.model_validate({"dataset": "Dataset004_Hippocampus", **yaml.safe_load(text)}).splits


def test_the_run_config_is_one_that_a_fold_takes(definitions: dg.Definitions) -> None:
    (config,) = [yaml.safe_load(text) for text in blocks("yaml") if text.startswith("ops:")]
    (op,) = config["ops"]
    job = definitions.resolve_job_def(f"train__{op.removesuffix('__fold_model')}")
    dg.validate_run_config(job, config)


def test_every_command_is_described_as_its_help_describes_it() -> None:
    described = {code_in(command)[0].split()[1]: text.replace("`", "") for command, text in table("Commands")}
    assert described == {name: text.replace("`", "") for name, (_, _, text) in COMMANDS.items()}


def test_the_commands_and_targets_that_are_named_exist() -> None:
    commands = {name for code in CODE for name in re.findall(r"\bnnunet-assets ([a-z][\w-]*)", code)}
    assert commands
    assert commands <= set(COMMANDS)
    targets = {name for code in CODE for name in re.findall(r"^make (?:[A-Z]+=\S+ )?([\w-]+)", code, re.M)}
    assert targets >= {"demo", "test"}
    assert targets <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_the_table_of_variables_is_what_the_settings_read() -> None:
    source = ast.parse(Path(settings_module.__file__).read_text())
    texts = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    used = {node.id for node in ast.walk(source) if isinstance(node, ast.Name)}
    texts |= {str(value) for name, value in vars(variables).items() if name in used}
    texts |= {*variables.FOLDERS} if "FOLDERS" in used else set()
    read = {text for text in texts if re.fullmatch(r"(NNUNET_ASSETS|NNUNET_TRACKER|nnUNet|MLFLOW|DAGSTER)_\w+", text)}
    assert {code_in(row[0])[0] for row in table("Environment variables")} == read


@pytest.mark.parametrize("variable", [code_in(row[0])[0] for row in table("Environment variables")])
def test_each_of_these_variables_changes_something(variable: str) -> None:
    roots = {name: f"/{name}" for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}

    def read(value: str) -> tuple[object, ...]:
        found = Settings.from_environment(environment={**roots, variable: value})
        return tuple(value for name, value in vars(found).items() if name != "variables")

    values = {
        SHARE_FILES_VARIABLE: ("0", "1"),
        variables.TRACKS_VARIABLE: ("0", "1"),
        variables.TRACKS_FILES_VARIABLE: ("no", "yes"),
        CHECKPOINTS_VARIABLE: ("1", "2"),
        CHILD_VARIABLES_VARIABLE: ("A", "B_*"),
    }
    one, other = values.get(variable, ("/one", "/other"))
    assert read(one) != read(other)


def test_the_variables_of_other_programs_are_theirs() -> None:
    sources = {"nnU-Net": "nnunetv2/**/*.py", "MLflow": "mlflow/environment_variables.py", "Dagster": "dagster/**/*.py"}
    for cell, program, _ in table("Variables that others read"):
        if program not in sources:
            continue
        package, _, pattern = sources[program].partition("/")
        spec = find_spec(package)
        assert spec
        assert spec.submodule_search_locations
        files = list(Path(spec.submodule_search_locations[0]).glob(pattern))
        for variable in code_in(cell):
            assert any(f'"{variable}"' in text or f"'{variable}'" in text for text in _texts(files)), variable


DATASET_MODELS = {
    "": DatasetConfig,
    "phantom.": PhantomConfig,
    "splits.": SplitsConfig,
    "splits.groups.": GroupsConfig,
    "found_ensembles.": FoundEnsemblesConfig,
}


def _texts(files: list[Path]) -> Iterator[str]:
    return (file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("`nnunet_assets.components.NnunetDataset`", DATASET_MODELS),
        ("`nnunet_assets.components.CrossValidationExperiment`", {"": ExperimentConfig}),
        ("`nnunet_assets.components.Ensemble`", {"": EnsembleConfig}),
        ("`watch`", {"": WatchConfig}),
        ("`nnunet_assets.components.Search`", {"": SearchConfig, "of.": SearchedConfig, "budget.": BudgetConfig}),
        ("`engine`", {"": ProjectEngine}),
        ("`tracking`", {"": TrackingConfig}),
        ("`variant`", {"": VariantConfig}),
    ],
)
def test_the_fields_and_their_defaults_are_those_of_the_declarations(
    heading: str, models: dict[str, type[BaseModel]]
) -> None:
    fields = {
        f"{prefix}{field.alias or name}": field
        for prefix, model in models.items()
        for name, field in model.model_fields.items()
    }
    shown = {code_in(name)[0]: default.strip("`") for name, default, _ in table(heading)}
    assert set(shown) == set(fields)
    for name, field in fields.items():
        if field.is_required():
            assert shown[name] == "required", name
        elif models[""] is VariantConfig:
            assert f"nnU-Net: {shown[name]}." in str(field.description), name
        elif field.default in (None, ""):
            assert shown[name] in ("none", "all", "empty"), name
        else:
            assert shown[name] == str(field.default), name


def test_the_metrics_and_tags_are_those_that_are_written(tmp_path: Path) -> None:
    written = {**vars(names), **vars(registry_names)}
    constants = {value for name, value in written.items() if name.isupper() and isinstance(value, str)}
    tags = {value for value in constants if value.startswith("nnunet_assets.")}
    assert {code for code in CODE if re.fullmatch(r"nnunet_assets\.[a-z_]+", code)} == tags
    cases = {"a": {"LABEL": 1.0}, "b": {"LABEL": 0.5}}
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)])
    scores = {"LABEL": {metric: [0.5] for metric in GAP_METRICS}}
    logger = JournalLogger(tmp_path / "journal", ["LABEL"], lambda *_: None)
    log_epoch(logger, 0)
    logger.close()
    (epoch,) = read_records(tmp_path / "journal")
    made = {
        "epoch": {series.removesuffix("/LABEL") for series in epoch.values},
        "summary": set(summary_metrics(summary)),
        "test set": {series.removesuffix("/LABEL") for series in gap_metrics(find_gaps(scores, scores, ["a"]))},
    }
    for cell, when, _ in table("MLflow"):
        for metric in code_in(cell):
            known = made.get(when, constants)
            assert metric.removesuffix("/LABEL") in known, metric


def test_every_quoted_error_is_one_that_the_code_can_raise() -> None:
    sentences = _sentences()
    quotations = [quotation for row in table("When it fails") for quotation in code_in(row[0])]
    assert len(quotations) >= 20
    for quotation in quotations:
        if re.fullmatch(r"\w+|D0…|file:line: …", quotation):  # a check's or pool's name, the form of a line
            continue
        for part in re.split("…", quotation):
            wanted = part.strip(" .:")
            assert any(wanted in sentence for sentence in sentences), f"nothing in the code says {wanted!r}"


def test_the_checks_and_sensors_that_are_named_exist() -> None:
    constants = _sentences()
    checks = ("is_consistent", "has_every_wanted_configuration", "folds_are_as_recorded")
    of_summary = ("each_case_once", "no_fold_is_an_outlier", "dice_is_not_below_baseline")
    for name in (*checks, *of_summary, "no_group_on_both_sides", "no_copy_on_both_sides", "nightly_report"):
        assert f"`{name}`" in README
        assert name in constants


@cache
def _sentences() -> frozenset[str]:
    """Returns every text in the package's code, in one piece however many lines it takes, without the docstrings."""
    texts = set()
    for file in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        documents = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts |= {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
        }
    return frozenset(texts)


def test_relative_links_lead_somewhere() -> None:
    found = [(page, link) for page in PAGES for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())]
    links = [(page, link) for page, link in found if "://" not in link]
    assert len(links) > 10
    assert [link for page, link in links if not (page.parent / link).exists()] == []


def test_the_files_of_this_project_that_are_named_exist() -> None:
    named = re.findall(r"(?<![\w./])(?:nnunet_assets|nnunet_assets_tests|benchmarks|docs)/[\w/]+\.\w+", README)
    assert len(named) >= 4
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_page_is_listed_once_and_the_readme_leads_to_it() -> None:
    pages = {page.stem for page in PAGES if page.parent.name == "docs"}
    listed = re.findall(r"(\w+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(pages)
    of_the_readme = set(re.findall(r"\]\(docs/(\w+)\.md\)", PAGES[0].read_text()))
    assert of_the_readme == pages - {"index", "contributing", "changelog"}, "the last two are files beside the README"


@pytest.mark.parametrize(("maker", "made"), [("reference", "yaml.md"), ("graph", "graph.svg")])
def test_what_is_made_for_the_pages_is_up_to_date(maker: str, made: str) -> None:
    """`make docs` makes it anew: declarations by their models, the picture by the README's diagram."""
    makes = runpy.run_path(str(ROOT / "docs" / f"{maker}.py"))
    wanted = makes["page"]() if maker == "reference" else makes["picture"]()
    assert (ROOT / "docs" / made).read_text(encoding="utf-8") == wanted


def test_the_first_page_is_short() -> None:
    """The reference is in the pages, which `make docs` builds with every warning an error."""
    assert len(PAGES[0].read_text().splitlines()) <= 150


def test_versions_are_those_of_the_package_and_its_constraints() -> None:
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pins = re.findall(r"\b[\w-]+==[\w.]+", README)
    assert pins
    assert set(pins) <= set(constraints)
    assert set(re.findall(r"nnunet_assets-([\d.]+)-py3", README)) == {nnunet_assets.__version__}
    assert f"## [{nnunet_assets.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_constraints_name_all_that_the_package_and_its_extras_bring() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M))
    if version("torch").partition("+")[0] != pins["torch"]:
        pytest.skip("This torch is not that of constraints.txt, and brings other packages.")
    extras = metadata("nnunet_assets").get_all("Provides-Extra")
    assert extras
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [Requirement(f"nnunet_assets[{','.join(extras)}]")]
    while waiting:
        wanted = waiting.pop()
        key = canonicalize_name(wanted.name), tuple(sorted(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        with suppress(PackageNotFoundError):  # of an extra that is not installed here
            for found in map(Requirement, requires(wanted.name) or ()):
                marker = found.marker
                if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                    waiting.append(found)
    missing = {name for name, _ in seen} - {canonicalize_name(name) for name in pins}
    assert missing <= {"nnunet-assets", "argparse", "setuptools"}, "but for these, which `pip freeze` leaves out"
