"""Nothing that can turn data into code is so much as named in the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mezzotint

ROOT = Path(mezzotint.__file__).parent
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "compile", "__import__"}
# compile: re's. load: torch's unpickles; ours are functions of other modules.
METHODS = {("torch", "load"), ("numpy", "load"), ("np", "load"), ("yaml", "load")}


def named(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (a.name for a in names if a.name.partition(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in MODULES:
                yield module
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attribute)) if (
                owner,
                attribute,
            ) in METHODS:
                yield f"{owner}.{attribute}"
            case ast.keyword(arg="trust_remote_code" | "allow_pickle"):
                yield str(node.arg)


def test_the_package_names_nothing_of_it() -> None:
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 100
    found = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in files
        for name in named(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == set()


def test_it_would_be_found() -> None:
    code = (
        "import pickle\nfrom marshal import loads\neval('1')\ntorch.load(x)\nf(allow_pickle=True)"
    )
    assert set(named(ast.parse(code))) == {
        "pickle",
        "marshal",
        "eval",
        "torch.load",
        "allow_pickle",
    }
