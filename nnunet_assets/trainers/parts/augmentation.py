"""How much nnU-Net's augmentation does to the training cases."""

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform

_OF_INTENSITIES = (
    "batchgeneratorsv2.transforms.intensity.",
    "batchgeneratorsv2.transforms.noise.",
    "batchgeneratorsv2.transforms.spatial.low_resolution",
)


def without_intensities(transforms: ComposeTransforms) -> ComposeTransforms:
    """Returns nnU-Net's augmentation without what changes intensities and sharpness: rotation, scaling, mirroring."""
    return ComposeTransforms([one for one in transforms.transforms if not _is_of_intensities(one)])


def _is_of_intensities(transform: BasicTransform) -> bool:
    return isinstance(transform, RandomTransform) and type(transform.transform).__module__.startswith(_OF_INTENSITIES)
