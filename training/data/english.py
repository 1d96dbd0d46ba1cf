"""English captions of plans."""

import re
from random import Random

from training.data.backgrounds import PLAINS, SCENES, WHITE
from training.data.colour import COLOURS
from training.data.plan import NO_COLOUR, Plan, Thing, World

_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_IN_STYLE = (
    ("3d render of {}", "{}, 3d", "{}, 3d style", "a 3d icon of {}"),
    ("flat icon of {}", "{}, flat", "flat illustration of {}", "{}, flat style"),
    ("cartoon of {}", "{}, cartoon", "a drawing of {}", "{}, cartoon style"),
)
_PLACE = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "top left": "in the top left corner",
    "top right": "in the top right corner",
    "bottom left": "in the bottom left corner",
    "bottom right": "in the bottom right corner",
}
_OPENINGS = (
    "a picture of {}",
    "a photo of {}",
    "an image of {}",
    "draw {}",
    "please draw {}",
    "a beautiful picture of {}",
    "create an image of {}",
    "i want to see {}",
)
_PRAISE = ("cute", "beautiful", "nice", "lovely", "pretty", "little", "shiny")
_ENDINGS = (
    "high quality",
    "highly detailed",
    "4k",
    "8k",
    "best quality",
    "masterpiece",
    "beautiful lighting",
    "soft light",
    "centered composition",
    "very sharp",
    "simple",
    "clean background",
    "professional",
    "studio light",
    "vivid colors",
)
_SAME_PLURAL = ("fish", "sheep", "deer", "moose", "bison", "shrimp", "squid", "aircraft")


def caption(world: World, plan: Plan, random: Random, long: bool = False) -> str:
    """Put a plan into English words; a `long` caption carries the filler people like to write."""
    text = _body(world, plan, random) + _background(plan, random)
    if long or random.random() < 0.05:
        text = random.choice(_OPENINGS).format(text)
    if plan.style_named:
        text = random.choice(_IN_STYLE[plan.style]).format(text)
    if long or random.random() < 0.05:
        text = ", ".join([text, *random.sample(_ENDINGS, random.randint(4, 7) if long else 1)])
    if random.random() < 0.05 and text.startswith("a "):
        text = text[2:]
    if random.random() < 0.2:
        text = text[0].upper() + text[1:]
    return text + "." if random.random() < 0.12 else text


def plural(name: str) -> str:
    """The plural of a name; what follows ' of ', ' with ' and the like stays as it is."""
    head, *tail = re.split(r"(?= (?:of|with|in|behind|on|a) )", name, maxsplit=1)
    return _plural_word(head) + "".join(tail)


def with_article(name: str) -> str:
    """The name with 'a' or 'an', or bare where it is a plural already."""
    head = re.split(r" (?:of|with|in|behind|on) ", name)[0]
    if _is_plural(head):
        return name
    silent = re.match(r"(?:[aeio]|u(?!ni|fo|ku)|hourglass|8)", name)
    return f"{'an' if silent else 'a'} {name}"


def _is_plural(head: str) -> bool:
    word = head.split(" ")[-1]
    return word.endswith("s") and not word.endswith(("ss", "us", "is", "claus"))


def _plural_word(head: str) -> str:
    if _is_plural(head) or head.endswith(_SAME_PLURAL):
        return head
    if head.endswith("mouse"):
        return head[:-5] + "mice"
    if head.endswith(("knife", "leaf", "wolf")):
        return re.sub(r"fe?$", "ves", head)
    if re.search(r"[^aeiou]y$", head):
        return head[:-1] + "ies"
    return head + ("es" if re.search(r"(?:s|x|ch|sh)$", head) else "s")


def _name(world: World, thing: Thing, random: Random, before: str = "") -> str:
    names = world.subjects[thing.subject].english
    name = names[0] if random.random() < 0.6 else random.choice(names)
    words = [before] if before else []
    if random.random() < 0.06:
        words.append(random.choice(_PRAISE))
    if thing.colour != NO_COLOUR:
        colour = COLOURS[thing.colour]
        words.append("grey" if colour == "gray" and random.random() < 0.4 else colour)
    return " ".join([*words, name])


def _body(world: World, plan: Plan, random: Random) -> str:
    first = plan.things[0]
    if plan.kind == "count":
        return f"{_NUMBERS[plan.count]} {plural(_name(world, first, random))}"
    if plan.kind == "sized":
        return with_article(_name(world, first, random, plan.detail))
    if plan.kind == "placed":
        return f"{with_article(_name(world, first, random))} {_PLACE[plan.detail]}"
    if plan.kind == "pair":
        return _pair(world, plan, random)
    return with_article(_name(world, first, random))


def _pair(world: World, plan: Plan, random: Random) -> str:
    sizes = ("small", "big") if plan.detail == "small and big" else ("", "")
    a, b = (
        with_article(_name(world, t, random, s)) for t, s in zip(plan.things, sizes, strict=True)
    )
    joints = {
        "and": ("and",),
        "next to": ("next to", "beside", "next to"),
        "left of": ("to the left of", "left of"),
        "above": ("above", "on top of", "over"),
        "under": ("under", "below"),
        "small and big": ("and", "next to"),
    }
    return f"{a} {random.choice(joints[plan.detail])} {b}"


def _background(plan: Plan, random: Random) -> str:
    if plan.background >= len(PLAINS):
        phrases = SCENES[plan.background - len(PLAINS)].english
        return " " + (phrases[0] if random.random() < 0.5 else random.choice(phrases))
    if plan.background == WHITE and random.random() < 0.85:
        return ""
    colour = with_article(PLAINS[plan.background].english)
    return f"{random.choice((' on', ' on', ', on'))} {colour} background"
