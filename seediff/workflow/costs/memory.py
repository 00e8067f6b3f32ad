"""How much memory of a GPU each kind of job of a full-scale study takes, counted as its operations are.

Weights, gradients and the two states of AdamW are counted from parameters, the rest from a traced step of one image or
crop (``benchmarks/memory.py``), times the batch. An allocator's waste, libraries and the display are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seediff.segmenter.settings import SegmenterSettings
from seediff.workflow.costs.full_size import NETWORKS
from seediff.workflow.costs.work import crop_area, network_name
from seediff.workflow.graph import Job
from seediff.workflow.study import Study

UNET, TEXT_ENCODER, AUTOENCODER = 866e6, 340e6, 84e6
"""Parameters of Stable Diffusion 2."""
UNET_GIB, DECODER_GIB, ENCODER_GIB, ADAPTING_GIB = 0.127, 0.750, 0.628, 0.604
"""One prompt at one timestep, one image decoded, one encoded, all in float32; one image's step of an
adapter, beside the UNet's copy."""
MAPS_GIB = 2 * (64**4 + 32**4 + 16**4 + 8**4) * 4 / 2**30
"""Sums of one image's self-attention at all levels, and a layer's own map beside them."""
LEARNING_GIB = {"pixel resnet-50": 0.277, "pixel swin-tiny": 0.393, "pixel swin-base": 1.072}
"""One 512 x 512 crop's forward and backward. Mask2Former's are not counted yet."""
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Memory:
    """``gib``: of a job's whole batch; ``what`` kind of job, in words."""

    what: str
    gib: float


def memory_of(study: Study, jobs: Sequence[Job]) -> list[Memory]:
    """Of each kind of job that draws or trains on a GPU, once; Mask2Former's training is left out."""
    return list(dict.fromkeys(found for job in jobs for found in _of_job(study, job)))


def _of_job(study: Study, job: Job) -> Iterator[Memory]:
    if job.stage in ("synthesize", "replay"):
        yield Memory(f"{job.stage}, batches of {study.diffusion.batch_size}", _drawing(study))
    elif job.stage == "adapter":
        batch = study.adaptations[job.kind].batch_size
        yield Memory(f"{job.stage}, batches of {batch}", _adapting(batch))
    elif job.stage == "train":
        name = job.wildcards["segmenter"]
        segmenter = study.segmenters[name]
        networks = 2 if study.is_robust(job.wildcards["recipe"]) else 1
        more = " with two networks" if networks > 1 else ""
        if _network(segmenter) in LEARNING_GIB:
            gib = networks * _training(segmenter)
            yield Memory(f"{job.stage} {name}{more}, batches of {segmenter.batch_size}", gib)


def _pipeline(bytes_each: int) -> float:
    return (UNET + TEXT_ENCODER + AUTOENCODER) * bytes_each / 2**30


def _drawing(study: Study) -> float:
    """The most of denoising, of both halves of classifier-free guidance, and of decoding."""
    batch, size = study.diffusion.batch_size, BYTES[study.diffusion.dtype]
    denoising = batch * (2 * UNET_GIB * size / 4 + MAPS_GIB)
    return _pipeline(size) + max(denoising, batch * DECODER_GIB * size / 4)


def _adapting(batch: int) -> float:
    """Weights in float32, the UNet's copy in bfloat16, and a batch of images; an adapter's own states are megabytes."""
    return _pipeline(4) + 2 * UNET / 2**30 + batch * ADAPTING_GIB


def _training(segmenter: SegmenterSettings) -> float:
    """Weights, gradients and two optimizer states in float32, the weights' copy in bfloat16, and a batch of crops."""
    states = NETWORKS[_network(segmenter)].parameters * (4 * 4 + 2) / 2**30
    return states + segmenter.batch_size * crop_area(segmenter) * LEARNING_GIB[_network(segmenter)]


def _network(segmenter: SegmenterSettings) -> str:
    return network_name(segmenter).replace("-official", "")
