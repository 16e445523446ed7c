"""What each code of a finding stands for: a title and what to do about it in general.

A finding's own message names the file and the remedy; this is for those who see a thousand of them at once.
"""

from collections.abc import Mapping
from typing import NamedTuple


class FindingKind(NamedTuple):
    """What findings of one code have in common.

    Attributes:
        title: A few words.
        remedy: A sentence.
    """

    title: str
    remedy: str


FINDING_KINDS: Mapping[str, FindingKind] = {
    "D001": FindingKind("dataset.json is missing", "Write one, or import the folder."),
    "D002": FindingKind("dataset.json is no JSON", "Correct the line that is named."),
    "D003": FindingKind("a key twice in dataset.json", "Take one of the two away."),
    "D004": FindingKind("dataset.json is no object", "Put its keys into one JSON object."),
    "D005": FindingKind("a byte order mark", "Save dataset.json as UTF-8 without one."),
    "D006": FindingKind("dataset.json of nnU-Net v1", "Import the folder, or write the new keys."),
    "D007": FindingKind("labels inverted", "Map names to values."),
    "D008": FindingKind("no background", "Declare background as 0."),
    "D009": FindingKind("background is not 0", "Declare background as 0, and paint it so."),
    "D010": FindingKind("label values with gaps", "Renumber the labels in dataset.json and in the label images."),
    "D011": FindingKind("label values as text", "Write numbers without quotes."),
    "D012": FindingKind("label values that are no numbers", "Give each label a whole number."),
    "D013": FindingKind("regions without a right order", "Let each value be read back as what it was."),
    "D014": FindingKind("ignore is not the highest label", "Give ignore the number after the highest other label."),
    "D015": FindingKind("labels that share a value", "Give each label a value of its own."),
    "D016": FindingKind("numTraining and cases differ", "Find the cases that are missing, or correct numTraining."),
    "D017": FindingKind("numTraining is no number", "Write the number of cases without quotes."),
    "D018": FindingKind("file_ending is no ending", "Write the ending with its dot."),
    "D019": FindingKind("files of another ending", "Convert, rename or remove them, or correct file_ending."),
    "D020": FindingKind("unknown file_ending", "Convert the images to a format that nnU-Net reads."),
    "D021": FindingKind("channel_names is of no use", "Name at least one channel, by number."),
    "D022": FindingKind("channels missing or too many", "Give every case one file a channel."),
    "D023": FindingKind("channels do not count from 0", "Number the channels from 0 up."),
    "D025": FindingKind("image without a channel number", "Add _0000 to the file's name."),
    "D026": FindingKind("label missing", "Add the label, or take the images away."),
    "D027": FindingKind("label without an image", "Add the image, or take the label away."),
    "D028": FindingKind("no images", "Put the training images into imagesTr."),
    "D029": FindingKind("fewer cases than folds", "Add cases, or declare fewer folds."),
    "D030": FindingKind("folds with a single validation case", "Add cases, or declare fewer folds."),
    "D031": FindingKind("NaN in an image", "Put a value that makes sense for the image."),
    "D032": FindingKind("infinity in an image", "Put a value that makes sense for the image."),
    "D033": FindingKind("intensities lost in normalization", "Correct the voxel that is named, or the image's scale."),
    "D034": FindingKind("an image of one value", "Look whether it is the right file."),
    "D035": FindingKind("a label image that is all background", "Look whether it is the right file."),
    "D036": FindingKind("no foreground anywhere", "Check the label images."),
    "D037": FindingKind("a label in no case", "Take it out of dataset.json, or check the label images."),
    "D038": FindingKind("a label in few cases", "Expect folds that validate without it."),
    "D039": FindingKind("undeclared label values", "Correct the label image, or declare the label."),
    "D040": FindingKind("labels between whole numbers", "Resample label images with nearest neighbour."),
    "D041": FindingKind("shapes differ within a case", "Resample or export the file again."),
    "D042": FindingKind("spacings differ within a case", "Correct the header that is wrong."),
    "D043": FindingKind("files of a case lie apart", "Look at both in a viewer; repair_headers_mm, or another export."),
    "D044": FindingKind("sform and qform disagree", "Look which one is right, and write it into both."),
    "D045": FindingKind(
        "a header that nnU-Net's reader refuses or mends", "Resample or export, or name another reader."
    ),
    "D046": FindingKind("not three axes, or not one number a voxel", "Split channels or time points into files."),
    "D047": FindingKind("a file that is cut off", "Copy or download it again."),
    "D048": FindingKind("a damaged file", "Copy or download it again."),
    "D049": FindingKind("not the image that its name promises", "Replace the file."),
    "D050": FindingKind("a file that unpacks without end", "Export it again, or take it away."),
    "D051": FindingKind("a file that changes while it is read", "Look again when nothing writes there."),
    "D052": FindingKind("a link that leads nowhere", "Restore its target, or delete the link."),
    "D053": FindingKind("a file that cannot be read", "Give the permission, or repair the disk."),
    "D054": FindingKind("the same voxels twice", "Keep one of the copies."),
    "D056": FindingKind("names that differ only in case or accent", "Rename all but one."),
    "D057": FindingKind("names that nnU-Net's own files have", "Rename the case."),
    "D058": FindingKind("names too long for later files", "Rename the case: shorter."),
    "D059": FindingKind("files of other systems", "Delete them, or leave them: they are passed over."),
    "D060": FindingKind("names that leave the folder or cannot be written", "Rename: no separators, readable text."),
    "D061": FindingKind("entries of the wrong form", "List images and label of each case."),
    "D062": FindingKind("dataset name or id of no use", "Rename the folder; each id may be there once."),
    "D070": FindingKind("very many labels", "Declare only what is to be segmented."),
    "D071": FindingKind(
        "images of a few voxels, or smaller than the patch", "Look whether they were cut or resampled."
    ),
    "D072": FindingKind("stands out from the cohort", "Look at the image; export it like the others."),
    "D073": FindingKind("possibly personal data", "Empty the header's fields, rename the cases."),
    "D074": FindingKind("a split beside the raw data", "Keep it, or move it away and declare `splits`."),
    "D075": FindingKind("a split beside the raw data that does not fit", "Correct it, or move it away."),
    "D076": FindingKind("lengths in a unit that the reader ignores", "Write the lengths in millimetres."),
    "D077": FindingKind("a 3D TIFF's spacing of no use", "Write three numbers in mm, along Z, Y and X."),
    "D078": FindingKind("3D TIFFs without a spacing", "Write CASE.json with the spacing beside image and label."),
    "D079": FindingKind("a reader that reads nothing here", "Name one of nnU-Net's readers, or take the key away."),
    "D080": FindingKind("labels where the images are blank", "Look whether image and label belong together."),
    "D081": FindingKind("stored otherwise than the training images", "Reorient the image like those."),
    "D082": FindingKind("resampled to nothing, or beyond the memory", "Look whether the header is right, and in mm."),
}
