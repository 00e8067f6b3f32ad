"""Tiny tokenizers and text encoders of the classes that text-to-image pipelines use, with random weights.

Each tokenizer is a fast one over a small vocabulary: a few words are one token, all others are made of several. The
words of the instructions that some pipelines put around a prompt are whole, so these take as many tokens as they do in
the real vocabularies: the pipelines cut them off by their number.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from seediff.embedded.pipeline import build_tokenizer

WIDTH = 32
_WORDS = "a an and at bus cat city dog in night of on person photo picture sand she sky the"
WORDS = _WORDS.split()
"""Words of one token where a space comes before them: ``sheep`` is "she" and letters, ``zebra`` is all letters.

CLIP's tokenizer is the embedded model's instead, which knows more words."""

_INSTRUCTIONS = """You are prompt engineer Describe image by detailing color shape size texture quantity text spatial
relationships objects background assistant designed to generate superior images with degree alignment based textual
prompts or user"""
INSTRUCTIONS = _INSTRUCTIONS.split()
STARTS = ["system", "user", "assistant", "Describe", "You"]
"""Words of the instructions that follow a new line, so that no space comes before them."""

CHAT = """{%- for message in messages -%}
<|im_start|>{{ message['role'] }}{{ '\\n' }}{{ message['content'] }}<|im_end|>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant{{ '\\n' }}
{%- if enable_thinking is defined and enable_thinking is false -%}
<think>{{ '\\n\\n' }}</think>{{ '\\n\\n' }}{%- endif -%}
{%- endif -%}"""
"""How Qwen3's tokenizer writes a conversation, tools and thoughts aside."""


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """What ``build`` makes, with random weights that are the same each time; ready for use, not for training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def clip_tokenizer(length: int = 24) -> Any:
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = length
    return tokenizer


def t5_tokenizer(length: int = 48) -> Any:
    """Pieces of words with their scores; a word that is in the vocabulary as a whole is never split."""
    letters = [(letter, -6.0) for letter in string.ascii_letters + string.digits + string.punctuation]
    words = [("▁" + word, -2.0) for word in WORDS]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -3.0), *letters, *words]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


def bert_tokenizer(length: int = 77) -> Any:
    characters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *("##" + letter for letter in characters)]
    pieces += [word for word in WORDS if len(word) > 1]
    return transformers.BertTokenizer(vocab=_numbered(pieces), model_max_length=length)


def gemma_tokenizer(length: int = 256) -> Any:
    """Characters, bytes of characters that are not in the vocabulary, and words."""
    merges: Any = _merges("▁" + word for word in WORDS + INSTRUCTIONS)
    characters = ["▁", "\n", *string.ascii_letters, *string.digits, *string.punctuation]
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    pieces = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), *characters, *map("".join, merges)]
    tokenizer = transformers.GemmaTokenizer(vocab=_numbered(pieces), merges=merges, model_max_length=length)
    first = [("<bos>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", "<bos> $A $B", first)
    return tokenizer


def qwen_tokenizer(length: int = 128) -> Any:
    """Bytes and words, the marks of a conversation, and how to write one."""
    vocabulary, merges = _byte_pairs()
    tokenizer = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=length)
    marks = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in ("<think>", "</think>")])
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen_processor(tokenizer: Any) -> Any:
    """Qwen2-VL's processor around the tokenizer, without the part for videos: that one needs torchvision."""
    kind: Any = transformers.Qwen2VLProcessor

    class WithoutVideos(kind):
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> type:
            return type(argument)

    processor = WithoutVideos(transformers.Qwen2VLImageProcessorPil(), tokenizer, None)
    processor.__class__ = kind
    return processor


def glm_tokenizer(length: int = 128) -> Any:
    """Bytes and words after GLM's two marks of a beginning; shorter prompts are padded in front."""
    vocabulary, merges = _byte_pairs()
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    beginning = ["[gMASK]", "<sop>"]
    backend.add_special_tokens(beginning)
    marks = [(mark, backend.token_to_id(mark)) for mark in beginning]
    backend.post_processor = processors.TemplateProcessing("[gMASK] <sop> $A", "[gMASK] <sop> $A $B", marks)
    options: dict[str, Any] = {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "padding_side": "left"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=length, **options)


def _byte_pairs() -> tuple[dict[str, int], Any]:
    """A byte-level vocabulary and its merges. Those with a space in front come first, so no other one splits them."""
    merges = _merges([*("Ġ" + word for word in WORDS + INSTRUCTIONS), *STARTS])
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, merges), "<|endoftext|>"]
    return _numbered(pieces), merges


def _merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of pieces that make each word from left to right."""
    return list(dict.fromkeys((word[:end], word[end]) for word in words for end in range(1, len(word))))


def _numbered(pieces: Iterable[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def clip(tokenizer: Any, width: int = WIDTH, projection: int | None = None) -> Any:
    """CLIP's text encoder, with the projection of its summary if that has a width."""
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=projection or width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    encoder = seeded(lambda: kind(config))
    encoder.get_input_embeddings().weight.data.mul_(30.0)  # so that vectors of different words differ before the norm
    return encoder


def t5(tokenizer: Any, width: int = WIDTH, multilingual: bool = False) -> Any:
    """The encoder of T5, or that of its multilingual relative."""
    sizes: dict[str, Any] = {"d_model": width, "d_kv": 8, "d_ff": width, "num_layers": 2, "num_heads": 4}
    if multilingual:
        config: Any = transformers.UMT5Config(vocab_size=len(tokenizer), **sizes)
        return seeded(lambda: transformers.UMT5EncoderModel(config))
    config = transformers.T5Config(vocab_size=len(tokenizer), **sizes)
    return seeded(lambda: transformers.T5EncoderModel(config))


def bert(tokenizer: Any, width: int = WIDTH) -> Any:
    sizes: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": width}
    config = transformers.BertConfig(vocab_size=len(tokenizer), hidden_size=width, **sizes)
    return seeded(lambda: transformers.BertModel(config))


def qwen3(tokenizer: Any, width: int = WIDTH, layers: int = 3) -> Any:
    config = transformers.Qwen3Config(**_language_model(tokenizer, width, layers))
    return seeded(lambda: transformers.Qwen3ForCausalLM(config))


def qwen_vl(tokenizer: Any, width: int = WIDTH) -> Any:
    """Qwen2.5-VL, whose eyes nobody uses."""
    sizes = _language_model(tokenizer, width, 2)
    del sizes["head_dim"]
    rope = {"rope_type": "default", "type": "mrope", "mrope_section": [1, 1, 2], "rope_theta": 1e6}
    vision = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": width}
    marks = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{mark}|>")
        for name, mark in {
            "image": "image_pad",
            "video": "video_pad",
            "vision_start": "vision_start",
            "vision_end": "vision_end",
        }.items()
    }
    config = transformers.Qwen2_5_VLConfig(
        text_config={**sizes, "rope_parameters": rope}, vision_config={**vision, "fullatt_block_indexes": [0]}, **marks
    )
    return seeded(lambda: transformers.Qwen2_5_VLForConditionalGeneration(config))


def gemma2(tokenizer: Any, width: int = WIDTH) -> Any:
    config = transformers.Gemma2Config(query_pre_attn_scalar=8, **_language_model(tokenizer, width, 2))
    return seeded(lambda: transformers.Gemma2Model(config))


def t5_gemma(tokenizer: Any, width: int = WIDTH) -> Any:
    """The encoder of T5Gemma alone."""
    from transformers.models.t5gemma.modeling_t5gemma import T5GemmaEncoder

    module = {"query_pre_attn_scalar": 8, **_language_model(tokenizer, width, 2)}
    config: Any = transformers.T5GemmaConfig(encoder=module, decoder=module).encoder
    return seeded(lambda: T5GemmaEncoder(config))


def glm(tokenizer: Any, width: int = WIDTH) -> Any:
    config = transformers.GlmConfig(**_language_model(tokenizer, width, 3))
    return seeded(lambda: transformers.GlmModel(config))


def _language_model(tokenizer: Any, width: int, layers: int) -> dict[str, Any]:
    """Settings that today's language models share."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.3,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
