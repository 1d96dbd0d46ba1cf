"""Chinese captions of plans."""

from random import Random

from training.data.backgrounds import PLAINS, SCENES, WHITE
from training.data.colour import COLOURS
from training.data.plan import NO_COLOUR, Plan, Thing, World

_NUMBERS = {1: "一", 2: "两", 3: "三", 4: "四", 5: "五", 6: "六"}
_COLOURS = dict(zip(COLOURS, "红橙黄绿蓝紫粉白黑灰", strict=True))
_STYLES = (("3D", "3D渲染", "立体"), ("扁平", "扁平图标", "扁平化"), ("卡通", "卡通画", "手绘"))
_SIZES = {
    "tiny": ("很小很小的", "微小的", "极小的"),
    "small": ("小小的", "很小的", "小的"),
    "big": ("大大的", "很大的", "大的"),
    "huge": ("巨大的", "超大的", "特别大的"),
}
_PLACES = {
    "left": ("左边", "左侧"),
    "right": ("右边", "右侧"),
    "top": ("上方", "上面"),
    "bottom": ("下方", "下面"),
    "top left": ("左上角",),
    "top right": ("右上角",),
    "bottom left": ("左下角",),
    "bottom right": ("右下角",),
}
_PAIRS = {
    "and": ("{a}和{b}", "{a}与{b}"),
    "next to": ("{a}在{b}旁边", "{b}旁边有{a}", "{a}挨着{b}"),
    "left of": ("{a}在{b}左边", "{a}在{b}的左边"),
    "above": ("{a}在{b}上面", "{a}在{b}的上方"),
    "under": ("{a}在{b}下面", "{a}在{b}的下方"),
    "small and big": ("{a}和{b}",),
}
_OPENINGS = ("画{}", "请画{}", "{}的图片", "{}的照片", "生成{}", "帮我画{}")
_PRAISE = ("可爱的", "漂亮的", "美丽的", "好看的")
_ENDINGS = (
    "高清",
    "精美",
    "细节丰富",
    "高质量",
    "光线柔和",
    "构图居中",
    "色彩鲜艳",
    "简洁",
    "专业摄影",
    "最佳质量",
    "4K",
    "杰作",
)


def caption(world: World, plan: Plan, random: Random, long: bool = False) -> str:
    """Put a plan into Chinese words; a `long` caption carries the filler people like to write."""
    text = _with_background(_body(world, plan, random), plan, random)
    if long or random.random() < 0.05:
        text = random.choice(_OPENINGS).format(text)
    if plan.style_named:
        text = _with_style(text, plan.style, random)
    if long or random.random() < 0.05:
        endings = random.sample(_ENDINGS, random.randint(4, 8) if long else 1)
        text = "，".join([text, *endings])
    if random.random() < 0.1:
        text = text.replace("，", random.choice((",", " ", ", ")))
    return text + "。" if random.random() < 0.12 else text


def noun(world: World, thing: Thing, count: int, random: Random, size: str = "") -> str:
    """Number, measure word, size, colour and name, as in 三朵红色的玫瑰."""
    subject = world.subjects[thing.subject]
    measure = "个" if random.random() < 0.12 else subject.measure
    number = _NUMBERS[count] + measure
    if count == 1 and random.random() < 0.15:
        number = ""
    name = subject.chinese[0] if random.random() < 0.6 else random.choice(subject.chinese)
    praise = random.choice(_PRAISE) if random.random() < 0.06 else ""
    size = random.choice(_SIZES[size]) if size else ""
    return f"{number}{size}{praise}{_colour(thing, random)}{name}"


def _colour(thing: Thing, random: Random) -> str:
    if thing.colour == NO_COLOUR:
        return ""
    word = _COLOURS[COLOURS[thing.colour]]
    return word + random.choices(("色的", "色", ""), (6, 2, 3))[0]


def _body(world: World, plan: Plan, random: Random) -> str:
    first = plan.things[0]
    if plan.kind == "pair":
        sizes = ("small", "big") if plan.detail == "small and big" else ("", "")
        a, b = (noun(world, t, 1, random, s) for t, s in zip(plan.things, sizes, strict=True))
        return random.choice(_PAIRS[plan.detail]).format(a=a, b=b)
    if plan.kind == "placed":
        place = random.choice(_PLACES[plan.detail])
        pattern = random.choice(("{}在{}", "{1}的{0}", "{1}有{0}"))
        return pattern.format(noun(world, first, 1, random), place)
    return noun(world, first, plan.count, random, plan.detail)


def _with_background(body: str, plan: Plan, random: Random) -> str:
    apart = "在" in body or "有" in body  # a sentence already: set the background off by a comma
    if plan.background >= len(PLAINS):
        phrases = SCENES[plan.background - len(PLAINS)].chinese
        scene = phrases[0] if random.random() < 0.5 else random.choice(phrases)
        patterns = (
            ("{s}，{b}", "{b}，{s}")
            if apart
            else ("{s}的{b}", "{b}在{s}", "{b}，{s}", "在{s}的{b}")
        )
        return random.choice(patterns).format(s=scene, b=body)
    if plan.background == WHITE and random.random() < 0.85:
        return body
    colour = PLAINS[plan.background].chinese + "色背景"
    patterns = ("{b}，{c}", "{c}，{b}") if apart else ("{b}，{c}", "{c}上的{b}", "{c}，{b}")
    return random.choice(patterns).format(c=colour, b=body)


def _with_style(text: str, style: int, random: Random) -> str:
    word = random.choice(_STYLES[style])
    return random.choice(("{t}，{w}风格", "{w}风格，{t}", "{w}风格的{t}", "{t}，{w}")).format(
        t=text, w=word
    )
