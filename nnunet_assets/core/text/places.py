"""Takes out of what is made to be shown where it lies on a disk: a path names users, servers and projects.

A file below a folder that is known is called by that folder's name: `nnUNet_results/Dataset004_Hippocampus/...`. Of any
other path what names a dataset, a model or a fold is kept, and else its last part alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import Roots

_START = r"(?:(?:file|sqlite|vscode):/{2,}|(?<![\w.:/\\~=+#?&-])(?:~?/|[A-Za-z]:[\\/]|\\\\))(?=[^\s/\\])"
"""A path of Linux, macOS or Windows, a file's URL, or a share of Windows; not `/` between words, nor a web address."""

# A folder's name may have spaces in it, but no end of a sentence or of its part.
_FOLDERS = r"""(?:(?:[^/\\\n"'<>|.,;:]|[.,;:](?!\s))+[/\\]){0,40}?"""
_KNOWN = r"""(?:nnUNet_(?:raw|preprocessed|results)|Dataset\d{3}_[\w.-]+|[A-Za-z]\w*__\w+__\w+|fold_(?:\d+|all))"""
_WITH_LANDMARK = re.compile(rf"{_START}{_FOLDERS}(?={_KNOWN}(?:[/\\\s.,;:)'\"]|$))")
_ANY = re.compile(rf"""{_START}(?:[^\s/\\"'<>|]+[/\\])+(?P<name>[^\s/\\"'<>|]*)""")


@dataclass(frozen=True)
class Places:
    """The folders whose place is not to be shown.

    Attributes:
        known: Folder to what stands for it; empty: nothing, and what follows is enough.
    """

    known: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, roots: Roots, project: Path | None = None) -> "Places":
        """Returns nnU-Net's folders, and the project's."""
        names = {roots.raw: "nnUNet_raw", roots.preprocessed: "nnUNet_preprocessed", roots.results: "nnUNet_results"}
        places = {**({project: ""} if project else {}), **names}
        forms = {form: name for folder, name in places.items() for form in (folder, folder.resolve())}
        # The root of all folders is no place, and stands between words.
        return cls({str(form): name for form, name in forms.items() if len(form.parts) > 1})

    def hidden(self, text: str) -> str:
        """Returns a text in which no absolute path stands.

        >>> Places().hidden("/home/jane/nnUNet_results/Dataset004_Hippocampus/plans.json is torn.")
        'nnUNet_results/Dataset004_Hippocampus/plans.json is torn.'
        """
        for folder in sorted(self.known, key=len, reverse=True):
            name = self.known[folder]
            text = re.sub(rf"{re.escape(folder)}[/\\]", f"{name}/" if name else "", text)
            text = re.sub(rf"{re.escape(folder)}(?![\w-])", name or "the project's folder", text)
        return _ANY.sub(lambda match: match["name"], _WITH_LANDMARK.sub("", text))

    def hidden_in(self, value: Any) -> Any:
        """Returns a JSON value in which no text has an absolute path in it."""
        if isinstance(value, Mapping):
            return {key: self.hidden_in(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden_in(item) for item in value]
        return self.hidden(value) if isinstance(value, str) else value
