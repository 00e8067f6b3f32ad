"""The set loss against the one in transformers, and what ignored pixels must not do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers.models.mask2former.modeling_mask2former import Mask2FormerLoss

from seediff.datasets.classes import IGNORE_LABEL
from seediff.errors import SeediffError
from seediff.segmenter import loss
from seediff.segmenter.loss import frame, make_targets, match, sample_labels, sample_logits, set_loss

CLASSES, QUERIES, POINTS = 4, 6, 40


@pytest.fixture
def same_points(monkeypatch):
    """Whatever the number of rows asked for, each row gets the same random points of its length."""
    drawn = {length: torch.rand(length, 2, generator=torch.Generator().manual_seed(length)) for length in (10, 40, 120)}
    monkeypatch.setattr(torch, "rand", lambda rows, length, two, **_: drawn[length].expand(rows, -1, -1).contiguous())


def random_layers(seed: int, layers: int = 2, images: int = 3, side: int = 5):
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: (2 * torch.randn(*shape, generator=rng)).requires_grad_()  # noqa: E731
    return [(draw(images, QUERIES, CLASSES + 1), draw(images, QUERIES, side, side)) for _ in range(layers)]


def random_labels(seed: int, images: int = 3, height: int = 12, width: int = 16):
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, CLASSES, (images, 1, 3, 4), generator=rng)
    return F.interpolate(coarse.float(), (height, width)).long()[:, 0]


def published_loss(layers, labels):
    """The sum of transformers' weighted loss parts over all layers."""
    config = SimpleNamespace(
        num_labels=CLASSES, no_object_weight=0.1, train_num_points=POINTS, oversample_ratio=3.0,
        importance_sample_ratio=0.75, class_weight=2.0, mask_weight=5.0, dice_weight=5.0,
    )  # fmt: skip
    criterion = Mask2FormerLoss(config, {})
    present = [image.unique() for image in labels]
    masks = [(image == classes[:, None, None]).float() for image, classes in zip(labels, present, strict=True)]
    auxiliary = [{"class_queries_logits": c, "masks_queries_logits": m} for c, m in layers[:-1]]
    parts = criterion(layers[-1][1], layers[-1][0], masks, present, auxiliary)
    total = lambda name: sum(value for key, value in parts.items() if key.startswith(name))  # noqa: E731
    return {"class": 2 * total("loss_cross_entropy"), "mask": 5 * total("loss_mask"), "dice": 5 * total("loss_dice")}


@pytest.mark.parametrize(("seed", "together"), [(0, loss.TOGETHER), (1, loss.TOGETHER), (2, 1)])
def test_equals_the_published_loss_where_nothing_is_ignored(same_points, monkeypatch, seed, together):
    monkeypatch.setattr(loss, "TOGETHER", together)  # of all layers at once, and of one after another
    layers, labels = random_layers(seed), random_labels(seed)
    ours = set_loss(layers, make_targets(labels, CLASSES), POINTS)
    theirs = published_loss(layers, labels)
    for part in ours:
        torch.testing.assert_close(ours[part], theirs[part], rtol=1e-5, atol=1e-5)
    leaves = [leaf for layer in layers for leaf in layer]
    gradients = torch.autograd.grad(sum(ours.values()), leaves)
    for ours_, theirs_ in zip(gradients, torch.autograd.grad(sum(theirs.values()), leaves), strict=True):
        torch.testing.assert_close(ours_, theirs_, rtol=1e-4, atol=1e-6)


def test_the_mean_of_the_losses_of_processes_is_that_of_the_whole_batch(same_points):
    layers, labels = random_layers(0), random_labels(0)
    labels[0] = 1  # so that the shares hold different numbers of targets
    shares = [
        ([(c[here], m[here]) for c, m in layers], make_targets(labels[here], CLASSES))
        for here in (slice(0, 1), slice(1, 3))
    ]
    told: list[list[torch.Tensor]] = [[], []]
    for share, values in zip(shares, told, strict=True):
        set_loss(*share, POINTS, lambda value, values=values: values.append(value.detach()) or value)
    means = [torch.stack(pair).mean(0) for pair in zip(*told, strict=True)]
    parts = []
    for share in shares:
        given_back = iter(means)
        parts.append(set_loss(*share, POINTS, lambda _, given_back=given_back: next(given_back)))
    for name, whole in set_loss(layers, make_targets(labels, CLASSES), POINTS).items():
        torch.testing.assert_close((parts[0][name] + parts[1][name]) / 2, whole)


def test_samplers_agree_with_interpolated_one_hot_masks():
    labels, coordinates = random_labels(0, height=5, width=7), torch.rand(3, 200, 2)
    wanted = torch.arange(CLASSES).expand(3, -1)
    masks = (labels[:, None] == torch.arange(CLASSES)[:, None, None]).float()
    truth, weight = sample_labels(frame(labels), coordinates, wanted, torch.arange(len(labels)))
    torch.testing.assert_close(truth, sample_logits(masks, coordinates), rtol=0, atol=1e-5)
    assert (weight == 1).all()


def test_targets_at_a_point_come_from_valid_pixels_alone():
    labels = torch.tensor([[[1, 255, 2]]])
    x = torch.tensor([0.2, 0.3, 0.5, 0.9])
    coordinates = torch.stack([x, torch.full_like(x, 0.5)], -1)[None]
    truth, weight = sample_labels(frame(labels), coordinates, torch.tensor([[1, 2]]), torch.tensor([0]))
    assert weight.tolist() == [[1, 1, 0, 1]]
    torch.testing.assert_close(truth[0, :, :2], torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    assert truth[0, 0, 3] == 0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), columns=st.integers(4, 12))
def test_what_is_predicted_under_ignored_pixels_changes_nothing(seed, columns):
    labels = random_labels(seed)
    labels[:, :, :columns] = IGNORE_LABEL
    layers = random_layers(seed, side=12)
    layers = [(c, F.interpolate(m, (12, 16)).detach()) for c, m in layers]
    other = [(c, m.clone()) for c, m in layers]
    for _, masks in other:  # the last ignored column still reaches points on the first valid one
        masks[..., : columns - 1] = 50 * torch.randn(*masks.shape[:3], columns - 1)
    results = []
    for predictions in (layers, other):
        torch.manual_seed(seed)
        results.append(set_loss(predictions, make_targets(labels, CLASSES), POINTS))
    for part in results[0]:
        torch.testing.assert_close(results[0][part], results[1][part], rtol=1e-5, atol=1e-6)


def test_no_gradient_reaches_ignored_pixels():
    labels = random_labels(1)
    labels[:, :6] = IGNORE_LABEL
    (classes, masks), *_ = random_layers(1, layers=1, side=12)
    sum(set_loss([(classes, masks)], make_targets(labels, CLASSES), 200).values()).backward()
    assert (masks.grad[:, :, :5] == 0).all()
    assert (masks.grad[:, :, 6:] != 0).any()


def test_ignored_classes_are_no_targets():
    labels = random_labels(0)
    labels[0] = IGNORE_LABEL
    targets = make_targets(labels, CLASSES)
    assert [len(present) for present in targets.classes] == [0, len(labels[1].unique()), len(labels[2].unique())]
    losses = set_loss(random_layers(0), targets, POINTS)
    assert all(torch.isfinite(part) for part in losses.values())


def test_a_batch_without_a_valid_pixel_teaches_no_object_alone():
    labels = torch.full((2, 8, 8), IGNORE_LABEL)
    losses = set_loss(random_layers(0, images=2), make_targets(labels, CLASSES), POINTS)
    assert losses["mask"] == 0 and losses["dice"] == 0 and losses["class"] > 0


def test_the_matching_finds_the_right_queries():
    labels = random_labels(2)
    targets = make_targets(labels, CLASSES)
    masks = torch.full((3, QUERIES, 12, 16), -9.0)
    for index, present in enumerate(targets.classes):
        for query, label in enumerate(present.flip(0)):
            masks[index, query][labels[index] == label] = 9.0
    image, query, label = match(torch.zeros(3, QUERIES, CLASSES + 1), masks, targets, POINTS)
    for index, chosen, found in zip(image, query, label, strict=True):
        assert targets.classes[index].flip(0)[chosen] == found
    assert len(image) == targets.count


def test_predictions_that_are_no_numbers_are_matched_all_the_same():
    targets = make_targets(random_labels(2), CLASSES)
    masks = torch.full((3, QUERIES, 12, 16), torch.nan)
    assert len(match(torch.zeros(3, QUERIES, CLASSES + 1), masks, targets, POINTS)[0]) == targets.count


def test_a_label_beyond_the_classes_is_an_error():
    with pytest.raises(SeediffError, match="label 4, but the segmenter has only classes 0 to 3"):
        make_targets(torch.tensor([[[0, 4, 255]]]), CLASSES)
