"""The versions of registered models: shown, promoted by hand, and cleared where no alias needs them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from nnunet_assets.core.model.model_address import CHAMPION
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.registry.gate import DEFAULT_MARGIN, RULES, Verdict, reasons
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.processes.user_name import user_name
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.clearing import clear, to_be_cleared
from nnunet_assets.tracking.registry.left_models import LeftModel, free, left_models
from nnunet_assets.tracking.registry.registration import describe, set_alias
from nnunet_assets.tracking.registry.versions import RegisteredVersion, list_versions
from nnunet_assets.tracking.store.client import is_to_be_made
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.succession import deciding, succeed
from nnunet_assets.workflows.registry.version_scores import forget_scores, judge_versions


def registered_versions(destination: Destination, name: str | None = None) -> list[RegisteredVersion]:
    """Returns the versions that this package registered, by name, the newest of each first; none without a store.

    Raises:
        TrackingError: The registry does not answer, or has no model of that name.
    """
    found = [] if is_to_be_made(destination.tracking_uri) else list_versions(destination, name)
    if name is not None and not found:
        raise TrackingError(f"No version of a model {name!r} was registered by nnunet_assets. `nnunet-assets models`.")
    return found


def promote_version(
    settings: Settings, destination: Destination, name: str, version: int, *, force: str | None = None
) -> RegisteredVersion:
    """Returns a version after it became the champion, in place of the one before.

    Args:
        settings: Of the project, which keeps scores by case.
        destination: Where the registry is.
        name: Of the model.
        version: Its number.
        force: Why it is to be the champion although the gate does not let it; who says so is recorded with it. None:
            only what passed the gate becomes champion.

    Raises:
        ConfigError: The gate does not let it, or no reason is given.
        TrackingError: There is no such version, or the registry does not answer.
    """
    if force is not None and not force.strip():
        raise ConfigError("A forced promotion needs a reason, which is kept with the version: --force 'why'.")
    registered_versions(destination, name)  # before a lock is made for what is not there
    with deciding(destination, name):
        versions = {one.version: one for one in registered_versions(destination, name)}
        if version not in versions:
            raise TrackingError(f"{name!r} has no version {version}; it has {', '.join(map(str, sorted(versions)))}.")
        wanted = versions[version]
        if CHAMPION in wanted.aliases:
            return wanted
        if force is None:
            _promote_by_gate(settings, destination, wanted)
        else:
            _promote_by_force(destination, wanted, force.strip())
        return next(one for one in list_versions(destination, name) if one.version == version)


def _promote_by_gate(settings: Settings, destination: Destination, wanted: RegisteredVersion) -> None:
    def judge(champion: RegisteredVersion | None) -> list[Verdict]:
        return [*_recorded(wanted), _against(settings, wanted, champion)]

    found = succeed(destination, wanted.name, wanted.version, judge, may_be_older=True)
    if not found.is_champion:
        raise ConfigError(
            f"{wanted.address} does not pass the gate: {' '.join(reasons(found.verdicts))} To promote it all the same, "
            f"say why: nnunet-assets promote {wanted.name!r} {wanted.version} --force 'why'."
        )
    tags = {f"{registry_names.GATE}.{one.rule}": one.record for one in found.verdicts}
    describe(destination, wanted, wanted.description, tags)


def _promote_by_force(destination: Destination, wanted: RegisteredVersion, why: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {
        registry_names.PROMOTED_BY: user_name(),
        registry_names.PROMOTED_BECAUSE: why,
        registry_names.PROMOTED_AT: now,
    }
    # First: nobody is to find a champion without the reason.
    describe(destination, wanted, f"{wanted.description}\n\n{promoted_by_force(tags)}", tags)
    set_alias(destination, wanted.name, CHAMPION, wanted.version)


def promoted_by_force(tags: Mapping[str, str]) -> str:
    """Returns what a version's description says of a promotion by force, which its tags record."""
    when, why = (tags.get(name, "") for name in (registry_names.PROMOTED_AT, registry_names.PROMOTED_BECAUSE))
    return f"Promoted by force on {when}: {why}"


def _recorded(version: RegisteredVersion) -> list[Verdict]:
    """Returns the verdicts on a version that no other version changes, as it bears them."""
    return [Verdict.recorded(rule, version.gate.get(rule)) for rule in RULES if rule != "not_inferior"]


def _against(settings: Settings, version: RegisteredVersion, champion: RegisteredVersion | None) -> Verdict:
    return judge_versions(settings, version.digest, champion, _declared_margin(settings, version.name))


def _declared_margin(settings: Settings, name: str) -> float:
    """Returns the margin of whatever declares the model; of several the smallest, of none the usual one."""
    project = declared_if_any(settings.project)
    declared = (*project.experiments, *project.ensembles)
    return min((one.register_margin for one in declared if one.registered_as == name), default=DEFAULT_MARGIN)


@dataclass(frozen=True)
class ClearedModels:
    """What was cleared, or would be.

    Attributes:
        versions: That no alias needs.
        left: Logged models that no version shows, which a kill left.
        is_done: Whether they were; else it is a dry run.
    """

    versions: tuple[RegisteredVersion, ...]
    left: tuple[LeftModel, ...] = ()
    is_done: bool = False

    @property
    def n_bytes(self) -> int:
        """What their files take, as far as that is known."""
        sizes = [*(one.size_bytes for one in self.versions), *(one.size_bytes for one in self.left)]
        return sum(size or 0 for size in sizes)


def clear_models(
    settings: Settings,
    destination: Destination,
    name: str | None = None,
    *,
    confirms: Callable[[ClearedModels], bool] = lambda _needless: False,
    progress: Progress = LOGGED,
) -> ClearedModels:
    """Clears the versions that no alias needs, with their files, and what a kill left of others; of this project alone.

    Args:
        settings: Of the project.
        destination: Where the registry is.
        name: Of one model; None: of all.
        confirms: Asked with what would go before anything does; what it refuses is a dry run.
        progress: Told of each.

    Raises:
        TrackingError: The registry does not answer; what was cleared until then is.
    """
    # Of all models: two may share files.
    versions = registered_versions(destination)
    needless = ClearedModels(
        tuple(one for one in to_be_cleared(versions, destination) if name in (None, one.name)),
        tuple(one for one in left_models(destination) if name in (None, one.name)),
    )
    n = len(needless.versions) + len(needless.left)
    if not n or not confirms(needless):
        return needless
    kept = {one.digest for one in versions if one not in needless.versions}
    work: list[tuple[str, Callable[[], object]]] = [
        *((one.digest, partial(clear, destination, one)) for one in needless.versions),
        *((one.digest, partial(free, destination, one)) for one in needless.left),
    ]
    for n_done, (digest, remove) in enumerate(work, 1):
        remove()
        if digest not in kept:
            forget_scores(settings, digest)
        progress.step("versions cleared", n_done, n)
    return replace(needless, is_done=True)
