"""What a wrong value or field was most likely meant to be, as a sentence with a space before it; or nothing."""

import re
from collections.abc import Sequence

from pydantic import BaseModel

from nnunet_assets.core.files.layout import DATASET_PATTERN
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.fields import keys_of
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import did_you_mean

_EXAMPLES = {
    "folds": "[0, 1]",
    "owners": "[ana@clinic.org, team:radiology]",
    "lesion_labels": "[tumour]",
    "files_from": "[/data/images]",
    "members": "[2d, 3d_fullres]",
    "options": '["--qos=long"]',
    "modules": "[cuda/12.1]",
}
_OTHER_WORDS = {"gpu": "cuda", "nvidia": "cuda", "metal": "mps", "apple": "mps", "any": "auto", "processor": "cpu"}
"""What others call what nnU-Net and this package have another word for."""

_CURLY_QUOTES = "“”„‟‘’‚‛«»"


def unknown_field(name: str, model: type[BaseModel]) -> str:
    """Says where a field belongs that this declaration has not, or which one was meant."""
    fields = keys_of(model)
    if ":" in name:
        first, _, rest = name.partition(":")
        wrong = "One colon is enough" if set(rest) <= {":"} else "A space is missing after the colon"
        return f"is not a field here. {wrong}: write `{first}: {rest.lstrip(':')}`."
    if model is ExperimentConfig and name in keys_of(VariantConfig):
        return "belongs to `variant`: write it below `variant:`, indented by two spaces more than that."
    if model is VariantConfig and name in keys_of(ExperimentConfig):
        return "belongs to the experiment and not to its variant: indent it as `variant` is."
    if model is ExperimentConfig and name in keys_of(DatasetConfig):
        return "is a field of a dataset's declaration, not of an experiment's."
    if model is DatasetConfig and name in {*keys_of(ExperimentConfig), *keys_of(VariantConfig)}:
        return "is a field of an experiment's declaration, not of a dataset's."
    return f"is not a field here.{did_you_mean(name, fields)} Fields: {', '.join(fields)}."


def meant(value: object, allowed: Sequence[str]) -> str:
    """Returns the allowed word for what was written in another."""
    text = str(value).strip().lower()
    word, note = _OTHER_WORDS.get(text), ""
    if numbered := re.fullmatch(r"(?:cuda|gpu):?([0-9]+)", text):
        word, note = "cuda", f" Which GPU that is, CUDA_VISIBLE_DEVICES={numbered[1]} says."
    return f" Did you mean {word}?{note}" if word in allowed else ""


def name_slip(text: str, pattern: str) -> str:
    """Returns what is wrong with a name that does not have its form, and the name that was most likely meant."""
    plain = text.strip(_CURLY_QUOTES)
    if plain != text:
        return f" These are the curly quotes of a word processor: write {plain}."
    if text[-1:] in (",", ";"):
        return f" Remove the {text[-1]!r} at its end."
    if "#" in text:
        return " A remark needs a space before its #."
    if pattern == DATASET_PATTERN and (found := re.fullmatch(r"(?i)(?:dataset|task)?[_ ]?([0-9]{1,3})_(\S+)", text)):
        return f" Did you mean Dataset{int(found[1]):03}_{found[2]}?"
    return ""


def value_slip(value: object, location: Sequence[object]) -> str:
    """Returns an example for a value that its field refuses in words of its own."""
    return " Write ana@clinic.org or team:radiology, as they are called with you." if "owners" in location else ""


def list_example(field: str) -> str:
    """Returns what a list of this field looks like."""
    return f"a list, such as {_EXAMPLES[field]}" if field in _EXAMPLES else "a list, with [ and ] around it"


def as_list(field: str, text: str) -> str:
    """Returns the list that a text stands for."""
    if not text or any(letter in text for letter in "[]{}:"):
        return ""
    if text.lower() in ("none", "null", "~"):
        return f" Remove `{field}`: without it the default counts."
    if field != "folds":
        return f" Write [{text.strip('()')}]."
    if text.lower() == "all":
        return " Remove `folds`: without it every fold is trained."
    if between := re.fullmatch(r"\(?([0-9]{1,2}) ?(?:-|\.\.|–|to) ?([0-9]{1,2})\)?", text):
        return f" Write {[*range(int(between[1]), int(between[2]) + 1)]}."
    numbers = [int(number) for number in re.findall(r"[0-9]{1,3}", text)]
    return f" Write {numbers}." if numbers else ""


def whole_number(text: str) -> str:
    """Returns the whole number that a text stands for."""
    text = text.strip(" ;")
    if re.fullmatch(r"[0-9]{1,3}(?:[,'’ ][0-9]{3})+", text):
        return f" Write {int(re.sub('[^0-9]', '', text))}."
    if thousands := re.fullmatch(r"([0-9]{1,6})[kK]", text):
        return f" Write {thousands[1]}000."
    found = _as_number(text)
    return f" Write {int(found)}." if found is not None and found == int(found) else ""


def number(text: str, *, is_quoted: bool) -> str:
    """Returns the number that a text stands for."""
    if percent := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", text):
        return f" Write {float(percent[1]) / 100:g}."
    if _as_number(text) is None:
        return ""
    return " Remove the quotes." if is_quoted else f" YAML reads {text} as text: write {_yaml_float(text)}."


def truth(text: str) -> str:
    """Returns the truth value that a text stands for."""
    word = text.strip().lower()
    if word in ("true", "false"):
        return " Remove the quotes."
    if word in ("yes", "y", "on", "1", "t", "no", "n", "off", "0", "f"):
        return f" Write {str(word in ('yes', 'y', 'on', '1', 't')).lower()}."
    return ""


def _as_number(text: str) -> float | None:
    match = re.fullmatch(r"[-+]?[0-9]{1,20}(?:[.,][0-9]*)?(?:[eE][-+]?[0-9]{1,2})?", text)
    return float(text.replace(",", ".")) if match else None


def _yaml_float(text: str) -> str:
    """Returns a number in the form that YAML 1.1 takes for one: 1e-3 needs a point, 1.0e3 a sign."""
    mantissa, _, exponent = text.replace(",", ".").lower().partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    signed = exponent if exponent[:1] in ("", "-", "+") else f"+{exponent}"
    return f"{mantissa}e{signed}" if exponent else mantissa
