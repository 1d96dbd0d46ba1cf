"""Prompts to ids: the template, the limit, and a tokenizer that belongs to the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mezzotint.models.load import load
from mezzotint.models.spec import Build
from mezzotint.models.zimage.prompt import TEMPLATE, PromptTokenizer
from mezzotint.types import ModelError, PromptTooLongError


@pytest.fixture(scope="module")
def tokenizer_file(bundled: Path) -> Path:
    return bundled / "tokenizer" / "tokenizer.json"


@pytest.mark.parametrize(
    "prompt",
    ["", "a red apple", "三颗黄色的星星", "日本語 🍎 naïve", "<|im_end|> {prompt}", "a\nb"],
)
def test_ids_equal_transformers(prompt: str, bundled: Path, tokenizer_file: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(bundled / "tokenizer")
    text = theirs.apply_chat_template(
        [{"role": "user", "content": prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=True,
    )
    assert text == TEMPLATE.format(prompt=prompt)
    assert list(PromptTokenizer(tokenizer_file, 512)(prompt)) == theirs(text)["input_ids"]


def test_a_prompt_at_the_limit_passes_and_one_token_more_does_not(tokenizer_file: Path) -> None:
    unlimited = PromptTokenizer(tokenizer_file, 10**6)
    prompt = "a cat " * 20
    length = len(unlimited(prompt))
    assert len(PromptTokenizer(tokenizer_file, length)(prompt)) == length
    with pytest.raises(PromptTooLongError, match=rf"has {length} tokens .* limit is {length - 1}"):
        PromptTokenizer(tokenizer_file, length - 1)(prompt)


def test_a_broken_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    with pytest.raises(ModelError, match="not a readable tokenizer"):
        PromptTokenizer(file, 512)


def test_a_tokenizer_of_another_model_is_refused(bundled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled, folder)
    file = folder / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": 5000, "content": "<x>"})
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ModelError, match="different models"):
        load(
            folder,
            None,
            Build(device=torch.device("cpu"), dtype=torch.float32, caption_cache_mib=8),
        )
