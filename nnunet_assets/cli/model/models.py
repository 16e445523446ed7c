"""`models`: the versions of registered models, and those that nobody needs any more."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.core.registry.gate import PASSED
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.settings import project_settings
from nnunet_assets.tracking.registry.versions import RegisteredVersion
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.registered_models import ClearedModels, clear_models, registered_versions


@click.command()
@click.argument("name", required=False)
@click.option("--clear", "clears", is_flag=True, help="Delete versions that have no alias, with their files.")
@click.option("--dry-run", is_flag=True, help="With --clear: only say what would be deleted.")
@click.option("--yes", is_flag=True, help="With --clear: do not ask before.")
@click.option("--tracking-uri", help="Another MLflow server or store than the project's own.")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(
    name: str | None, *, clears: bool, dry_run: bool, yes: bool, tracking_uri: str | None, project: Path, as_json: bool
) -> None:
    """List the versions of registered models, of NAME or of all, with their numbers, aliases and sizes.

    Only what nnunet-assets registered is listed. With --clear, versions of this project that no alias needs are
    deleted from the registry, and their files with them, after a question; versions of others stay. What a killed
    command left goes along: files of a version that is gone, or that never was one.
    """
    if (dry_run or yes) and not clears:
        raise click.UsageError("--dry-run and --yes go with --clear.")
    settings = project_settings(project)
    destination = Destination.of(settings, tracking_uri)
    if not clears:
        found = registered_versions(destination, name)
        if as_json:
            click.echo(json.dumps([_json(one) for one in found], indent=2, ensure_ascii=False))
        else:
            _print(found)
        return

    def confirms(needless: ClearedModels) -> bool:
        if dry_run:
            return False
        if needless.versions and not as_json:
            _print(needless.versions)
        return yes or click.confirm(f"Delete {_counted(needless)}, {bytes_text(needless.n_bytes)}?", err=True)

    with TerminalProgress(to_stderr=True) as progress:
        cleared = clear_models(settings, destination, name, confirms=confirms, progress=progress)
    if as_json:
        shown = {
            "cleared": cleared.is_done,
            "bytes": cleared.n_bytes,
            "versions": [_json(one) for one in cleared.versions],
            "left": [asdict(one) for one in cleared.left],
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        _say(cleared, dry_run=dry_run)


def _say(cleared: ClearedModels, *, dry_run: bool) -> None:
    if not cleared.versions and not cleared.left:
        click.echo("Every version of this project has an alias: there is nothing to clear.")
    elif cleared.is_done:
        click.echo(f"Cleared: {_named(cleared)}. {bytes_text(cleared.n_bytes)} are free.")
    else:
        if dry_run and cleared.versions:
            _print(cleared.versions)
        click.echo(f"Nothing was deleted. Would be: {_named(cleared)}, {bytes_text(cleared.n_bytes)}.")


def _named(cleared: ClearedModels) -> str:
    left = [f"{one.model_id} of {one.name}, which no version shows" for one in cleared.left]
    return ", ".join([*(one.address for one in cleared.versions), *left])


def _counted(needless: ClearedModels) -> str:
    n, n_left = len(needless.versions), len(needless.left)
    versions = [f"{n} version{'' if n == 1 else 's'} and their files"] if n else []
    models = [f"{n_left} logged model{'' if n_left == 1 else 's'} that no version shows"] if n_left else []
    return " and ".join([*versions, *models])


def _print(versions: Sequence[RegisteredVersion]) -> None:
    terminal = console()
    if not versions:
        terminal.print("No model is registered. Declare `register: NAME`, and materialize registered_model.")
        return
    rows = [
        {
            "model": one.name,
            "version": str(one.version),
            "alias": ", ".join(one.aliases),
            "Dice": _dice(one).partition(" (")[0],
            "gate": _gate(one),
            "size": "" if one.size_bytes is None else bytes_text(one.size_bytes),
        }
        for one in versions
    ]
    print_table(terminal, rows, ["model"])


def _dice(version: RegisteredVersion) -> str:
    """Returns what is to be expected of a model that was chosen, else the cross-validation's."""
    return version.numbers.get("expected_dice") or version.numbers.get("dice", "")


def _gate(version: RegisteredVersion) -> str:
    failed = [rule for rule, text in version.gate.items() if not text.startswith(PASSED)]
    return f"{len(failed)} failed" if failed else PASSED if version.gate else "not asked"


def _json(version: RegisteredVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "address": version.address,
        "aliases": list(version.aliases),
        "digest": version.digest,
        "bytes": version.size_bytes,
        "numbers": version.numbers,
        "gate": version.gate,
        "url": version.url,
        "run_id": version.run_id,
        "promoted": {key: text for key, text in version.tags.items() if key.startswith("promoted.")},
    }
