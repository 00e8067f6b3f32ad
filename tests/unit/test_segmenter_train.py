"""Training resumes exactly, and leaves complete files or none."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import ResNetBackbone, ResNetConfig

from seediff.datasets.augmentation import Augmentation
from seediff.errors import SeediffError
from seediff.segmenter.backbones import BACKBONES
from seediff.segmenter.evaluate import load_segmenter
from seediff.segmenter.settings import segmenter_settings
from seediff.segmenter.train import Supervised, learning_rate, segmenter_task, train
from seediff.segmenter.views import Views
from seediff.training.loop import Trainer
from seediff.training.processes import Processes

CLASSES = ("background", "square", "bar")
SETTINGS = segmenter_settings(
    "resnet-mini",
    queries=4,
    points=32,
    batch_size=2,
    iterations=6,
    crop=32,
    warmup=2,
    checkpoint_every=3,
    colour_jitter=0.5,
)
AUGMENTATION = Augmentation(splice=0.5, splice_grid=2, occlusion=0.5, noise=0.5)

OTHER = segmenter_settings("resnet-mini", queries=5, points=32, batch_size=2, iterations=6, crop=32)


class Squares:
    """Bright squares and bars on a dark ground, with a border to ignore."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros((40, 36), np.uint8)
        labels[5 + index : 25, 8:28] = 1
        labels[30:34] = 2
        labels[0] = 255
        return np.stack([100 * labels, 80 * (labels == 1), 0 * labels], -1).astype(np.uint8), labels


def run(folder, settings=SETTINGS, rng_seed=3, pairs=None, **options) -> None:
    """Train into ``folder/out`` with the state in ``folder/state``."""
    options = {"augmentation": AUGMENTATION} | options
    train(
        Squares() if pairs is None else pairs, settings, CLASSES, folder / "out", folder / "state", rng_seed, **options
    )


def weights(folder) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("straight")
    run(folder)
    return folder


def interrupt(monkeypatch, at: int) -> None:
    """Let the run die in the step after ``at`` iterations, as a killed job does."""
    step = Trainer.step

    def dying(self, images, labels):
        if self.iteration == at:
            raise KeyboardInterrupt
        return step(self, images, labels)

    monkeypatch.setattr(Trainer, "step", dying)


def count_steps(monkeypatch) -> list[int]:
    """The iterations that are computed from now on."""
    steps, step = [], Trainer.step

    def counting(self, images, labels):
        steps.append(self.iteration)
        return step(self, images, labels)

    monkeypatch.setattr(Trainer, "step", counting)
    return steps


def test_the_state_of_other_pretrained_weights_is_not_resumed(tmp_path, monkeypatch):
    """They are at the same path."""
    plan = BACKBONES["resnet-mini"]
    config = ResNetConfig(**plan, out_features=["stage1", "stage2", "stage3", "stage4"])
    settings = replace(SETTINGS, pretrained=str(tmp_path / "backbone"))
    ResNetBackbone(config).save_pretrained(tmp_path / "backbone")
    with monkeypatch.context() as patch:
        interrupt(patch, at=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, settings)
    ResNetBackbone(config).save_pretrained(tmp_path / "backbone")
    steps = count_steps(monkeypatch)
    run(tmp_path, settings)
    assert steps == [0, 1, 2, 3, 4, 5]


def test_a_resumed_run_equals_an_uninterrupted_one(straight, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, at=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["state.safetensors"]
    torch.rand(7)  # whatever the process did in between
    steps = count_steps(monkeypatch)
    run(tmp_path)
    assert steps == [3, 4, 5]
    expected, resumed = weights(straight / "out"), weights(tmp_path / "out")
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)
    assert not list((tmp_path / "state").iterdir())


def test_what_training_writes(straight):
    config = json.loads((straight / "out" / "segmenter.json").read_text())
    assert config["num_classes"] == 3 and config["classes"] == list(CLASSES)
    rows = list(csv.DictReader((straight / "out" / "history.csv").open()))
    assert [int(row["iteration"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    for row in rows:
        parts = sum(float(row[f"loss_{part}"]) for part in ("class", "mask", "dice"))
        assert float(row["loss"]) == pytest.approx(parts) and float(row["images_per_second"]) > 0
    names = {path.name for path in (straight / "out").iterdir()}
    assert names == {"segmenter.json", "config.json", "preprocessor_config.json", "history.csv", "model.safetensors"}
    assert load_segmenter(straight / "out").classes == CLASSES


def test_the_state_of_another_run_is_not_resumed(straight, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, at=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, rng_seed=4)
    steps = count_steps(monkeypatch)
    run(tmp_path)
    assert steps == [0, 1, 2, 3, 4, 5]
    expected, trained = weights(straight / "out"), weights(tmp_path / "out")
    assert all(torch.equal(trained[name], expected[name]) for name in expected)


def test_training_lowers_the_loss(tmp_path):
    settings = replace(SETTINGS, iterations=12, learning_rate=4e-3, colour_jitter=0.0)
    run(tmp_path, settings, rng_seed=0)
    losses = [float(row["loss"]) for row in csv.DictReader((tmp_path / "out" / "history.csv").open())]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


def test_the_schedule_rises_and_falls():
    rates = [learning_rate(SETTINGS, iteration) / SETTINGS.learning_rate for iteration in range(6)]
    assert rates[0] == pytest.approx(1 / 3)
    assert rates[1] == pytest.approx(2 / 3 * (5 / 6) ** 0.9)
    assert rates[4] == pytest.approx((2 / 6) ** 0.9)
    assert rates[2] > rates[3] > rates[4] > rates[5] > 0


def new_trainer(tmp_path, settings=SETTINGS):
    views = Views(Squares(), settings, AUGMENTATION, 3)
    task = segmenter_task(views, 3, Supervised(), Processes())
    return Trainer(task, Processes(), "name", tmp_path / "state.safetensors")


def test_every_step_follows_the_schedule(tmp_path):
    settings = replace(SETTINGS, backbone_lr_factor=0.5)
    trainer = new_trainer(tmp_path, settings)
    trainer.iteration = 4
    trainer.step(*next(trainer.batches(0)))
    rates = {group["lr_factor"]: group["lr"] for group in trainer.task.optimizer.param_groups}
    assert rates == {1.0: learning_rate(settings, 4), 0.5: 0.5 * learning_rate(settings, 4)}


def test_reading_a_batch_takes_no_random_number(tmp_path):
    """An engine may set them first and read them later, or the other way round."""
    trainer = new_trainer(tmp_path)
    batches = trainer.batches(0)
    before = torch.get_rng_state()
    next(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_damaged_state_is_an_error(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.safetensors").write_bytes(b"not whole")
    with pytest.raises(SeediffError, match="damaged"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_an_empty_training_set_is_an_error(tmp_path):
    with pytest.raises(SeediffError, match="empty"):
        run(tmp_path, pairs=[])


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    settings = replace(SETTINGS, learning_rate=1e30, warmup=0)
    with pytest.raises(SeediffError, match="loss became"):
        run(tmp_path, settings)
    assert not (tmp_path / "out").exists()


def test_training_goes_on_from_trained_weights(straight, tmp_path):
    still = replace(SETTINGS, iterations=1, learning_rate=1e-12, weight_decay=0.0)
    run(tmp_path, still, start=straight / "out" / "model.safetensors")
    before, after = weights(straight / "out"), weights(tmp_path / "out")
    learnt = [name for name in before if before[name].is_floating_point() and "running_" not in name]
    assert all(torch.allclose(before[name], after[name], atol=1e-7) for name in learnt)
    run(tmp_path / "other", still)
    assert any(not torch.allclose(before[name], weights(tmp_path / "other" / "out")[name]) for name in learnt)


def test_a_start_that_does_not_fit_is_said_plainly(straight, tmp_path):
    for start, settings in ((straight / "none.safetensors", SETTINGS), (straight / "out" / "model.safetensors", OTHER)):
        with pytest.raises(SeediffError, match=r"(?s)cannot start from .*same backbone and classes") as error:
            run(tmp_path, settings, start=start)
        assert len(str(error.value).splitlines()) == 2
    assert not (tmp_path / "out").exists()


def test_the_state_left_by_other_pairs_is_not_resumed(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, at=4)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, pairs_digest="old masks")
    steps = count_steps(monkeypatch)
    run(tmp_path, pairs_digest="new masks")
    assert steps == [0, 1, 2, 3, 4, 5]
