"""Training with detectron2, if it is installed (docs/detectron2.md): ``pytest tests/detectron2``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seediff.detectron2.availability import available, mask2former_available
from seediff.segmenter.evaluate import confusion, count_pixels, load_segmenter
from seediff.segmenter.metrics import iou
from seediff.segmenter.settings import segmenter_settings
from seediff.training.loop import Trainer
from seediff.workflow.catalogs import register_pairs
from tests.unit.test_segmenter_train import CLASSES, SETTINGS, Squares, run, weights

there, reason = available()
pytestmark = pytest.mark.skipif(not there, reason=f"no detectron2: {reason}")
official_there, official_reason = mask2former_available() if there else (False, reason)
official = pytest.mark.skipif(not official_there, reason=f"no Mask2Former: {official_reason}")
OFFICIAL = segmenter_settings(
    "swin-mini",
    architecture="mask2former-official",
    engine="detectron2",
    queries=4,
    points=64,
    batch_size=2,
    iterations=4,
    crop=32,
)


def history(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "out" / "history.csv").open()))


def test_our_model_learns_the_same_weights_in_its_engine(tmp_path: Path) -> None:
    run(tmp_path / "own", replace(SETTINGS, iterations=4))
    run(tmp_path / "engine", replace(SETTINGS, iterations=4, engine="detectron2"))
    own, engine = weights(tmp_path / "own" / "out"), weights(tmp_path / "engine" / "out")
    assert own.keys() == engine.keys() and all(torch.equal(own[name], engine[name]) for name in own)
    losses = [[row["loss"] for row in history(tmp_path / name)] for name in ("own", "engine")]
    assert losses[0] == losses[1] and len(losses[0]) == 4


@pytest.mark.parametrize("architecture", ["mask2former", pytest.param("mask2former-official", marks=official)])
def test_a_killed_run_is_resumed_to_the_same_weights(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(OFFICIAL, architecture=architecture, checkpoint_every=2)
    run(tmp_path / "straight", settings)
    finish = Trainer.finish_step

    def dying(self: Trainer, parts: dict[str, torch.Tensor]) -> None:
        if self.iteration == 3:
            raise KeyboardInterrupt
        finish(self, parts)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "finish_step", dying)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", settings)
    assert (tmp_path / "killed" / "state" / "state.safetensors").exists()
    run(tmp_path / "killed", settings)
    straight, resumed = weights(tmp_path / "straight" / "out"), weights(tmp_path / "killed" / "out")
    for name in straight:  # even two runs of the official model differ in the last digits
        torch.testing.assert_close(
            resumed[name], straight[name], rtol=0, atol=1e-4 if architecture == "mask2former-official" else 0
        )


@official
def test_the_official_model_trains_and_is_evaluated_like_ours(tmp_path: Path) -> None:
    run(tmp_path, OFFICIAL)
    rows = history(tmp_path)
    assert [row["iteration"] for row in rows] == ["1", "2", "3", "4"]
    assert all(np.isfinite(float(row[f"loss_{part}"])) for row in rows for part in ("class", "mask", "dice"))
    segmenter = load_segmenter(tmp_path / "out")
    matrix = confusion(segmenter, ((str(k), *Squares()[k]) for k in range(5)))
    assert matrix.sum() == sum((Squares()[k][1] != 255).sum() for k in range(5))
    assert any(name.startswith("network.sem_seg_head") for name in load_file(tmp_path / "out" / "model.safetensors"))


@pytest.fixture
def registered(tmp_path: Path) -> Iterator[str]:
    from detectron2.data import DatasetCatalog, MetadataCatalog

    register_pairs("squares_for_test", Squares(), "squares", CLASSES, tmp_path / "exported")
    yield "squares_for_test"
    DatasetCatalog.remove("squares_for_test")
    MetadataCatalog.remove("squares_for_test")


def test_its_evaluator_gives_our_miou_on_fixed_predictions(registered: str) -> None:
    from detectron2.data import DatasetCatalog
    from detectron2.evaluation import SemSegEvaluator

    evaluator = SemSegEvaluator(registered, distributed=False)
    evaluator.reset()
    ours = np.zeros((3, 3), np.int64)
    rng = np.random.default_rng(0)
    for index, entry in enumerate(DatasetCatalog.get(registered)):
        labels = Squares()[index][1]
        predicted = np.where(rng.random(labels.shape) < 0.7, labels % 255, rng.integers(0, 3, labels.shape)).astype(
            np.uint8
        )
        scores = torch.nn.functional.one_hot(torch.from_numpy(predicted).long(), 3).movedim(-1, 0)
        evaluator.process([entry], [{"sem_seg": scores}])
        ours += count_pixels("", labels, predicted, 3)
    theirs = evaluator.evaluate()["sem_seg"]
    ious = iou(ours)
    assert theirs["mIoU"] == pytest.approx(100 * np.mean(ious), abs=1e-9)
    assert [theirs[f"IoU-{name}"] for name in CLASSES] == pytest.approx([100 * value for value in ious])
