"""Whether a folder can take masks, asked before any image is read."""

import os
from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.errors import PredictionError


def refuse_output(output: Path, images: Sequence[Path], pattern: str | None) -> None:
    """Passes where masks may be written into a folder, which need not be there.

    Args:
        output: The folder.
        images: What is predicted: one folder, or files.
        pattern: By which images below their folder are found; None: those in the folder itself.

    Raises:
        PredictionError: It is a file, must not be written, or masks would lie among the images.
    """
    if output.exists() and not output.is_dir():
        raise PredictionError(f"{output} is a file. Name a folder for the masks.")
    folders = {path.resolve() if path.is_dir() else path.resolve().parent for path in images}
    place = output.resolve()
    if place in folders:
        raise PredictionError(f"{output} holds the images, and the masks would lie among them. Name another folder.")
    if pattern is not None and any(place.is_relative_to(folder) for folder in folders):
        raise PredictionError(
            f"{output} lies below the images, where the pattern {pattern!r} may take masks for images. Name a folder "
            "elsewhere."
        )
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir():
        raise PredictionError(f"{output} cannot be made: {there} is a file. Name a folder for the masks.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PredictionError(
            f"{output} cannot be written: nothing may be written in {there}. Ask its owner for the right to, or name "
            "another folder."
        )
