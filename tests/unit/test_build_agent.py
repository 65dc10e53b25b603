"""How the agent is compiled, and what is said when it cannot be."""

import importlib.util
import subprocess
from pathlib import Path

import pytest
from build_agent import BuildError, compile_agent, find_compiler

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


def hide_compilers(monkeypatch: pytest.MonkeyPatch, *, but_ziglang: bool = False) -> None:
    monkeypatch.setattr("build_agent.shutil.which", lambda _: None)
    spec = importlib.util.find_spec("json") if but_ziglang else None
    monkeypatch.setattr("build_agent.importlib.util.find_spec", lambda _: spec)


@pytest.fixture
def compiler() -> None:
    """For tests that really compile."""
    try:
        find_compiler()
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "main.c").write_text(HELLO)
    return folder


def test_no_compiler_gives_an_error_that_names_the_packages(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_compilers(monkeypatch)
    with pytest.raises(BuildError, match=r"apt-get install .*musl-tools gcc.*pip install ziglang"):
        compile_agent(tmp_path / "out", sources)
    assert not (tmp_path / "out").exists()


def test_musl_gcc_without_gcc_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_compilers(monkeypatch)
    monkeypatch.setattr("build_agent.shutil.which", {"musl-gcc": "/usr/bin/musl-gcc"}.get)
    with pytest.raises(BuildError, match="musl-gcc with gcc"):
        find_compiler()


def test_ziglang_package_is_taken_where_musl_gcc_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_compilers(monkeypatch, but_ziglang=True)
    assert find_compiler()[1:4] == ("-m", "ziglang", "cc")
    assert find_compiler()[-1].endswith("-linux-musl")


@pytest.mark.usefixtures("compiler")
def test_compiled_agent_is_static_and_runs(sources: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "isoagent"
    compile_agent(output, sources)
    assert subprocess.run([output], capture_output=True, text=True, check=True).stdout == "hello\n"
    assert b"ld-musl" not in output.read_bytes(), "a dynamic program names its loader"
    assert list(output.parent.iterdir()) == [output], "no scrap of the build is left"


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("code", "words"),
    [("int main(void) { return x; }", "undeclared"), ("int main(void) { int unused; return 0; }", "unused")],
    ids=["error", "warning"],
)
def test_code_that_does_not_compile_cleanly_gives_the_compilers_words_and_keeps_the_old_agent(
    sources: Path, tmp_path: Path, code: str, words: str
) -> None:
    output = tmp_path / "isoagent"
    output.write_text("old")
    (sources / "main.c").write_text(code)
    with pytest.raises(BuildError, match=words):
        compile_agent(output, sources)
    assert output.read_text() == "old"


def test_folder_without_c_sources_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=str(tmp_path)):
        compile_agent(tmp_path / "out", tmp_path)
