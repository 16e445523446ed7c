"""What people write who write YAML for the first time, and what they are told: the line, and how to write it."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets_tests.project_builders import errors_of

RIGHT = """\
type: nnunet_assets.components.NnunetDataset
attributes:
  dataset: Dataset004_Hippocampus
  folds: 5
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset004_Hippocampus
  configuration: 3d_fullres
  folds: [0, 1]
  device: cuda
  owners: [ana@clinic.org]
  variant:
    name: short
    num_epochs: 100
    initial_lr: 0.01
"""

MISTAKES: dict[str, tuple[Any, ...]] = {
    "no ---": (
        (5, 5),
        "",
        "5: another declaration begins here, and the line that separates it from the one before is missing. "
        "Put a line `---` between line 4 and line 5.",
    ),
    "-- instead of ---": (
        (5, 5),
        "--",
        "5: '--' does not separate two declarations. Write `---`, three hyphens and nothing before or after them.",
    ),
    "---- ": (
        (5, 5),
        "----",
        "5: '----' does not separate two declarations. Write `---`, three hyphens and nothing before or after them.",
    ),
    "--- indented": (
        (5, 5),
        "  ---",
        "5: '  ---' does not separate two declarations. Write `---`, three hyphens and nothing before or after them.",
    ),
    "— dash": (
        (5, 5),
        "———",
        "5: '———' does not separate two declarations. Write `---`, three hyphens and nothing before or after them.",
    ),
    "tab indentation": (
        (3, 3),
        "\tdataset: Dataset004_Hippocampus",
        "3: the line begins with a tab. Indent with spaces, two for each level: `  dataset: Dataset004_Hippocampus`.",
    ),
    "tab after value key": (
        (15, 15),
        "\tnum_epochs: 100",
        "15: the line begins with a tab. Indent with spaces, two for each level: `    num_epochs: 100`.",
    ),
    "attributes not indented": (
        (3, 4),
        "dataset: Dataset004_Hippocampus\nfolds: 5",
        "3: dataset: belongs to `attributes`: indent it by two spaces below it. Write `  dataset: "
        "Dataset004_Hippocampus`, and so the lines after it.",
    ),
    "one field not indented": (
        (9, 9),
        "configuration: 3d_fullres",
        "9: the line is not indented, and those that it belongs with by 2. Write `  configuration: 3d_fullres`.",
    ),
    "one field indented too deep": (
        (9, 9),
        "    configuration: 3d_fullres",
        "9: the line is indented by 4 spaces, and those that it belongs with by 2. Write `  configuration: "
        "3d_fullres`.",
    ),
    "one field one space": (
        (9, 9),
        " configuration: 3d_fullres",
        "9: the line is indented by 1 space, and those that it belongs with by 2. Write `  configuration: 3d_fullres`.",
    ),
    "one field 3 spaces": (
        (11, 11),
        "   device: cuda",
        "11: the line is indented by 3 spaces, and those that it belongs with by 2. Write `  device: cuda`.",
    ),
    "variant fields not indented": (
        (14, 16),
        "  name: short\n  num_epochs: 100\n  initial_lr: 0.01",
        "14: attributes.name: belongs to `variant`: write it below `variant:`, indented by two spaces more than that.",
        "15: attributes.num_epochs: belongs to `variant`: write it below `variant:`, indented by two spaces "
        "more than that.",
        "16: attributes.initial_lr: belongs to `variant`: write it below `variant:`, indented by two spaces "
        "more than that.",
    ),
    "variant field too shallow": (
        (15, 15),
        "   num_epochs: 100",
        "15: the line is indented by 3 spaces, and those that it belongs with by 4. Write `    num_epochs: 100`.",
    ),
    "variant on one line": (
        (13, 14),
        "  variant: name: short",
        "13: what belongs to `variant` begins on a line of its own. End this line after `variant:`, and "
        "write `    name: short` on the next.",
    ),
    "variant as list": (
        (14, 16),
        "    - name: short\n    - num_epochs: 100\n    - initial_lr: 0.01",
        "13: attributes.variant: must be a block of fields, one `name: value` a line, not a list. Remove the "
        "`- ` at the beginning of its lines.",
    ),
    "attributes as list": (
        (3, 4),
        "  - dataset: Dataset004_Hippocampus\n  - folds: 5",
        "2: attributes: must be a block of fields, one `name: value` a line. Remove the `- ` at the "
        "beginning of its lines.",
    ),
    "colon without space": ((4, 4), "  folds:5", "4: a space is missing after the colon. Write `  folds: 5`."),
    "colon without space only field": (
        (3, 3),
        "  dataset:Dataset004_Hippocampus",
        "3: a space is missing after the colon. Write `  dataset: Dataset004_Hippocampus`.",
    ),
    "type colon without space": (
        (1, 1),
        "type:nnunet_assets.components.NnunetDataset",
        "1: a space is missing after the colon. Write `type: nnunet_assets.components.NnunetDataset`.",
    ),
    "missing colon": ((4, 4), "  folds 5", "4: the colon is missing after folds. Write `  folds: 5`."),
    "missing colon attributes": (
        (2, 2),
        "attributes",
        "2: the colon is missing after attributes. Write `attributes:`.",
    ),
    "equals": (
        (4, 4),
        "  folds = 5",
        "4: a name and its value have a colon and a space between them. Write `  folds: 5`.",
    ),
    "smart quotes": (
        (3, 3),
        "  dataset: “Dataset004_Hippocampus”",
        "3: attributes.dataset: “Dataset004_Hippocampus” is not nnU-Net's form DatasetXXX_Name, with three "
        "digits and then letters, digits, '.', '_' or '-'. These are the curly quotes of a word processor: "
        "write Dataset004_Hippocampus.",
    ),
    "smart single": (
        (9, 9),
        "  configuration: ‘3d_fullres’",
        "9: attributes.configuration: ‘3d_fullres’ is not a name of at most 64 letters, digits, '.', '_' or "
        "'-' that starts with a letter or a digit. These are the curly quotes of a word processor: write "
        "3d_fullres.",
    ),
    "unclosed quote": (
        (9, 9),
        "  configuration: '3d_fullres",
        "9: the quote ' that opens here is not closed. Write `  configuration: '3d_fullres'`.",
    ),
    "unclosed double quote": (
        (9, 9),
        '  configuration: "3d_fullres',
        '9: the quote " that opens here is not closed. Write `  configuration: "3d_fullres"`.',
    ),
    "unclosed bracket": (
        (10, 10),
        "  folds: [0, 1",
        "10: the bracket [ that opens here is not closed. Write `  folds: [0, 1]`.",
    ),
    "unclosed bracket end": (
        (12, 12),
        "  owners: [ana@clinic.org",
        "12: the bracket [ that opens here is not closed. Write `  owners: [ana@clinic.org]`.",
    ),
    "unclosed brace": (
        (13, 16),
        "  variant: {name: short, num_epochs: 5",
        "13: the bracket { that opens here is not closed. Write `  variant: {name: short, num_epochs: 5}`.",
    ),
    "wrong bracket": (
        (10, 10),
        "  folds: [0, 1)",
        "10: the bracket [ that opens here is not closed. Write `  folds: [0, 1]`.",
    ),
    "stray bracket": ((10, 10), "  folds: 0, 1]", "10: attributes.folds: must be a list, such as [0, 1], not 0, 1]."),
    "parens": (
        (10, 10),
        "  folds: (0, 1)",
        "10: attributes.folds: must be a list, such as [0, 1], not (0, 1). Write [0, 1].",
    ),
    "list without brackets": (
        (10, 10),
        "  folds: 0, 1",
        "10: attributes.folds: must be a list, such as [0, 1], not 0, 1. Write [0, 1].",
    ),
    "list as range": (
        (10, 10),
        "  folds: 0-4",
        "10: attributes.folds: must be a list, such as [0, 1], not 0-4. Write [0, 1, 2, 3, 4].",
    ),
    "list all": (
        (10, 10),
        "  folds: all",
        "10: attributes.folds: must be a list, such as [0, 1], not all. Remove `folds`: without it every "
        "fold is trained.",
    ),
    "dash without space": (
        (10, 10),
        "  folds:\n    -0\n    -1",
        "10: attributes.folds: must be a list, such as [0, 1], not -0 -1. Write [0, 1].",
    ),
    "case of key": (
        (4, 4),
        "  Folds: 5",
        "4: attributes.Folds: is not a field here. Did you mean folds? Fields: dataset, folds, splits, "
        "nsd_tolerance_mm, lesion_labels, phantom, quarantine, repair_headers_mm, files_from, "
        "verify_integrity, found_ensembles, owners, register, register_margin, intended_use, licence.",
    ),
    "case of TYPE": (
        (1, 1),
        "Type: nnunet_assets.components.NnunetDataset",
        "1: type: is written in small letters, not `Type`.",
    ),
    "numbers as strings": ((4, 4), "  folds: '5'", "4: attributes.folds: must be a whole number, not '5'. Write 5."),
    "number words": ((4, 4), "  folds: five", "4: attributes.folds: must be a whole number, not five."),
    "epochs 1k": (
        (15, 15),
        "    num_epochs: 1k",
        "15: attributes.variant.num_epochs: must be a whole number, not 1k. Write 1000.",
    ),
    "epochs 1,000": (
        (15, 15),
        "    num_epochs: 1,000",
        "15: attributes.variant.num_epochs: must be a whole number, not 1,000. Write 1000.",
    ),
    "True string": (
        (11, 11),
        "  full_model: 'yes'",
        "11: attributes.full_model: must be true or false, not 'yes'. Write true.",
    ),
    "variant no": (
        (14, 14),
        "    name: no",
        "14: attributes.variant.name: must be text, not no. YAML reads no as false: put it in quotes.",
    ),
    "two variants": (
        (17, 16),
        "  variant:\n    name: long\n    num_epochs: 500",
        "17: attributes.variant: is given twice, first at line 13; Dagster would take the last. Keep the one "
        "that is right.",
    ),
    "gpu": (
        (11, 11),
        "  device: gpu",
        "11: attributes.device: gpu is not allowed. Did you mean cuda? Allowed: auto, cuda, cpu, mps.",
    ),
    "GPU": (
        (11, 11),
        "  device: GPU",
        "11: attributes.device: GPU is not allowed. Did you mean cuda? Allowed: auto, cuda, cpu, mps.",
    ),
    "cuda:0": (
        (11, 11),
        "  device: cuda:0",
        "11: attributes.device: cuda:0 is not allowed. Did you mean cuda? Which GPU that is, "
        "CUDA_VISIBLE_DEVICES=0 says. Allowed: auto, cuda, cpu, mps.",
    ),
    "owner name": (
        (12, 12),
        "  owners: [ana]",
        "12: attributes.owners[0]: 'ana' is neither an e-mail address nor of the form team:NAME. Write "
        "ana@clinic.org or team:radiology, as they are called with you.",
    ),
    "owner no list": (
        (12, 12),
        "  owners: ana@clinic.org",
        "12: attributes.owners: must be a list, such as [ana@clinic.org, team:radiology], not "
        "ana@clinic.org. Write [ana@clinic.org].",
    ),
    "owner team": (
        (12, 12),
        "  owners: [team: radiology]",
        "12: attributes.owners[0]: must be text, not a block of fields. YAML reads a colon with a space "
        "behind it as the end of a name: remove that space.",
    ),
    "at sign": ((12, 12), "  owners: [@ana]", '12: text that begins with @ needs quotes. Write `  owners: ["@ana"]`.'),
    "dataset id": (
        (3, 3),
        "  dataset: 4",
        "3: attributes.dataset: must be text, not 4. nnU-Net's whole name is needed, such as Dataset004_Name.",
    ),
    "dataset 004": (
        (3, 3),
        "  dataset: 004",
        "3: attributes.dataset: must be text, not 004. nnU-Net's whole name is needed, such as Dataset004_Name.",
    ),
    "dataset Task": (
        (3, 3),
        "  dataset: Task004_Hippocampus",
        "3: attributes.dataset: Task004_Hippocampus is not nnU-Net's form DatasetXXX_Name, with three digits "
        "and then letters, digits, '.', '_' or '-'. Did you mean Dataset004_Hippocampus?",
    ),
    "dataset typo": (
        (3, 3),
        "  dataset: Dataset004_Hipocampus",
        "8: attributes.dataset: Dataset004_Hippocampus is not declared. Did you mean Dataset004_Hipocampus? "
        "Declared: Dataset004_Hipocampus. Declare it in a document with `type: "
        "nnunet_assets.components.NnunetDataset` and `attributes: {dataset: Dataset004_Hippocampus}`.",
    ),
    "configuration 3d": (
        (9, 9),
        "  configuration: 3d",
        "9: attributes.configuration: 3d is not allowed. Allowed: 2d, 3d_fullres, 3d_lowres, "
        "3d_cascade_fullres, which nnU-Net plans; or one of your own that you add to the plans, named after "
        "one of them, such as 3d_fullres_bs8.",
    ),
    "configuration fullres": (
        (9, 9),
        "  configuration: 3d_full_res",
        "9: attributes.configuration: 3d_full_res is not allowed. Did you mean 3d_fullres? Allowed: 2d, "
        "3d_fullres, 3d_lowres, 3d_cascade_fullres, which nnU-Net plans; or one of your own that you add to "
        "the plans, named after one of them, such as 3d_fullres_bs8.",
    ),
    "configuration 2D": (
        (9, 9),
        "  configuration: 2D",
        "9: attributes.configuration: 2D is not allowed. Did you mean 2d? Allowed: 2d, 3d_fullres, "
        "3d_lowres, 3d_cascade_fullres, which nnU-Net plans; or one of your own that you add to the plans, "
        "named after one of them, such as 3d_fullres_bs8.",
    ),
    "configuration 3D_fullres": (
        (9, 9),
        "  configuration: 3D_fullres",
        "9: attributes.configuration: 3D_fullres is not allowed. Did you mean 3d_fullres? Allowed: 2d, "
        "3d_fullres, 3d_lowres, 3d_cascade_fullres, which nnU-Net plans; or one of your own that you add to "
        "the plans, named after one of them, such as 3d_fullres_bs8.",
    ),
    "type typo": (
        (1, 1),
        "type: nnunet_assets.components.NnUNetDataset",
        "1: type: 'nnunet_assets.components.NnUNetDataset' is not a component. Did you mean "
        "nnunet_assets.components.NnunetDataset? The components of this package are "
        "nnunet_assets.components.NnunetDataset, nnunet_assets.components.CrossValidationExperiment, "
        "nnunet_assets.components.Ensemble and nnunet_assets.components.Search.",
    ),
    "type short": (
        (1, 1),
        "type: NnunetDataset",
        "1: type: 'NnunetDataset' is not a component. Did you mean nnunet_assets.components.NnunetDataset? "
        "The components of this package are nnunet_assets.components.NnunetDataset, "
        "nnunet_assets.components.CrossValidationExperiment, nnunet_assets.components.Ensemble and "
        "nnunet_assets.components.Search.",
    ),
    "type typo 2": (
        (6, 6),
        "type: nnunet_assets.components.Experiment",
        "6: type: 'nnunet_assets.components.Experiment' is not a component. Did you mean "
        "nnunet_assets.components.CrossValidationExperiment? The components of this package are "
        "nnunet_assets.components.NnunetDataset, nnunet_assets.components.CrossValidationExperiment, "
        "nnunet_assets.components.Ensemble and nnunet_assets.components.Search.",
    ),
    "no attributes": (
        (2, 4),
        "",
        "1: attributes.dataset: is missing. nnU-Net's dataset name, such as Dataset004_Hippocampus.",
    ),
    "no type": (
        (1, 1),
        "",
        "1: type: is missing. A declaration begins with it: `type: nnunet_assets.components.NnunetDataset`. "
        "The components are nnunet_assets.components.NnunetDataset, "
        "nnunet_assets.components.CrossValidationExperiment, nnunet_assets.components.Ensemble and "
        "nnunet_assets.components.Search.",
    ),
    "lr at experiment": (
        (11, 11),
        "  num_epochs: 100",
        "11: attributes.num_epochs: belongs to `variant`: write it below `variant:`, indented by two spaces "
        "more than that.",
    ),
    "epochs": (
        (15, 15),
        "    epochs: 100",
        "15: attributes.variant.epochs: is not a field here. Did you mean num_epochs? Fields: name, "
        "num_epochs, num_iterations_per_epoch, num_val_iterations_per_epoch, initial_lr, weight_decay, "
        "oversample_foreground_percent, probabilistic_oversampling, enable_deep_supervision, save_every, "
        "batch_size, patch_size, hyperparameters, continues, pretrained_weights, seed, deterministic, patience, "
        "restore_best.",
    ),
    "percent": (
        (16, 16),
        "    initial_lr: 1%",
        "16: attributes.variant.initial_lr: must be a number, not 1%. Write 0.01.",
    ),
    "comma decimal": (
        (16, 16),
        "    initial_lr: 0,01",
        "16: attributes.variant.initial_lr: must be a number, not 0,01. YAML reads 0,01 as text: write 0.01.",
    ),
    "nbsp": (
        (11, 11),
        "\xa0\xa0device: cuda",
        "11: the line holds a blank that is no space (U+00A0), as web pages and word processors write it. "
        "Type its blanks anew: `  device: cuda`.",
    ),
    "hash in value": (
        (9, 9),
        "  configuration: 3d_fullres#mine",
        "9: attributes.configuration: 3d_fullres#mine is not a name of at most 64 letters, digits, '.', '_' "
        "or '-' that starts with a letter or a digit. A remark needs a space before its #.",
    ),
    "colon in description": (
        (11, 11),
        "  description: first try: with 100 epochs",
        '11: a text with a colon in it needs quotes. Write `  description: "first try: with 100 epochs"`.',
    ),
    "python": (
        (1, 16),
        "dataset = 'Dataset004_Hippocampus'",
        "1: a declaration is a block with `type: ...`, and `attributes:` with its fields indented below it. "
        "After each name stands a colon and a space.",
    ),
    "percent indicator": (
        (11, 11),
        "  description: %5 of data",
        '11: text that begins with % needs quotes. Write `  description: "%5 of data"`.',
    ),
    "asterisk": (
        (11, 11),
        "  description: *important*",
        '11: text that begins with * needs quotes. Write `  description: "*important*"`.',
    ),
    "exclam": (
        (11, 11),
        "  description: !important",
        "11: the YAML tag '!important' is not allowed. Write plain values: text, numbers, lists, blocks. "
        "Text that begins with an exclamation mark needs quotes.",
    ),
    "backtick": (
        (11, 11),
        "  description: `x`",
        '11: text that begins with ` needs quotes. Write `  description: "`x`"`.',
    ),
    "windows path double quotes": (
        (11, 11),
        '  description: "C:\\new\\data"',
        "11: a backslash between double quotes begins a special letter. Use single quotes, such as 'C:\\data'.",
    ),
    "dots end": (
        (5, 5),
        "...",
        "5: '...' does not separate two declarations. Write `---`, three hyphens and nothing before or after them.",
    ),
    "patience in experiment": (
        (11, 11),
        "  patience: 50",
        "11: attributes.patience: belongs to `variant`: write it below `variant:`, indented by two spaces "
        "more than that.",
    ),
    "semicolon": ((4, 4), "  folds: 5;", "4: attributes.folds: must be a whole number, not 5;. Write 5."),
    "comma at line end": (
        (3, 4),
        "  dataset: Dataset004_Hippocampus,\n  folds: 5,",
        "3: attributes.dataset: Dataset004_Hippocampus, is not nnU-Net's form DatasetXXX_Name, with three "
        "digits and then letters, digits, '.', '_' or '-'. Remove the ',' at its end.",
        "4: attributes.folds: must be a whole number, not 5,. Write 5.",
    ),
    "empty value": (
        (4, 4),
        "  folds:",
        "4: attributes.folds: must be a whole number, not empty. The value after the colon is missing.",
    ),
    "null document end": ((17, 16), "---", "18: the document is empty, which Dagster refuses. Remove its line `---`."),
    "block scalar then slip": (
        (11, 11),
        "  description: |\n    lr=0.1\n    a:b\n    -- x\n  device:cuda",
        "15: a space is missing after the colon. Write `  device: cuda`.",
    ),
    "apostrophe start": (
        (11, 11),
        "  description: 'Ana's first try'",
        "11: the text ends at its second ', before `s first try'`. Put \" around it instead.",
    ),
    "double in double": (
        (11, 11),
        '  description: "the "best" one"',
        '11: the text ends at its second ", before `best" one"`. Put \' around it instead.',
    ),
    "value colon end": (
        (11, 11),
        "  description: todo:",
        '11: a text with a colon in it needs quotes. Write `  description: "todo:"`.',
    ),
    "markdown fence": ((1, 0), "```yaml", "1: the line is Markdown's and not YAML's. Remove it."),
    "diff markers": (
        (4, 4),
        "<<<<<<< HEAD\n  folds: 5\n=======\n  folds: 4\n>>>>>>> b",
        "4: a merge of Git is not done here. Keep one of the two versions, and remove Git's lines (<<<, ===, >>>).",
    ),
    "bullet *": (
        (10, 10),
        "  folds: \n    * 0\n    * 1",
        "11: an item of a list begins with a hyphen. Write `    - 0`.",
    ),
    "control char": ((4, 4), "  folds: 5\x07", "4: the line holds U+0007, a control character. Write the line anew."),
    "pipe": (
        (11, 11),
        "  description: | text",
        '11: text that begins with | needs quotes. Write `  description: "| text"`.',
    ),
    "dash value": (
        (11, 11),
        "  description: - first",
        '11: text that begins with - needs quotes. Write `  description: "- first"`.',
    ),
    "none": (
        (10, 10),
        "  folds: None",
        "10: attributes.folds: must be a list, such as [0, 1], not None. Remove `folds`: without it the "
        "default counts.",
    ),
    "jinja": ((3, 3), "  dataset: {{ env.DATASET }}", "3: a value with {{ and }} needs quotes around all of it."),
    "two colons key": (
        (4, 4),
        "  folds:: 5",
        "4: attributes.folds:: is not a field here. One colon is enough: write `folds: `.",
    ),
    "fullwidth colon": (
        (4, 4),
        "  folds： 5",
        "4: a name and its value have a colon and a space between them. Write `  folds: 5`.",
    ),
    "arrow": (
        (4, 4),
        "  folds -> 5",
        "4: a name and its value have a colon and a space between them. Write `  folds: 5`.",
    ),
}
"""By the mistake: the first and the last line that it takes the place of, what stands there, and what is said."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_beginner_is_told_the_line_and_how_to_write_it(tmp_path: Path, mistake: str) -> None:
    (first, last), written, *sentences = MISTAKES[mistake]
    lines = RIGHT.splitlines()
    text = "\n".join([*lines[: first - 1], *written.splitlines(), *lines[last:]])

    assert errors_of(tmp_path, {"defs.yaml": f"{text}\n"}) == [f"defs.yaml:{sentence}" for sentence in sentences]
