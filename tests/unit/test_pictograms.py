"""The embedded world: scenes and their labels agree; training is resumable and independent of process number."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

from seediff.embedded.autoencoder import LatentCode, build_autoencoder, fit_latent_code, to_tensor
from seediff.embedded.coarse_attention import (
    Grounding,
    class_of_token,
    coverage,
    grounding_loss,
    limit_text,
    show_attention,
)
from seediff.embedded.pipeline import SIMILARITY_GAIN, build_tokenizer, build_unet
from seediff.embedded.scenes import natural_scene, training_scene
from seediff.embedded.train import BATCH, Start, make_batch, start_training, train
from seediff.embedded.vocabulary import CLASS_WORDS, CLASSES, MAX_TOKENS

MODEL = Path(__file__).parents[2] / "assets" / "pictograms"


@pytest.fixture(scope="module")
def code() -> LatentCode:
    return fit_latent_code(scenes=50)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_drawn_where_its_labels_say(name: str) -> None:
    scene = natural_scene(np.random.default_rng(1), [name])
    label = CLASSES.index(name) + 1
    assert set(np.unique(scene.labels)) == {0, label}
    assert 0.03 < (scene.labels == label).mean() < 0.6
    edges = np.abs(np.diff(scene.image.astype(int), axis=1)).sum(-1)
    across = scene.labels[:, 1:] != scene.labels[:, :-1]
    assert edges[across].mean() > 3 * edges[~across & (scene.labels[:, 1:] == 0)].mean()


def test_scenes_are_deterministic_and_varied() -> None:
    first, again, other = (training_scene(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image) and first.prompt == again.prompt
    assert not np.array_equal(first.image, other.image)


def test_every_class_word_is_one_token_a_word_and_no_prompt_is_cut() -> None:
    tokenizer = build_tokenizer()
    for phrase in (phrase for phrases in CLASS_WORDS.values() for phrase in phrases):
        assert tokenizer.tokenize(phrase) == [f"{word}</w>" for word in phrase.split()]
    prompts = [training_scene(np.random.default_rng(seed)).prompt for seed in range(300)]
    assert max(len(ids) for ids in tokenizer(prompts).input_ids) <= MAX_TOKENS


def test_the_latent_code_keeps_the_image(code: LatentCode) -> None:
    images = to_tensor([training_scene(np.random.default_rng(seed)).image for seed in range(8)])
    latents = code.encode(images)
    assert latents.shape == (8, 4, 32, 32) and latents.std() == pytest.approx(1, abs=0.2)
    patches = (latents.movedim(1, -1) * code.scale) @ code.basis.T + code.mean
    drawn = torch.nn.functional.pixel_shuffle(patches.movedim(-1, 1), 2)
    assert 10 * torch.log10(4 / (drawn - images).square().mean()) > 25  # dB


def test_the_autoencoder_has_the_code_s_shape() -> None:
    autoencoder = build_autoencoder()
    assert autoencoder.encode(torch.zeros(1, 3, 64, 64)).latent_dist.mean.shape == (1, 4, 32, 32)


def test_processes_share_the_batch_that_a_single_one_would_see(code: LatentCode) -> None:
    tokenizer = build_tokenizer()
    whole = make_batch(7, 0, 1, code, tokenizer, rng_seed=0)
    halves = [make_batch(7, rank, 2, code, tokenizer, rng_seed=0) for rank in range(2)]
    for name in ("latents", "noise", "timesteps", "reach", "tokens", "labels"):
        joined = torch.empty_like(getattr(whole, name))
        for rank, half in enumerate(halves):
            joined[rank::2] = getattr(half, name)
        assert torch.equal(joined, getattr(whole, name)), name


def test_text_stays_out_of_levels_it_does_not_reach() -> None:
    unet = build_unet().eval()
    reach = limit_text(unet)
    latents, text = torch.randn(2, 4, 32, 32), torch.randn(2, 24, 64)
    reach.empty = torch.randn(1, 24, 64)

    def call(text: torch.Tensor, *levels: bool) -> torch.Tensor:
        reach.levels = torch.tensor([levels, levels])
        with torch.no_grad():
            return unet(latents, 500, text).sample

    nothing = call(text, False, False, False)
    assert torch.equal(nothing, call(reach.empty.expand(2, -1, -1), True, True, True))
    alone = [call(text, *(level == only for level in range(3))) for only in range(3)]
    assert not any(torch.equal(first, second) for first, second in combinations([nothing, *alone], 2))


def test_coverage_is_the_share_of_a_place_and_can_be_blurred() -> None:
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    labels[:, 24:36, 24:32] = 1
    sharp, soft = (coverage(labels, 8, blur)[0].unflatten(0, (8, 8)) for blur in (0.0, 1.5))
    assert sharp[..., 0].nonzero().tolist() == [[3, 3], [4, 3]] and sharp[3:5, 3, 0].tolist() == [1, 0.5]
    expected = gaussian_filter(sharp[..., 0].double().numpy(), 1.5, mode="constant", truncate=8 / 1.5)
    assert soft[..., 0].numpy() == pytest.approx(expected, abs=1e-6) and not soft[..., 1:].any()


def test_the_grounding_loss_rewards_attention_on_the_object() -> None:
    unet, tokenizer = build_unet(), build_tokenizer()
    shown = show_attention(unet, [8, 16])
    tokens = tokenizer(["a cat"], padding="max_length", return_tensors="pt").input_ids
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    labels[:, :32] = CLASSES.index("cat") + 1
    assert {level for level, _ in shown} == {1, 2}
    at_cat = class_of_token(tokenizer)[tokens] > 0

    def loss(on_object: float, off_object: float) -> float:
        for level, processor in shown:
            side = (32, 16, 8)[level]
            inside = torch.full((1, side * side, tokens.shape[1]), 0.001)
            inside[:, : side * side // 2][..., at_cat[0]] = on_object
            inside[:, side * side // 2 :][..., at_cat[0]] = off_object
            processor.probabilities = inside
        reach = torch.ones(1, 3, dtype=torch.bool)
        return float(grounding_loss(shown, class_of_token(tokenizer)[tokens], labels, reach, blur=0.0))

    assert loss(0.9, 0.1) < loss(0.5, 0.5) < loss(0.1, 0.9)


def test_a_start_renews_the_cross_attention_of_some_sides_alone() -> None:
    (kept, _), (renewed, _) = Start(MODEL).networks(), Start(MODEL, renewed=(8,)).networks()
    old, new = kept.state_dict(), renewed.state_dict()
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    coarsest = kept.config["block_out_channels"][-1]
    coarse = {name for name in old if ".attn2.to_q" in name and len(old[name]) == coarsest}
    assert coarse and changed == coarse | {name.replace("to_q", "to_k") for name in coarse}


@pytest.mark.slow
def test_training_goes_on_from_its_saved_state(tmp_path: Path, code: LatentCode) -> None:
    code.save(tmp_path / "latent_code.safetensors")
    train(tmp_path, 2 * BATCH, Grounding(BATCH), rng_seed=0, save_every=100, start=None)
    saved = start_training(tmp_path, torch.device("cpu"), None)
    assert saved.step == 2
    fresh = start_training(tmp_path / "elsewhere", torch.device("cpu"), None)
    moved = [name for name, weight in saved.parameters.items() if not torch.equal(weight, fresh.parameters[name])]
    moments = saved.optimizer.state
    assert moved and all(int(moments[saved.parameters[name]]["step"]) == 2 for name in moved)
    train(tmp_path, 3 * BATCH, Grounding(), rng_seed=0, save_every=100, start=None)
    resumed = start_training(tmp_path, torch.device("cpu"), None)
    assert resumed.step == 3
    distance = sum((resumed.average[name] - saved.average[name]).abs().sum() for name in moved)
    assert 0 < distance < sum((saved.average[name] - fresh.average[name]).abs().sum() for name in moved)


def test_self_attention_compares_features_as_they_are() -> None:
    unet = build_unet()
    frozen = {name for name, weight in unet.named_parameters() if not weight.requires_grad}
    assert frozen and all("attn1.to_" in name or "norm1" in name for name in frozen)


def test_the_shipped_weights_have_the_gain_that_is_written_down() -> None:
    shipped = load_file(MODEL / "unet" / "diffusion_pytorch_model.safetensors")
    tied = {name: weight for name, weight in shipped.items() if "attn1.to_q" in name or "attn1.to_k" in name}
    assert len(tied) == 18
    for weight in tied.values():
        channels = len(weight)
        expected = (SIMILARITY_GAIN[channels] / channels**0.5) ** 0.5 * torch.eye(channels)
        torch.testing.assert_close(weight.float(), expected, rtol=1e-3, atol=0)
