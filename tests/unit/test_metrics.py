"""Metrics against torchmetrics and by hand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from seediff.errors import SeediffError
from seediff.segmenter.metrics import harmonic_mean, iou, miou, pixel_accuracy


def random_labels(seed: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth with ignored pixels, prediction, and their confusion matrix counted pixel by pixel."""
    rng = np.random.default_rng(seed)
    present = rng.permutation(classes)[: rng.integers(1, classes + 1)]
    truth, predicted = rng.choice(present, (2, 6, 9))
    truth[rng.random(truth.shape) < 0.2] = 255
    matrix = np.zeros((classes, classes), np.int64)
    for t, p in zip(truth.ravel(), predicted.ravel(), strict=True):
        if t != 255:
            matrix[t, p] += 1
    return truth, predicted, matrix


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(3, 6))
def test_agrees_with_torchmetrics(seed, classes):
    truth, predicted, matrix = random_labels(seed, classes)
    tensors = torch.from_numpy(predicted), torch.from_numpy(truth)
    oracle = MulticlassJaccardIndex(classes, ignore_index=255, average=None)(*tensors).numpy()
    np.testing.assert_allclose(np.nan_to_num(iou(matrix)), np.nan_to_num(oracle), atol=1e-6)
    assert miou(matrix) == pytest.approx(
        MulticlassJaccardIndex(classes, ignore_index=255, average="macro")(*tensors).item(), abs=1e-6
    )
    accuracy = MulticlassAccuracy(classes, ignore_index=255, average="micro")(*tensors).item()
    assert pixel_accuracy(matrix) == pytest.approx(accuracy, abs=1e-6)


def test_by_hand():
    matrix = [[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    np.testing.assert_allclose(iou(matrix), [6 / 9, 3 / 7, np.nan, 0])
    assert miou(matrix) == pytest.approx((6 / 9 + 3 / 7 + 0) / 3)
    assert miou(matrix, [0, 2]) == pytest.approx(6 / 9)
    assert np.isnan(miou(matrix, [2]))
    assert pixel_accuracy(matrix) == pytest.approx(9 / 13)
    assert np.isnan(pixel_accuracy(np.zeros((2, 2), int)))


def test_harmonic_mean():
    assert harmonic_mean(0.5, 0.25) == pytest.approx(1 / 3)
    assert harmonic_mean(0.0, 0.0) == 0
    np.testing.assert_allclose(harmonic_mean([0.5, 0.0, np.nan], [0.25, 0.0, 1.0]), [1 / 3, 0, np.nan])


@pytest.mark.parametrize("matrix", [[[1, 2]], [[0.5, 1], [1, 1]], [[-1, 0], [0, 1]]])
def test_what_is_no_confusion_matrix_is_an_error(matrix):
    with pytest.raises(SeediffError, match="confusion matrix"):
        iou(matrix)


def test_torch_is_not_imported():
    code = "import sys, seediff.segmenter.metrics, seediff.segmenter.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
