"""From a prompt to token ids, as the text encoder was trained to read it."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from mezzotint.types import ModelError, PromptTooLongError

# Qwen3's chat template for one user turn, with thinking enabled: no think block is emitted.
TEMPLATE = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


class PromptTokenizer:
    """Renders the template and tokenizes it; an over-long prompt is an error, never cut."""

    def __init__(self, tokenizer_file: Path, max_tokens: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise ModelError(
                f"{tokenizer_file.name} is not a readable tokenizer ({error}); fetch it again "
                "with `mezzotint pull`"
            ) from error
        self._tokenizer.no_truncation()  # stored settings must not cut or pad a prompt
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens

    @property
    def num_ids(self) -> int:
        """One more than the largest id it can emit."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    def __call__(self, prompt: str) -> tuple[int, ...]:
        """The ids of the whole template, exact length; PromptTooLongError above the limit."""
        ids = tuple(self._tokenizer.encode(TEMPLATE.format(prompt=prompt)).ids)
        if len(ids) > self._max_tokens:
            raise PromptTooLongError(
                f"the prompt has {len(ids)} tokens with its template and the limit is "
                f"{self._max_tokens}; shorten it by about {len(ids) - self._max_tokens} tokens"
            )
        return ids
