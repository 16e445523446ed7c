"""Files on their way to a server that is not on this machine: without absolute paths, and without the host's name.

nnU-Net writes whole paths into `summary.json`, `debug.json` and its logs, and a manifest holds the host. Where the user
lets files go, they go as copies in which these are as everywhere else that the run shows: a path by what it is and not
where, a host by its pseudonym. Case names and pictures go as they are, which is what the user agreed to.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import MANIFEST_FILE
from nnunet_assets.core.text.places import Places
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.pseudonyms import Pseudonyms

TEXTS = (".json", ".txt", ".log", ".csv", ".md")


def hides_places(destination: Destination, fold_folder: Path, pseudonyms: Pseudonyms) -> Callable[[str], str]:
    """Returns what takes absolute paths and host names out of the text of a fold's file."""
    model = fold_folder.parent
    known = {model.parent.parent: "nnUNet_results", destination.artifacts.parent: ""}
    if destination.preprocessed:
        known[destination.preprocessed] = "nnUNet_preprocessed"
    places = Places({str(form): name for folder, name in known.items() for form in (folder, folder.resolve())})
    hosts = {host: pseudonyms.of("host", host) for host in _hosts(fold_folder)}

    def hidden(text: str) -> str:
        for host, pseudonym in hosts.items():
            # A short name may be a word, such as `gpu`: there only where it is said to be a host's.
            before = r"(?<![\w-])" if len(host) > 3 else r"(?<=\"host\": \")|(?<=\"hostname\": \")"
            text = re.sub(rf"(?:{before}){re.escape(host)}(?![\w-])", pseudonym, text)
        return places.hidden(text)

    return hidden


@contextmanager
def as_it_may_leave(file: Path, hidden: Callable[[str], str] | None) -> Iterator[Path]:
    """Yields the file, or a copy of the same name without what is hidden; None hides nothing."""
    if hidden is None or file.suffix not in TEXTS:
        yield file
        return
    with TemporaryDirectory(prefix="nnunet_assets-") as folder, file.open(encoding="utf-8", errors="replace") as source:
        copy = Path(folder, file.name)
        with copy.open("w", encoding="utf-8") as target:
            target.writelines(map(hidden, source))
        yield copy


def _hosts(fold_folder: Path) -> set[str]:
    """Returns this machine's name, and that of the machine that trained the fold as its files have it."""
    details = readable_json(fold_folder / OWN_FOLDER / MANIFEST_FILE).get("details")
    named = (
        (details.get("host") if isinstance(details, dict) else None),
        readable_json(fold_folder / "debug.json").get("hostname"),
    )
    return {host for host in (host_name(), *named) if host and isinstance(host, str)} - {"unknown"}
