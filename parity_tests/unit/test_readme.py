"""Every Python block of the README runs, and prints what the README says it prints."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[int, str]]:
    text = README.read_text()
    return [
        (text.count("\n", 0, match.start()) + 2, match.group(1)) for match in BLOCK.finditer(text)
    ]


@pytest.mark.parametrize(("line", "code"), blocks(), ids=lambda x: str(x) if isinstance(x, int) else "")
def test_readme_block(line, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    globals_: dict = {"__name__": "readme"}
    if ">>>" in code:
        test = doctest.DocTestParser().get_doctest(code, globals_, "README.md", "README.md", line)
        output: list[str] = []
        runner = doctest.DocTestRunner(verbose=False)
        runner.run(test, out=output.append)
        assert runner.summarize(verbose=False).failed == 0, "".join(output)
    else:
        exec(compile("\n" * (line - 1) + code, "README.md", "exec"), globals_)


def test_there_are_blocks_and_no_broken_links():
    assert len(blocks()) >= 5
    text = README.read_text()
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (README.parent / target).exists(), target
    headings = {
        re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_every_make_target_of_the_readme_exists():
    makefile = (README.parent / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z-]+)", README.read_text())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
