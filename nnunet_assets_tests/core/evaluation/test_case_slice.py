"""Which slice of a case tells most."""

import numpy as np

from nnunet_assets.core.evaluation.case_slice import telling_slice


def test_it_is_the_one_where_reference_and_prediction_differ_most() -> None:
    reference = np.zeros((4, 5, 6), int)
    reference[1:3, 1:4, 1:5] = 1
    predicted = reference.copy()
    predicted[1, 1, 2] = predicted[1, 2, 3] = predicted[1, 3, 3] = 0
    assert telling_slice(reference, predicted) == 3
    assert telling_slice(reference, predicted, axis=0) == 1
    # The first of those with the most labelled voxels.
    assert telling_slice(reference, reference) == 1


def test_another_label_differs_too_and_what_only_one_of_them_has() -> None:
    reference = np.zeros((2, 2, 5), int)
    reference[..., 1] = 1
    predicted = reference.copy()
    predicted[0, 0, 1] = 2
    assert telling_slice(reference, predicted) == 1
    predicted[..., 4] = 1
    assert telling_slice(reference, predicted) == 4


def test_without_any_label_it_is_the_middle_one() -> None:
    nothing = np.zeros((4, 5, 7))
    assert [telling_slice(nothing, nothing, axis) for axis in range(3)] == [2, 2, 3]


def test_what_is_negative_is_no_label() -> None:
    labels = np.zeros((3, 3, 3), int)
    labels[..., 0] = -1
    assert telling_slice(labels, labels) == 1
    labels[0, 0, 2] = 1
    assert telling_slice(labels, labels) == 2
