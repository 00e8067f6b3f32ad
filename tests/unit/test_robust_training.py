"""Robust training: its loss against naive loops, its views, ClassMix, resuming, and prediction by the mean."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import load_file
from scipy.ndimage import correlate
from torch.nn import functional as F

from seediff.datasets.augmentation import Augmentation
from seediff.datasets.images import encode_png
from seediff.datasets.shards import Sample, write_shard
from seediff.datasets.training_sets import assemble
from seediff.embedded.domains import write_domain
from seediff.errors import SeediffError
from seediff.segmenter import pixel
from seediff.segmenter.backbones import normalize
from seediff.segmenter.batches import (
    ReliabilityViews,
    WeightedBatch,
    _blurred,
    _half_of_the_objects,
    boundary,
    label_weights,
    mixed,
    online,
    strongly_changed,
    weighted,
)
from seediff.segmenter.cotraining import CoTraining, cotraining_loss, head_of, probabilities
from seediff.segmenter.evaluate import load_segmenter, predict
from seediff.segmenter.loss import MASK_WEIGHT, make_targets, set_loss
from seediff.segmenter.mask2former import predict_layers
from seediff.segmenter.registry import architecture_of
from seediff.segmenter.settings import RobustTraining, as_json
from seediff.segmenter.train import segmenter_task, train
from seediff.segmenter.views import Views
from seediff.training.loop import Trainer
from seediff.training.processes import Processes
from tests.stages import read_spec, run_stage
from tests.unit.test_segmenter_train import AUGMENTATION, CLASSES, SETTINGS, Squares

ROBUST = RobustTraining(confidence=0.3)
PIXEL = replace(SETTINGS, architecture="pixel")
BOTH = pytest.mark.parametrize("settings", [SETTINGS, PIXEL], ids=["mask2former", "pixel"])


class Uncertainty(Squares):
    """Squares with uncertainty in place of labels; all of them as unreliable as possible if ``hopeless``."""

    def __init__(self, hopeless: bool = False) -> None:
        self.hopeless = hopeless

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = super().__getitem__(index)
        uncertainty = np.random.default_rng(index).integers(0, 255, labels.shape).astype(np.uint8)
        return image, np.full_like(uncertainty, 254) if self.hopeless else uncertainty


def run(folder: Path, settings=SETTINGS, uncertainty=None, robust=ROBUST, **options) -> None:
    state, rng_seed = folder / "state", options.pop("rng_seed", 3)
    common = (Squares(), settings, CLASSES, folder / "out", state, rng_seed, options.pop("augmentation", AUGMENTATION))
    train(*common, objective=CoTraining(uncertainty or Uncertainty(), robust), **options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(some[name], others[name]) for name in some)


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> dict[str, Path]:
    """The folders of uninterrupted runs, by architecture."""
    folders = {settings.architecture: tmp_path_factory.mktemp(settings.architecture) for settings in (SETTINGS, PIXEL)}
    for settings in (SETTINGS, PIXEL):
        run(folders[settings.architecture], settings)
    return folders


def some_batch(side: int = 8, count: int = 2) -> WeightedBatch:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (count, side, side), generator=rng)
    labels[0, 0], labels[1, :, 1] = 255, 255
    weights = torch.rand(count, side, side, generator=rng) * (labels != 255)
    known = torch.rand(count, side, side, generator=rng) < 0.9
    pasted = torch.rand(count, side, side, generator=rng) < 0.2
    images = torch.randint(0, 256, (count, side, side, 3), generator=rng).to(torch.uint8)
    return WeightedBatch(images, labels, weights * known, known, boundary(pasted, 1))


def naive_terms(own: torch.Tensor, others: torch.Tensor, batch: WeightedBatch) -> tuple[float, float, float]:
    """Means over all pixels of weight x CE, weight x boundary x CE, and (1 - weight) x CE with the other's argmax."""
    sums = [0.0, 0.0, 0.0]
    for image, row, column in np.ndindex(*batch.labels.shape):
        place = image, row, column
        label, weights = int(batch.labels[place]), float(batch.weights[place])
        if label != 255:
            entropy = -math.log(float(own[image, label, row, column]))
            sums[0] += weights * entropy
            sums[1] += weights * float(batch.boundary[place]) * entropy
        if batch.known[place]:
            peer = max(range(3), key=lambda label: float(others[image, label, row, column]))
            sums[2] += (1 - weights) * -math.log(float(own[image, peer, row, column]))
    return tuple(total / batch.labels.numel() for total in sums)


def two_networks(settings) -> list[torch.nn.Module]:
    torch.manual_seed(5)
    networks = [architecture_of(settings).build(settings, 3).eval() for _ in range(2)]
    with torch.no_grad():  # so that they do not predict the same everywhere
        for network in networks:
            for parameter in network.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
    return networks


def test_the_loss_of_per_pixel_networks_is_becos() -> None:
    batch, networks = some_batch(side=32), two_networks(PIXEL)
    with torch.no_grad():
        found = cotraining_loss(networks, batch, head_of(PIXEL), 0.2, PIXEL)
        pixels = normalize(batch.images)
        seen = [F.interpolate(network(pixels), (32, 32), mode="bilinear").softmax(1).double() for network in networks]
    terms = [naive_terms(seen[0], seen[1], batch), naive_terms(seen[1], seen[0], batch)]
    assert float(found["pixel"]) == pytest.approx(
        sum(labels + 0.2 * boundary for labels, boundary, _ in terms), rel=1e-4
    )
    assert float(found["peer"]) == pytest.approx(sum(peer for _, _, peer in terms), rel=1e-4)
    assert set(found) == {"pixel", "peer"} and min(found.values()) > 0


def test_mask2former_adds_per_pixel_terms_to_its_own_loss() -> None:
    batch, networks = some_batch(side=32), two_networks(SETTINGS)
    hard = replace(batch, weights=(batch.weights > 0.5).float())
    with torch.no_grad():
        torch.manual_seed(0)
        found = cotraining_loss(networks, hard, head_of(SETTINGS), 0.2, SETTINGS)
        layers = [predict_layers(network, normalize(batch.images)) for network in networks]
        seen = [implied(*answer[-1]).double() for answer in layers]
        torch.manual_seed(0)
        kept = torch.where(hard.weights == 1, hard.labels, 255)
        own = []
        for answer in layers:
            torch.rand(kept.shape)
            own.append(set_loss(answer, make_targets(kept, 3), SETTINGS.points))
    for part in ("class", "mask", "dice"):
        assert float(found[part]) == pytest.approx(sum(float(parts[part]) for parts in own), rel=1e-5)
    terms = [naive_terms(seen[0], seen[1], hard), naive_terms(seen[1], seen[0], hard)]
    assert float(found["boundary"]) == pytest.approx(
        MASK_WEIGHT * 0.2 * sum(boundary for _, boundary, _ in terms), rel=1e-3
    )
    assert float(found["peer"]) == pytest.approx(MASK_WEIGHT * sum(peer for _, _, peer in terms), rel=1e-3)


def implied(classes: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mask2Former's probabilities at every pixel, query by query."""
    scores = torch.zeros(len(masks), 3, *masks.shape[2:])
    for image, query, label in np.ndindex(*classes.shape[:2], 3):
        scores[image, label] += classes[image, query].softmax(0)[label] * masks[image, query].sigmoid()
    scores = F.interpolate(scores, (32, 32), mode="bilinear")
    return scores / scores.sum(1, keepdim=True)


def test_pixels_that_no_query_claims_are_of_all_classes_alike() -> None:
    layers = [(torch.zeros(1, 4, 4), torch.full((1, 4, 8, 8), -200.0))]
    found = head_of(SETTINGS).log_probabilities(layers, (8, 8))
    assert torch.allclose(found, torch.full((1, 3, 8, 8), -math.log(3)))


def test_soft_trust_keeps_as_many_labels_for_the_set_loss(monkeypatch) -> None:
    kept, head = [], head_of(SETTINGS)
    monkeypatch.setattr("seediff.segmenter.mask2former.make_targets", lambda labels, count: kept.append(labels))
    monkeypatch.setattr("seediff.segmenter.mask2former.set_loss", lambda *_: {})
    batch = replace(some_batch(side=32), labels=torch.ones(2, 32, 32, dtype=torch.long))
    uniform = torch.full((2, 3, 32, 32), -1.0)
    for _ in range(50):
        head.supervised([], uniform, batch, 0.2, SETTINGS, lambda value: value)
    shares = torch.stack(kept).eq(1).float().mean(0)
    assert (shares - batch.weights).abs().mean() < 0.06
    assert not shares[batch.weights == 0].any()


def test_a_label_beyond_the_classes_is_said_plainly() -> None:
    batch = replace(some_batch(side=32), labels=torch.full((2, 32, 32), 3), weights=torch.ones(2, 32, 32))
    for settings in (SETTINGS, PIXEL):
        with pytest.raises(SeediffError, match="label 3, but the segmenter has only classes 0 to 2"):
            cotraining_loss(two_networks(settings), batch, head_of(settings), 0.2, settings)
    with pytest.raises(SeediffError, match="label 3"):
        pixel.losses(two_networks(PIXEL)[0], batch.images, batch.labels, PIXEL)


# --- views and weights -----------------------------------------------------------------------------------------------


class Marked(Squares):
    """Pairs whose labels are the image itself, one channel of it, so that any disagreement shows."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.random.default_rng(index).integers(0, 20, (40, 36)).astype(np.uint8)
        return np.stack([labels] * 3, -1), labels


def test_uncertainty_is_augmented_like_labels() -> None:
    augmentation = Augmentation(splice=0.5, splice_grid=2, perspective=0.5, occlusion=0.5, blur=0.5, noise=0.5)
    views = Views(Marked(), SETTINGS, augmentation, rng_seed=1)
    for number in range(40):
        _, labels, levels = ReliabilityViews(views, Marked())[number]
        assert torch.equal(255 - levels, labels)


def test_trust_follows_the_level() -> None:
    levels = torch.tensor([[0, 1, 2, 128, 129, 255, 255]], dtype=torch.uint8)
    labels = torch.tensor([[255, 255, 1, 0, 2, 2, 255]])
    assert label_weights(labels, levels, RobustTraining()).tolist() == [[0, 0, 0, 0, 1, 1, 0]]
    assert label_weights(labels, levels, RobustTraining(share=1.0)).tolist() == [[0, 0, 1, 1, 1, 1, 0]]
    soft = label_weights(labels, levels, RobustTraining(reliability="soft"))
    assert soft[0].tolist() == pytest.approx([0, 0, 1 / 254, 0.5, 128 / 254, 1, 0])
    batch = weighted(torch.zeros(1, 1, 7, 3), labels[None], levels[None], RobustTraining())
    assert batch.peer_weights.tolist() == [[[0, 1, 1, 1, 0, 0, 1]]]


# --- ClassMix --------------------------------------------------------------------------------------------------------


def test_boundaries_against_a_loop() -> None:
    pasted = torch.rand(2, 12, 10, generator=torch.Generator().manual_seed(0)) < 0.3
    pasted[1] = False
    for size in (1, 2):
        expected = torch.zeros(2, 12, 10)
        for image, row, column in np.ndindex(2, 12, 10):
            near = pasted[image, max(row - size, 0) : row + size + 1, max(column - size, 0) : column + size + 1]
            expected[image, row, column] = float(near.any() and not near.all())
        assert torch.equal(boundary(pasted, size), expected)


def test_online_labels_are_relied_on_where_they_are_sure() -> None:
    given = some_batch()
    probabilities = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).softmax(1)
    seen = online(given, probabilities, 0.4)
    assert torch.equal(seen.weights, ((probabilities.amax(1) > 0.4) & given.known).float())
    assert torch.equal(seen.labels, torch.where(given.known, probabilities.argmax(1), 255))


def mix_of(count: int = 4, mix: float = 1.0) -> tuple[WeightedBatch, WeightedBatch, WeightedBatch]:
    given = some_batch(side=16, count=count)
    labels = torch.zeros(count, 16, 16, dtype=torch.long)
    labels[:, 2:6, 2:6], labels[:, 9:14, 3:12] = 1, 2
    weights = torch.ones(count, 16, 16)
    weights[:, 2:4], weights[:, 9:11] = 0, 0  # a part of either object
    seen = replace(given, labels=labels, weights=weights)
    torch.manual_seed(0)
    return given, seen, mixed(given, seen, replace(ROBUST, mix=mix))


def test_half_of_the_objects_are_pasted() -> None:
    given, seen, mix = mix_of()
    for index in range(4):
        other = (index + 2) % 4
        changed = (mix.images[index] != given.images[index]).any(-1)
        places = [(seen.labels[other] == label) & (seen.weights[other] == 1) for label in (1, 2)]
        pasted = next(place for place in places if (changed & place).any())
        assert not (changed & ~pasted).any()
        assert torch.equal(mix.images[index][pasted], given.images[other][pasted])
        assert torch.equal(mix.images[index][~pasted], given.images[index][~pasted])
        assert torch.equal(mix.labels[index][~pasted], seen.labels[index][~pasted])
        assert torch.equal(mix.weights[index][pasted], seen.weights[other][pasted])
        assert torch.equal(mix.known[index], torch.where(pasted, given.known[other], given.known[index]))
        assert torch.equal(mix.boundary[index], boundary(pasted[None], 1)[0])


@pytest.mark.parametrize(("count", "half"), [(1, 1), (2, 1), (3, 2)])
def test_half_of_the_objects_is_rounded_up(count, half) -> None:
    labels = torch.arange(count + 1)[None]
    pasted = _half_of_the_objects(labels, torch.ones(labels.shape))
    assert pasted.sum() == half and not pasted[0, 0]


def test_strong_changes_touch_as_many_images_as_they_should() -> None:
    images = torch.randint(0, 256, (600, 12, 12, 3), dtype=torch.uint8)
    images[..., 0] |= 128  # no image is grey
    torch.manual_seed(0)
    changed = strongly_changed(images, 1.0)
    same = (changed == images).flatten(1).all(1).float().mean()
    assert 0.04 < same < 0.13  # 0.2 * 0.8 * 0.5
    grey = (changed.float().std(-1) < 1).flatten(1).all(1).float().mean()
    assert 0.15 < grey < 0.26
    assert torch.equal(strongly_changed(images, 0.0), images)


def test_a_blurred_image_is_a_convolved_one() -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 9, 7, 3)).astype(np.float32)
    kernel = np.outer((1, 4, 6, 4, 1), (1, 4, 6, 4, 1)) / 256
    expected = [correlate(image, kernel[..., None], mode="nearest") for image in images]
    np.testing.assert_allclose(_blurred(torch.from_numpy(images)).numpy(), expected, atol=1e-3)


def test_some_images_are_left_as_they_are() -> None:
    given, _, mix = mix_of(count=100, mix=0.3)
    same = [torch.equal(mix.labels[index], given.labels[index]) for index in range(100)]
    assert 55 < sum(same) < 85
    assert torch.equal(mix.boundary[torch.tensor(same)], given.boundary[torch.tensor(same)])
    assert torch.equal(mix_of(mix=0.0)[2].images, mix_of()[0].images)


def test_nothing_is_pasted_of_a_background() -> None:
    given, seen, _ = mix_of()
    mix = mixed(given, replace(seen, labels=torch.zeros_like(seen.labels)), replace(ROBUST, mix=1.0))
    assert torch.equal(mix.images, given.images) and not mix.boundary.any()


# --- training and prediction -----------------------------------------------------------------------------------------


def interrupt(monkeypatch, at: int) -> list[int]:
    """Let the run die in the step after ``at`` iterations; gives the iterations that are computed."""
    steps, step = [], Trainer.step

    def counting(self, *batch):
        if self.iteration == at:
            raise KeyboardInterrupt
        steps.append(self.iteration)
        return step(self, *batch)

    monkeypatch.setattr(Trainer, "step", counting)
    return steps


@BOTH
def test_a_resumed_run_equals_an_uninterrupted_one(settings, straight, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, at=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, settings)
    assert not (tmp_path / "out").exists()
    torch.rand(7)  # whatever the process did in between
    steps = interrupt(monkeypatch, at=99)
    run(tmp_path, settings)
    assert steps == [3, 4, 5]  # ClassMix began at iteration 3, one epoch of five pairs later
    whole, resumed = (folder / "out" / "model.safetensors" for folder in (straight[settings.architecture], tmp_path))
    assert whole.read_bytes() == resumed.read_bytes()
    assert not list((tmp_path / "state").iterdir())


@pytest.mark.parametrize("change", [{"mix": 0.0}, {"reliability": "soft"}, {"confidence": 0.9}])
def test_the_state_of_other_settings_is_not_resumed(change, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, at=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, PIXEL)
    steps = interrupt(monkeypatch, at=99)
    run(tmp_path, PIXEL, robust=replace(ROBUST, **change))
    assert steps == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "change",
    [
        {"mix": 0.0},
        {"reliability": "soft"},
        {"boundary_weight": 9.0},
        {"share": 0.1},
        {"mix_after": 2},
        {"mix_augmentation": 1.0},
    ],
)
def test_every_setting_matters(change, straight, tmp_path) -> None:
    run(tmp_path, PIXEL, robust=replace(ROBUST, **change))
    assert not equal(weights(straight["pixel"] / "out"), weights(tmp_path / "out"))


@pytest.fixture
def trainer(tmp_path) -> Trainer:
    views = Views(Squares(), PIXEL, AUGMENTATION, rng_seed=3)
    task = segmenter_task(views, len(CLASSES), CoTraining(Uncertainty(), ROBUST), Processes())
    return Trainer(task, Processes(), "name", tmp_path / "state")


def test_online_labels_are_those_that_the_pair_would_predict(trainer) -> None:
    batch = some_batch(side=32)
    before = [buffer.clone() for buffer in trainer.task.model.buffers()]
    found = probabilities(trainer.task.model, head_of(PIXEL), batch)
    assert trainer.task.model.training and all(map(torch.equal, before, trainer.task.model.buffers()))
    pixels = normalize(batch.images)
    with torch.no_grad():
        seen = [network(pixels) for network in trainer.task.model.eval().networks]
    seen = [F.interpolate(logits, (32, 32), mode="bilinear").softmax(1) for logits in seen]
    assert torch.allclose(found, (seen[0] + seen[1]) / 2, atol=1e-6)
    assert not torch.allclose(*seen, atol=1e-3)


def test_each_network_s_gradients_are_clipped_by_themselves(trainer) -> None:
    for network, scale in zip(trainer.task.model.networks, (1e-9, 1.0)):
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, scale)
    trainer.finish_gradients({})
    first, second = ([weight.grad for weight in network.parameters()] for network in trainer.task.model.networks)
    assert all((gradient == 1e-9).all() for gradient in first)
    assert float(torch.nn.utils.get_total_norm(second)) == pytest.approx(PIXEL.clip, rel=1e-3)


@BOTH
def test_the_two_networks_differ_and_the_first_starts_like_one_alone(settings, tmp_path) -> None:
    still = replace(settings, iterations=1, learning_rate=1e-12, weight_decay=0.0)
    run(tmp_path, still)
    train(Squares(), still, CLASSES, tmp_path / "alone", tmp_path / "state", 3, AUGMENTATION)
    both, alone = weights(tmp_path / "out"), weights(tmp_path / "alone")
    learnt = [name for name in alone if alone[name].is_floating_point() and "running_" not in name]
    assert all(torch.allclose(both[f"networks.0.{name}"], alone[name], atol=1e-7) for name in learnt)
    assert not all(torch.allclose(both[f"networks.1.{name}"], alone[name], atol=1e-7) for name in learnt)


@BOTH
def test_prediction_is_by_the_mean_of_both(settings, straight) -> None:
    segmenter = load_segmenter(straight[settings.architecture] / "out")
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3)).astype(np.uint8)
    padded = torch.zeros(2, 3, 64, 64)
    padded[:, :, :40, :50] = normalize(torch.from_numpy(images))
    with torch.no_grad():
        scores = [architecture_of(settings).scores(network, padded) for network in segmenter.model.networks]
    first, second = (own / own.sum(1, keepdim=True) for own in scores)
    mean = ((first + second) / 2)[:, :, :40, :50]
    assert np.array_equal(predict(segmenter, images), mean.argmax(1).numpy())
    assert not torch.allclose(first, second, atol=1e-3)


def test_what_training_writes(straight) -> None:
    config = json.loads((straight["pixel"] / "out" / "segmenter.json").read_text())
    assert config["robust"]["confidence"] == 0.3 and config["classes"] == list(CLASSES)
    for name, parts in (("pixel", ["pixel"]), ("mask2former", ["class", "mask", "dice", "boundary"])):
        rows = list(csv.DictReader((straight[name] / "out" / "history.csv").open()))
        for row in rows:
            total = sum(float(row[f"loss_{part}"]) for part in [*parts, "peer"])
            assert float(row["loss"]) == pytest.approx(total)
        assert [int(row["iteration"]) for row in rows] == [1, 2, 3, 4, 5, 6]


def test_training_lowers_the_loss(tmp_path) -> None:
    settings = replace(PIXEL, iterations=20, learning_rate=4e-3, colour_jitter=0.0)
    run(tmp_path, settings, augmentation=Augmentation(), robust=replace(ROBUST, mix=0.0))
    losses = [float(row["loss_pixel"]) for row in csv.DictReader((tmp_path / "out" / "history.csv").open())]
    assert np.mean(losses[-3:]) < 0.7 * losses[0]


def test_a_pair_goes_on_from_a_pair(straight, tmp_path) -> None:
    still = replace(PIXEL, iterations=1, learning_rate=1e-12, weight_decay=0.0)
    run(tmp_path, still, start=straight["pixel"] / "out" / "model.safetensors")
    before, after = weights(straight["pixel"] / "out"), weights(tmp_path / "out")
    learnt = [name for name in before if before[name].is_floating_point() and "running_" not in name]
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in learnt)
    with pytest.raises(SeediffError, match="cannot start from"):
        train(Squares(), still, CLASSES, tmp_path / "still", tmp_path, 3, start=tmp_path / "out" / "model.safetensors")


# --- bad input -------------------------------------------------------------------------------------------------------


def refusal(folder: Path, *arguments, **options) -> str:
    with pytest.raises(SeediffError) as error:
        run(folder, *arguments, **options)
    assert len(str(error.value).splitlines()) <= 2 and not (folder / "out").exists()
    return str(error.value)


def test_a_training_set_without_a_reliable_pixel_is_refused(tmp_path) -> None:
    assert "No pixel of the training set is reliable" in refusal(tmp_path, PIXEL, Uncertainty(hopeless=True))


def test_classmix_needs_two_images(tmp_path) -> None:
    single = replace(PIXEL, batch_size=1, crop=64)
    assert "ClassMix needs two images" in refusal(tmp_path, single)
    run(tmp_path, single, robust=replace(ROBUST, mix=0.0))


@pytest.mark.parametrize("architecture", ["mask2former", "mask2former-official"])
def test_other_engines_are_refused(tmp_path, architecture: str) -> None:
    settings = replace(SETTINGS, architecture=architecture, engine="detectron2")
    assert f"'detectron2' cannot train architecture '{architecture}' robustly" in refusal(tmp_path, settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reliability": "medium"}, "'hard' or 'soft'"),
        ({"share": 0.0}, "a number above 0 and at most 1"),
        ({"share": 1.5}, "above 0 and at most 1"),
        ({"confidence": float("nan")}, "from 0 to 1"),
        ({"boundary": 1.5}, "a whole number"),
        ({"boundary": 0}, "from 1 to 100"),
        ({"mix": True}, "a number from 0 to 1"),
        ({"mix_after": -1}, "from 0 to 1,000,000"),
    ],
)
def test_settings_are_checked(values, message) -> None:
    with pytest.raises(SeediffError, match=message):
        RobustTraining(**values)


# --- through the stages ----------------------------------------------------------------------------------------------


def test_from_scores_to_a_confusion_matrix(tmp_path) -> None:
    """The jobs of a recipe one after another; the evaluation is not told that there are two networks."""
    keys, classes = [f"cat-{index:06d}" for index in range(3)], ["cat"]
    rng, about = np.random.default_rng(0), json.dumps({"class_name": "cat"}).encode()
    images = [encode_png(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)) for _ in keys]
    scores = [save({"caa": rng.random((16, 16)).astype(np.float16)}) for _ in keys]
    write_shard(tmp_path / "images.tar", (Sample(k, {"png": image, "json": about}) for k, image in zip(keys, images)))
    write_shard(tmp_path / "scores.tar", (Sample(k, {"safetensors": score}) for k, score in zip(keys, scores)))
    refinement = {"pamr": None, "input": "soft", "threshold": 0.6, "pamr_threshold": 0.5, "uncertain_from": 0.5}
    spec = {"classes": classes, "variants": {"cat": "caa"}, "refinement": refinement, "reliability": True}
    run_stage("refine", spec, [tmp_path / "images.tar"], [tmp_path / "scores.tar"], tmp_path / "masks.tar")
    assemble([tmp_path / "images.tar"], [tmp_path / "masks.tar"], None, tmp_path / "set.json")
    spec = {"classes": classes, "segmenter": as_json(PIXEL), "augmentation": None, "rng_seed": 0, "repeat": 0}
    spec = read_spec("train", json.dumps({**spec, "robust": asdict(ROBUST)}))
    run_stage("train", spec, tmp_path / "set.json", None, tmp_path / "state", tmp_path / "model")
    write_domain("voc", tmp_path / "voc", train=1, val=2, rng_seed=0)
    names = {"recipe": "a", "segmenter": "b", "repeat": 0, "benchmark": "c", "model": None}
    spec = {**names, "format": "voc", "folder": str(tmp_path / "voc"), "split": "val", "classes": classes}
    run_stage(
        "evaluate",
        read_spec("evaluate", json.dumps(spec)),
        tmp_path / "model",
        tmp_path / "metrics.json",
        tmp_path / "metrics.npz",
    )
    matrix = np.array(json.loads((tmp_path / "metrics.json").read_text())["confusion"])
    assert matrix.shape == (2, 2) and 0.9 * 2 * 64 * 64 < matrix.sum() <= 2 * 64 * 64
