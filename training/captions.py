"""Captioned pictures: plans laid out and put into tokens by many processes."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
from tokenizers import Tokenizer

from training.data import chinese, english
from training.data.batch import Batch, lay_out_batch
from training.data.plan import Plan, World, is_held_out, sample_plan
from training.tokenizer import PAD, wrap

SHORT, LONG = 32, 64  # the padded caption lengths that are trained
SIZE_SHARES = {(128, 128): 0.56, (144, 96): 0.11, (96, 144): 0.11, (176, 96): 0.11, (96, 176): 0.11}
_CHUNK = 2048
_TRIES = 12


@dataclass(frozen=True)
class Captioned:
    """Pictures of one size with three captions each: English, Chinese, and a long one.

    tokens: int16 [B, 3, LONG]; length: int16 [B, 3]; the first two are at most SHORT long.
    """

    pictures: Batch
    tokens: np.ndarray
    length: np.ndarray


def write_captions(
    world: World, tokenizer: Path, count: int, size: tuple[int, int], seed: int, folder: Path
) -> None:
    """Caption about `count` pictures of one size with all processors and write them to a file."""
    parts = caption_many(world, tokenizer, count, size, seed)
    arrays = {
        k: np.concatenate([getattr(p.pictures, k) for p in parts])
        for k, v in vars(parts[0].pictures).items() if isinstance(v, np.ndarray)
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = captions_file(folder, size)
    with path.with_suffix(".partial").open("wb") as out:
        np.savez(out, tokens=np.concatenate([p.tokens for p in parts]),
                 length=np.concatenate([p.length for p in parts]), **arrays)  # fmt: skip
    path.with_suffix(".partial").rename(path)


def read_captions(folder: Path, size: tuple[int, int], most: int) -> Captioned:
    """The first `most` captioned pictures of one size, as written by `write_captions`."""
    with np.load(captions_file(folder, size)) as file:
        arrays = {k: file[k][:most] for k in file.files}
    tokens, length = arrays.pop("tokens"), arrays.pop("length")
    return Captioned(Batch(*size, **arrays), tokens, length)


def captions_file(folder: Path, size: tuple[int, int]) -> Path:
    """Where the captions of one size lie."""
    return folder / f"{size[0]}x{size[1]}.npz"


def caption_many(
    world: World, tokenizer: Path, count: int, size: tuple[int, int], seed: int
) -> list[Captioned]:
    """About `count` captioned training pictures of one size, in chunks; fork before using CUDA."""
    sizes = [min(_CHUNK, count - i) for i in range(0, count, _CHUNK)]
    task = partial(_caption_chunk, world, tokenizer, size)
    seeds = [seed * 100_003 + i for i in range(len(sizes))]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        return list(pool.map(task, sizes, seeds))


def lay_out_many(world: World, count: int, size: tuple[int, int], seed: int) -> list[Batch]:
    """Pictures without captions, of any plan, held-out ones too: what the judge learns from."""
    sizes = [min(_CHUNK, count - i) for i in range(0, count, _CHUNK)]
    seeds = [seed * 100_003 + i for i in range(len(sizes))]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        return list(pool.map(partial(_plan_chunk, world, size), sizes, seeds))


def encode(tokenizer: Tokenizer, captions: list[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids [N, length], padded, and each caption's own length; too long is an error."""
    pad = tokenizer.token_to_id(PAD)
    ids = [e.ids for e in tokenizer.encode_batch([wrap(c) for c in captions])]
    longest = max(len(i) for i in ids)
    if longest > length:
        raise ValueError(f"a caption has {longest} tokens, the limit is {length}; shorten it")
    padded = np.array([i + [pad] * (length - len(i)) for i in ids], np.int16)
    return padded, np.array([len(i) for i in ids], np.int16)


def _caption_chunk(
    world: World, tokenizer_file: Path, size: tuple[int, int], count: int, seed: int
) -> Captioned:
    random, tokenizer = Random(seed), Tokenizer.from_file(str(tokenizer_file / "tokenizer.json"))
    plans = [sample_plan(world, random, lambda p: not is_held_out(world, p)) for _ in range(count)]
    columns = [
        _fitting(tokenizer, plans, partial(english.caption, world, random=random), SHORT),
        _fitting(tokenizer, plans, partial(chinese.caption, world, random=random), SHORT),
        _fitting(tokenizer, plans, partial(_long_caption, world, random), LONG),
    ]
    whole = [i for i, row in enumerate(zip(*columns, strict=True)) if None not in row]
    encoded = [encode(tokenizer, [str(c[i]) for i in whole], LONG) for c in columns]
    return Captioned(
        lay_out_batch([plans[i] for i in whole], *size, random),
        np.stack([tokens for tokens, _ in encoded], 1),
        np.stack([length for _, length in encoded], 1),
    )


def _plan_chunk(world: World, size: tuple[int, int], count: int, seed: int) -> Batch:
    random = Random(seed)
    return lay_out_batch([sample_plan(world, random) for _ in range(count)], *size, random)


def _long_caption(world: World, random: Random, plan: Plan) -> str:
    language = english if random.random() < 0.6 else chinese
    return language.caption(world, plan, random, long=True)


def _fitting(
    tokenizer: Tokenizer, plans: list[Plan], write: Callable[..., str], limit: int
) -> list[str | None]:
    """A caption for each plan, rewritten until it fits in `limit` tokens; None where none does."""
    captions: list[str | None] = [None] * len(plans)
    missing = list(range(len(plans)))
    for _ in range(_TRIES):
        drafts = [write(plan=plans[i]) for i in missing]
        encoded = tokenizer.encode_batch([wrap(d) for d in drafts])
        for i, draft, tokens in zip(missing, drafts, encoded, strict=True):
            captions[i] = draft if len(tokens.ids) <= limit else None
        missing = [i for i in missing if captions[i] is None]
        if not missing:
            break
    return captions
