import json
import os
import re
import shutil
from collections import namedtuple
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from nnunet_assets.cli.diagnosis import daemon, installation, machine, project_state
from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.cli.main import main
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.errors import TrackingError
from nnunet_assets.project_folder import network_drives
from nnunet_assets.project_folder.dagster_home import unset_settings
from nnunet_assets.project_folder.instance_state import set_pool_limit
from nnunet_assets.project_folder.running_daemons import RunningDaemon
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.project_builders import write_project

Usage = namedtuple("Usage", "total used free")


def only(findings: Iterable[Finding], what: str) -> Finding:
    """Returns the finding about one thing."""
    (finding,) = [finding for finding in findings if finding.what == what]
    return finding


def problems(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in findings if finding.level != "ok"]


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have little room left, and a container little shared memory."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(200 * machine.GIB, 0, 100 * machine.GIB))


class TestPackages:
    @pytest.fixture
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        """What is installed, in place of what is."""
        asked = ["dagster>=1.13.27", "dagster-webserver>=1.13.27", "mlflow>=3.17.2", 'pytest>=9; extra == "test"']
        versions = {"nnunet_assets": "0.1.0", "dagster": "1.14.0", "dagster-webserver": "1.14.0", "mlflow": "3.17.2"}

        def version(name: str) -> str:
            if name not in versions:
                raise PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(installation, "requires", lambda name: asked)
        monkeypatch.setattr(installation, "version", version)
        return versions

    def test_as_asked_for(self, installed: dict[str, str]) -> None:
        findings = list(installation.package_findings())

        assert problems(findings) == []
        assert only(findings, "packages").found == "3 of 3: dagster 1.14.0, mlflow 3.17.2"

    def test_a_missing_and_an_old_one(self, installed: dict[str, str]) -> None:
        del installed["mlflow"]
        installed["dagster"] = installed["dagster-webserver"] = "1.12.0"

        findings = list(installation.package_findings())

        assert only(findings, "mlflow") == Finding(
            "error", "mlflow", "is not installed.", "pip install 'mlflow>=3.17.2'"
        )
        assert only(findings, "dagster").found == "1.12.0 does not fit 'dagster>=1.13.27'."
        assert only(findings, "packages").found == "2 of 3: dagster 1.12.0"

    def test_a_webserver_of_another_version(self, installed: dict[str, str]) -> None:
        installed["dagster-webserver"] = "1.13.27"

        assert only(installation.package_findings(), "dagster-webserver") == Finding(
            "error",
            "dagster-webserver",
            "1.13.27 beside dagster 1.14.0: the two must be the same version.",
            "pip install dagster-webserver==1.14.0",
        )

    def test_the_package_itself_only_on_the_path(self, installed: dict[str, str]) -> None:
        del installed["nnunet_assets"]

        assert problems(installation.package_findings()) == [("error", "nnunet_assets")]


class TestTorch:
    @pytest.fixture
    def torch(self, monkeypatch: pytest.MonkeyPatch) -> "_Torch":
        return _Torch(monkeypatch)

    def test_gpus(self, torch: "_Torch") -> None:
        assert torch.finds(gpus=["NVIDIA A100", "NVIDIA A100"], n_driver_gpus=2) == [
            Finding("ok", "torch", "2.15.0, torchvision 0.29.2"),
            Finding("ok", "device", "2 CUDA: NVIDIA A100, NVIDIA A100"),
        ]

    def test_no_gpu_is_a_warning(self, torch: "_Torch") -> None:
        assert problems(torch.finds(gpus=[], n_driver_gpus=0)) == [("warning", "device")]

    def test_a_gpu_that_torch_does_not_see_is_an_error(self, torch: "_Torch") -> None:
        finding = only(torch.finds(gpus=[], n_driver_gpus=1), "device")

        assert finding.level == "error"
        assert finding.found.startswith("the driver lists 1 GPU, torch sees none")

    def test_a_torch_that_does_not_fit_its_torchvision(self, torch: "_Torch") -> None:
        (finding,) = torch.fails("raise RuntimeError('operator torchvision::nms does not exist')")

        assert finding.level == "error"
        assert finding.found.endswith("RuntimeError: operator torchvision::nms does not exist")
        assert "from one index" in finding.remedy

    def test_a_torch_that_ends_its_process_without_a_word(self, torch: "_Torch") -> None:
        (finding,) = torch.fails("import os; os.abort()")

        assert finding.found.endswith("cannot be imported: its process ended with -6")


class _Torch:
    """Stands in for torch in the child process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def finds(self, gpus: list[str], n_driver_gpus: int) -> list[Finding]:
        answer = json.dumps(["2.15.0", "0.29.2", gpus, False])
        self.monkeypatch.setattr(installation, "count_gpus", lambda variables: n_driver_gpus)
        return self.fails(f"print('a warning'); print({answer!r})")

    def fails(self, code: str) -> list[Finding]:
        self.monkeypatch.setattr(installation, "_TORCH_PROBE", code)
        return list(installation.torch_findings({}))


class TestFolders:
    def test_made_when_needed(self, tmp_path: Path) -> None:
        finding = only(machine.folder_findings(Settings.from_environment(tmp_path, {})), "nnUNet_raw (in the project)")

        assert (finding.level, finding.found) == ("ok", f"{tmp_path}/data/nnUNet_raw (made when it is needed)")

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "raw").write_text("")
        names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        settings = Settings.from_environment(tmp_path, {name: str(tmp_path / "raw" / name) for name in names})

        assert problems(machine.folder_findings(settings)) == [("error", f"{name} (set)") for name in names]

    def test_a_folder_without_the_right_to_write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)

        finding = only(machine.folder_findings(Settings.from_environment(tmp_path, {})), "nnUNet_raw (in the project)")

        assert finding.found == f"{tmp_path}/data/nnUNet_raw: {tmp_path} cannot be written."

    def test_a_disk_that_is_nearly_full_is_named_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 3 * machine.GIB))

        finding = only(machine.folder_findings(Settings.from_environment(tmp_path, {})), "disk")

        assert (finding.level, finding.found) == ("warning", f"3 GiB free at {tmp_path}.")

    def test_a_network_drive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        mounts = [("/", "ext4"), (tmp_path, "nfs4"), (tmp_path / "local", "ext4")]
        table = [f"{number} 1 0:1 / {mount} rw - {kind} x rw" for number, (mount, kind) in enumerate(mounts)]
        (tmp_path / "mountinfo").write_text("\n".join(table))
        monkeypatch.setattr(network_drives, "MOUNTS", tmp_path / "mountinfo")

        for folder, expected in (("study", [("warning", "file system")]), ("local", [])):
            settings = Settings.from_environment(tmp_path / folder, {})
            assert problems(machine.folder_findings(settings)) == expected

    def test_the_shared_memory_of_a_container(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "SHARED_MEMORY", Path("/"))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 * 1024**2, 0, 0))

        (finding,) = machine.memory_findings()

        assert (finding.level, finding.found) == ("warning", "0.1 GiB in /.")


@pytest.mark.parametrize(("value", "level"), [("0", "ok"), ("1", "ok"), ("64000", "warning")])
def test_worker_processes(value: str, level: str) -> None:
    findings = list(machine.worker_findings({"nnUNet_n_proc_DA": value}))

    assert only(findings, "nnUNet_n_proc_DA").level == level
    assert "fitted to" in only(findings, "nnUNet_def_n_proc").found


def test_a_number_of_workers_that_is_wrong_is_told_once() -> None:
    assert [finding.what for finding in machine.worker_findings({})] == ["nnUNet_def_n_proc", "nnUNet_n_proc_DA"]
    assert [finding.what for finding in machine.worker_findings({}, {"nnUNet_n_proc_DA"})] == ["nnUNet_def_n_proc"]


@pytest.mark.parametrize(
    "name", ["NNUNET_ASSETS_FOLDS_PER_GPU", "NNUNET_ASSETS_FOLDS_AT_ONCE", "nnUNet_compile", "nnUNet_extTrainer"]
)
def test_what_is_set_is_shown(name: str) -> None:
    assert only(machine.worker_findings({name: "2"}), name) == Finding("ok", name, "2, as set")


class TestVariables:
    def test_a_wrong_one_is_named_with_its_file_and_line_and_the_others_count(self, tmp_path: Path) -> None:
        root = write_project(tmp_path / "project", {})
        file = root / ".env"
        file.write_text("# Ours\nMLFLOW_TRACKING_URI=http://127.0.0.1:9\nnnUNet_n_proc_DA=many\n")

        settings, findings = project_state.read_settings(root)

        assert [finding for finding in findings if finding.level != "ok"] == [
            Finding(
                "error",
                "nnUNet_n_proc_DA",
                f"nnUNet_n_proc_DA is 'many', not a whole number of at least 0. It stands in {file}, line 3.",
                "Correct or unset it: then it fits the machine.",
            )
        ]
        assert settings.tracking_uri == "http://127.0.0.1:9"

    def test_a_name_that_nobody_reads_is_a_warning(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("nnUNet_result", "/data")

        _, findings = project_state.read_settings(write_project(tmp_path / "project", {}))

        assert only(findings, "nnUNet_result").found == (
            "is set, and nnU-Net reads no variable of that name. Did you mean nnUNet_results?"
        )

    def test_a_raw_folder_that_is_not_there_may_be_a_slip(self, tmp_path: Path) -> None:
        names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
        settings = Settings.from_environment(tmp_path, {name: str(tmp_path / name) for name in names})

        assert problems(machine.folder_findings(settings)) == [("warning", "nnUNet_raw (set)")]

    @pytest.mark.parametrize("text", ["nnUNet_raw: /data/raw", 'nnUNet_raw="/data/raw', "set nnUNet_raw=/data/raw"])
    def test_a_line_that_sets_nothing_is_told(self, tmp_path: Path, text: str) -> None:
        root = write_project(tmp_path / "project", {})
        (root / ".env").write_text(f"# one\n\n{text}\n")

        settings, findings = project_state.read_settings(root)

        assert only(findings, ".env").found.startswith(f"{root}/.env, line 3, sets no variable: {text!r}.")
        assert settings.project == root


class TestInstance:
    def test_of_a_new_project(self, tmp_path: Path) -> None:
        settings, findings = project_state.read_settings(init_project(tmp_path))

        assert problems(findings) == []
        assert problems(project_state.instance_findings(settings)) == []

    def test_not_made_yet(self, tmp_path: Path) -> None:
        settings = Settings.from_environment(tmp_path, {})

        assert problems(project_state.instance_findings(settings)) == [
            ("warning", "DAGSTER_HOME"),
            ("warning", "Dagster's instance"),
        ]
        assert list(tmp_path.iterdir()) == []

    def test_a_relative_dagster_home(self, tmp_path: Path) -> None:
        settings = Settings.from_environment(init_project(tmp_path), {"DAGSTER_HOME": ".dagster"})

        finding = only(project_state.instance_findings(settings), "DAGSTER_HOME")

        assert (finding.level, finding.found) == (
            "error",
            "is '.dagster', and Dagster refuses a path that is not absolute.",
        )

    def test_a_project_that_was_moved(self, tmp_path: Path) -> None:
        init_project(tmp_path / "old")
        (tmp_path / "old").rename(tmp_path / "new")

        settings, _ = project_state.read_settings(tmp_path / "new")

        assert problems(project_state.instance_findings(settings)) == [
            ("warning", "DAGSTER_HOME"),
            ("error", "NNUNET_ASSETS_PROJECT"),
        ]

    def test_more_devices_than_slots(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings, _ = project_state.read_settings(init_project(tmp_path))
        monkeypatch.setattr(project_state, "count_gpus", lambda variables: 4)
        set_pool_limit(tmp_path, 2)

        finding = only(project_state.instance_findings(settings), "pool nnunet_training")

        assert finding == Finding(
            "warning",
            "pool nnunet_training",
            "folds at once: 2; devices: 4.",
            f"Unless it is meant so: DAGSTER_HOME={tmp_path}/.dagster "
            "dagster instance concurrency set nnunet_training 4",
        )

    def test_settings_that_dagster_refuses(self, tmp_path: Path) -> None:
        settings, _ = project_state.read_settings(init_project(tmp_path))
        (tmp_path / ".dagster" / "dagster.yaml").write_text("telemetri: {}\n")

        finding = only(project_state.instance_findings(settings), "Dagster's instance")

        assert finding.level == "error"
        assert "telemetri" in finding.found

    def test_settings_that_a_project_got_before_there_were_retries_are_named_and_not_rewritten(
        self, tmp_path: Path
    ) -> None:
        settings = Settings.from_environment(init_project(tmp_path / "project"), {})
        file = settings.dagster_home / "dagster.yaml"
        written = file.read_text()
        file.write_text(written[: written.index("# A run whose process was killed")])
        old = file.read_text()

        finding = only(project_state.instance_findings(settings), "Dagster's run_retries")

        assert (finding.level, finding.found) == ("warning", f"{file} does not set it, unlike a new project's.")
        assert finding.remedy == (
            "Add to it, or say otherwise: "
            "run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}"
        )
        assert file.read_text() == old
        file.write_text(f"{old}run_retries: {{enabled: false}}\n")
        assert "Dagster's run_retries" not in {found.what for found in project_state.instance_findings(settings)}

    def test_a_project_of_before_lacks_the_launcher_and_in_its_queue_the_retries(self, tmp_path: Path) -> None:
        settings = Settings.from_environment(init_project(tmp_path / "project"), {})
        file = settings.dagster_home / "dagster.yaml"
        written = yaml.safe_load(file.read_bytes())
        # As every project got it before runs named their machine.
        of_before = {**written, "run_queue": {"dequeue_interval_seconds": 1}}
        del of_before["run_launcher"]
        file.write_text(yaml.safe_dump(of_before))

        found = project_state.instance_findings(settings)
        lacks = [one for one in found if one.level == "warning" and one.what.startswith("Dagster's ")]

        assert {one.what: one.remedy for one in lacks} == {
            "Dagster's run_queue": (
                "Add to its run_queue, or say otherwise: "
                "{max_user_code_failure_retries: 60, user_code_failure_retry_delay: 60}"
            ),
            "Dagster's run_launcher": (
                "Add to it, or say otherwise: "
                "run_launcher: {class: HostRunLauncher, module: nnunet_assets.project_folder.run_launcher}"
            ),
        }
        assert lacks[0].found == f"{file} does not set all of it, unlike a new project's."
        # What is added as it says is all that lacked.
        added = yaml.safe_load(lacks[1].remedy.partition("otherwise: ")[2])
        of_before["run_queue"] |= yaml.safe_load(lacks[0].remedy.partition("otherwise: ")[2])
        file.write_text(yaml.safe_dump(of_before | added))
        assert unset_settings(file) == {}
        file.write_text(
            yaml.safe_dump(written | {"run_launcher": {"module": "dagster_ray", "class": "RayRunLauncher"}})
        )
        assert unset_settings(file) == {}


class TestTracking:
    def test_a_store_that_is_not_made_yet_is_not_made_by_looking(self, tmp_path: Path) -> None:
        settings = Settings.from_environment(tmp_path, {})

        (finding,) = project_state.tracking_findings(settings)

        assert (finding.level, finding.found) == ("ok", f"sqlite:///{tmp_path}/data/mlflow.db (made when it is needed)")
        assert list(tmp_path.iterdir()) == []

    def test_a_server_that_does_not_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuses(destination: Destination) -> str:
            raise TrackingError(f"{destination.tracking_uri} does not answer.")

        monkeypatch.setattr("nnunet_assets.tracking.store.client.probe", refuses)
        settings = Settings.from_environment(tmp_path, {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})

        assert list(project_state.tracking_findings(settings)) == [
            Finding("error", "tracking", "http://127.0.0.1:9 does not answer.")
        ]

    @pytest.mark.parametrize(
        ("variables", "level", "words"),
        [
            ({"MLFLOW_TRACKING_URI": "http://me:secret@mlflow.example.org"}, "warning", "without encryption"),
            ({"MLFLOW_TRACKING_URI": "https://mlflow.example.org"}, "ok", "there"),
            ({"MLFLOW_TRACKING_URI": "http://localhost:5000"}, "ok", "there"),
            ({"NNUNET_TRACKER_ENABLED": "0"}, "warning", "is switched off by NNUNET_TRACKER_ENABLED"),
        ],
    )
    def test_what_is_open_to_others_or_switched_off_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], level: str, words: str
    ) -> None:
        monkeypatch.setattr("nnunet_assets.tracking.store.client.probe", lambda _destination: "there")
        first, *_ = project_state.tracking_findings(Settings.from_environment(tmp_path, variables))
        assert (first.level, words in first.found, "secret" in first.found) == (level, True, False)

    def test_the_env_file_of_the_project_wins_as_in_dagster(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://of-the-shell")
        (tmp_path / ".env").write_text("MLFLOW_TRACKING_URI=http://of-the-file\n")

        settings, _ = project_state.read_settings(tmp_path)

        assert settings.tracking_uri == "http://of-the-file"


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def _quick_torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installation, "_TORCH_PROBE", 'print(\'["2.15.0", "0.29.2", [], false]\')')

    def test_a_new_project_has_nothing_wrong(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(main, ["doctor", "--project", str(init_project(tmp_path))])

        assert result.exit_code == 0, result.output
        assert "✓  declarations" in result.stdout
        # A machine may have little room.
        end = "No check failed; what deserves attention (!): " if "\n!  " in result.stdout else "Nothing is wrong.\n"
        assert result.stdout.splitlines(keepends=True)[-1].startswith(end)

    def test_a_project_on_a_network_drive_does_not_have_nothing_wrong(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = init_project(tmp_path / "project")
        (tmp_path / "mountinfo").write_text(f"1 1 0:1 / {tmp_path} rw - fuse.sshfs me@host: rw\n")
        monkeypatch.setattr(network_drives, "MOUNTS", tmp_path / "mountinfo")

        result = CliRunner().invoke(main, ["doctor", "--project", str(root)])

        assert result.exit_code == 0
        assert re.search(r"! file system .* lie on a network drive \(fuse.sshfs", " ".join(result.stdout.split()))
        assert "No check failed; what deserves attention (!): " in result.stdout.splitlines()[-1]

    def test_a_second_daemon_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        two = [RunningDaemon(f"Process {pid}", "", f"kill {pid}") for pid in (7, 8)]
        monkeypatch.setattr(daemon, "find_daemons", lambda _project: two)

        first, second = daemon.daemon_findings(Settings.from_environment(tmp_path, {}))

        assert first == Finding("ok", "Dagster's daemon", "Process 7")
        found = "Process 8 is a second one: each run is started twice."
        assert second == Finding("error", "Dagster's daemon", found, "kill 8")

    def test_what_is_wrong_comes_with_what_to_do_and_ends_with_1(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = init_project(tmp_path)
        (root / "experiments" / "stray.yaml").write_text("a: 1\n")
        monkeypatch.setenv("nnUNet_raw", "/data/raw")

        result = CliRunner().invoke(main, ["doctor", "--project", str(root)])

        assert result.exit_code == 1
        assert "✗  nnUNet_raw" in result.stdout
        assert "✗  declarations" in result.stdout
        assert f"→ nnunet-assets check-config --project {root}" in result.stdout
        assert " checks failed.\n" in result.stdout
