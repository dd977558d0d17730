"""Every Python block of the README runs, and prints what the README says it prints."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[int, str]]:
    text = README.read_text()
    return [
        (text.count("\n", 0, match.start()) + 2, match.group(1)) for match in BLOCK.finditer(text)
    ]


def test_the_readme_runs_from_top_to_bottom(tmp_path, monkeypatch):
    """As a reader types it: one session, each block after those above it."""
    monkeypatch.chdir(tmp_path)
    session: dict = {"__name__": "readme"}
    runner, parser = doctest.DocTestRunner(verbose=False), doctest.DocTestParser()
    for line, code in blocks():
        if ">>>" not in code:
            exec(compile("\n" * (line - 1) + code, "README.md", "exec"), session)
            continue
        test = parser.get_doctest(code, session, "README.md", "README.md", line - 1)
        output: list[str] = []
        runner.run(test, out=output.append, clear_globs=False)
        assert not output, "".join(output)
        session = test.globs
    assert runner.summarize(verbose=False).attempted > 15


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
