"""Words that plans may hold in place of a class's name, and every place of plans where nnU-Net takes one for code."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

MARK_MODULE = "plans_mark"
"""A module whose import, and whose every call, leaves a file: `MARK_SOURCE`, for a folder on the path."""

MARK_SOURCE = """
import pathlib

def mark(*_args, **_kwargs):
    (pathlib.Path(__file__).parent / "it_ran").touch()

mark()
PlainConvUNet = DefaultPreprocessor = ZScoreNormalization = Conv3d = mark
"""

PLANS: dict[str, Any] = {
    "dataset_name": "Dataset950_Phantom",
    "plans_name": "ownPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
    "configurations": {
        "3d_fullres": {
            "data_identifier": "ownPlans_3d_fullres",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": 2,
            "patch_size": [8, 8, 8],
            "spacing": [1.0, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization", "CTNormalization"],
            "use_mask_for_norm": [False, False],
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {"is_seg": False, "order": 3},
            "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1},
            "architecture": {
                "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 2,
                    "features_per_stage": [8, 16],
                    "conv_op": "torch.nn.modules.conv.Conv3d",
                    "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
                    "strides": [[1, 1, 1], [2, 2, 2]],
                    "n_conv_per_stage": [2, 2],
                    "n_conv_per_stage_decoder": [2],
                    "conv_bias": True,
                    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                    "dropout_op": None,
                    "dropout_op_kwargs": None,
                    "nonlin": "torch.nn.LeakyReLU",
                    "nonlin_kwargs": {"inplace": True},
                },
                "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
            },
        },
        "3d_fullres_bs8": {"inherits_from": "3d_fullres", "batch_size": 8},
    },
}
"""Plans as nnU-Net writes them."""

_CODE = (
    "os.system",
    "posix.system",
    "builtins.exec",
    "builtins.eval",
    "builtins.__import__",
    "exec",
    "eval",
    "subprocess.run",
    "subprocess.Popen",
    "runpy.run_path",
    "runpy.run_module",
    "importlib.import_module",
    "pickle.loads",
    "shutil.rmtree",
    "ctypes.CDLL",
    "webbrowser.open",
    "torch.hub.load",
    "torch.load",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "torch.utils.cpp_extension.load",
    "torch.utils.cpp_extension.load_inline",
    "torch.ops.load_library",
    f"{MARK_MODULE}.mark",
    f"{MARK_MODULE}.PlainConvUNet",
    f"{MARK_MODULE}.Conv3d",
    MARK_MODULE,
    "PlainConvUNet",
)
_WALKS = (
    "torch.nn",
    "torch.nn.functional.os.system",
    "torch.nn.functional.torch.hub.load",
    "torch.nn.functional.leaky_relu",
    "torch.nn.init.kaiming_normal_",
    "torch.nn.init.torch.hub.load",
    "torch.nn.Module.__init__",
    "torch.nn.Module.__subclasses__",
    "torch.nn.Module.load_state_dict",
    "torch.nn.modules.module.torch.hub.load",
    "torch.nn.modules.module.warnings.warn",
    "torch.nn.modules.conv.Conv3d.__init__.__globals__",
    "torch.nn.modules.conv.torch.load",
    "torch.nn.modules.conv.Tensor",
    "torch.nn.modules.module.OrderedDict",
    "torch.nn.parameter.torch.load",
    "torch.nn.Parameter",
    "torch.nn.parallel.DataParallel",
    "torch.nn.utils.parametrize.type",
    "torch.nn.modules..conv.Conv3d",
    "torch.nn.modules.lazy.LazyModuleMixin",
    "dynamic_network_architectures.x.os.system",
    "dynamic_network_architectures.architectures.os.system",
    "dynamic_network_architectures.architectures.unet.os.system",
    "dynamic_network_architectures.architectures.unet.torch.hub.load",
    "dynamic_network_architectures.architectures.dinov2_eva.torch.load",
    "dynamic_network_architectures.architectures.dinov2_eva.partial",
    "dynamic_network_architectures.building_blocks.helper.get_default_network_config",
    "dynamic_network_architectures.initialization.weight_init.InitWeights_He",
    "nnunetv2.paths.os.system",
    "nnunetv2.utilities.find_class_by_name.importlib.import_module",
    "nnunetv2.run.run_training.run_training_entry",
    "nnunetv2.training.nnUNetTrainer.nnUNetTrainer.nnUNetTrainer",
)
_SPELLINGS = (
    "TORCH.NN.LEAKYRELU",
    "torch.nn.leakyrelu",
    " torch.nn.LeakyReLU",
    "torch.nn.LeakyReLU ",
    "torch.nn.LeakyReLU\n",
    "torch.nn. LeakyReLU",
    "torch\u2024nn\u2024LeakyReLU",
    "torch\uff0enn\uff0eLeakyReLU",
    "torch.nn.\uff2ceakyReLU",
    "torch/nn/LeakyReLU",
    "torch.nn:LeakyReLU",
    "torch.nn.LeakyReLU()",
    "torch.nn.LeakyReLU\x00",
    "../torch.nn.LeakyReLU",
    ".torch.nn.LeakyReLU",
    "torch.nn.LeakyReLU.",
    "",
    ".",
    "__import__('os').system('true')",
)
_OTHER: tuple[Any, ...] = (["torch.nn.LeakyReLU"], {"name": "torch.nn.LeakyReLU"}, 3, 1.5, True, [], {})

# What nnU-Net finds by a bare name in the modules of its own folders, since they import it.
_IMPORTED = ("os", "np", "shutil", "torch", "join", "load_pickle", "write_pickle", "save_json", "Pool", "partial")

HOSTILE: tuple[Any, ...] = (*_CODE, *_WALKS, *_SPELLINGS, *_OTHER, *_IMPORTED)


def _fullres(plans: dict[str, Any]) -> dict[str, Any]:
    configuration: dict[str, Any] = plans["configurations"]["3d_fullres"]
    return configuration


def _set_in(find: Callable[[dict[str, Any]], Any], key: Any) -> Callable[[dict[str, Any], Any], None]:
    def plant(plans: dict[str, Any], word: Any) -> None:
        find(plans)[key] = word

    return plant


def _arguments(plans: dict[str, Any]) -> Any:
    return _fullres(plans)["architecture"]["arch_kwargs"]


def _new_argument(plans: dict[str, Any], word: Any) -> None:
    _arguments(plans)["block"] = word
    _fullres(plans)["architecture"]["_kw_requires_import"].append("block")


def _unlisted_argument(plans: dict[str, Any], word: Any) -> None:
    """`nnUNetTrainerBN` looks it up all the same."""
    _arguments(plans)["conv_op"] = word
    _fullres(plans)["architecture"]["_kw_requires_import"].remove("conv_op")


def _in_heir(plans: dict[str, Any], word: Any) -> None:
    architecture = deepcopy(_fullres(plans)["architecture"])
    plans["configurations"]["3d_fullres_bs8"]["architecture"] = {**architecture, "network_class_name": word}


PLACES: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "architecture.network_class_name": _set_in(lambda plans: _fullres(plans)["architecture"], "network_class_name"),
    "arch_kwargs.conv_op": _set_in(_arguments, "conv_op"),
    "arch_kwargs.norm_op": _set_in(_arguments, "norm_op"),
    "arch_kwargs.dropout_op": _set_in(_arguments, "dropout_op"),
    "arch_kwargs.nonlin": _set_in(_arguments, "nonlin"),
    "arch_kwargs.block": _new_argument,
    "arch_kwargs.conv_op, unlisted": _unlisted_argument,
    "3d_fullres_bs8.architecture.network_class_name": _in_heir,
    "preprocessor_name": _set_in(_fullres, "preprocessor_name"),
    "normalization_schemes.1": _set_in(lambda plans: _fullres(plans)["normalization_schemes"], 1),
    "resampling_fn_data": _set_in(_fullres, "resampling_fn_data"),
    "resampling_fn_seg": _set_in(_fullres, "resampling_fn_seg"),
    "resampling_fn_probabilities": _set_in(_fullres, "resampling_fn_probabilities"),
    "resampling_fn_softmax": _set_in(_fullres, "resampling_fn_softmax"),
    "image_reader_writer": _set_in(lambda plans: plans, "image_reader_writer"),
    "label_manager": _set_in(lambda plans: plans, "label_manager"),
}
"""By the end of the key that a message names: what plants a word there."""


def hostile_plans(place: str, word: Any) -> dict[str, Any]:
    """Returns plans of nnU-Net's with the word in that place."""
    plans = deepcopy(PLANS)
    PLACES[place](plans, word)
    return plans
