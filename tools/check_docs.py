#!/usr/bin/env python3
"""Checks that what the documentation names exists: paths, flags and subcommands of `lanner`.

    tools/check_docs.py [FILE.md...] [--command LANNER]

Without files: README.md and docs/*.md. Read are code spans and the fenced blocks of shell commands and plain text; in those
of other languages nothing is checked. Prints one line per fault and exits with 1 when there is one.

- A subcommand is the word after `lanner`; `lanner --help` must list it.
- A flag in a `lanner SUBCOMMAND` line must be in that subcommand's help, in the line of one of the repository's own scripts
  in that script's text, and one on its own in either. Flags of other programs are theirs.
- A path has a slash or an extension of the sources. It must exist below the root, src/, include/ or the document's folder;
  `*` and {a,b} stand for what they do in a shell. Words in CAPITALS, build/ and what an option writes are not looked for.
"""

import argparse
import functools
import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHELL = ("", "sh", "bash", "shell", "console", "text")
SCRIPT_FOLDERS = ("scripts", "tools", "bench", "models", ".ci")
OUTPUT_OPTIONS = ("-o", "--output", "--outputs", "--json", "--trace", "--html", "--prefix")
FENCE = re.compile(r"^\s*(```+|~~~+)\s*([\w+-]*)")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
PATH = re.compile(r"\.?\w[\w.*{},+-]*(/[\w.*{},+-]+)+/?|\.?\w[\w.-]*/|[\w.*{},-]+\.(?:cpp|h|py|md|def|cmake|toml)|"
                  r"[\w-]+\.txt")
NOT_OURS = re.compile(r"(\./)?(build|dist|\.venv)(/|$)|.*(^|[/._-])[A-Z]{3,}([/._-]|$)")
KNOWN_CAPITALS = re.compile(r"README|LICENSE|CMake")


def code_of(text):
    """Yields (line number, language, code) for each code span (language None) and each line of a fenced block; lines
    that end in a backslash are joined."""
    fence, joined = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        match = FENCE.match(line)
        if fence is None and match:
            fence, language = match.groups()
        elif fence is not None and line.strip() == fence:
            fence = None
        elif fence is not None:
            joined += line.rstrip("\\") if line.endswith("\\") else line
            if not line.endswith("\\"):
                yield number, language, joined
                joined = ""
        else:
            for span in SPAN.finditer(line):
                yield number, None, span[2]


def braces_expanded(word):
    match = re.search(r"\{([^{}]*,[^{}]*)\}", word)
    if not match:
        return [word]
    options = (braces_expanded(word[: match.start()] + part + word[match.end() :]) for part in match[1].split(","))
    return list(itertools.chain.from_iterable(options))


@functools.cache
def file_names():
    """The names of all files of the tree."""
    names = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ("build", ".git", ".venv", "dist", "__pycache__")]
        names.update(files)
    return names


def exists(path, document):
    if "/" not in path and path in file_names():
        return True
    bases = (ROOT, ROOT / "src", ROOT / "include", document.parent)
    return all(any(any(base.glob(one.strip("/"))) for base in bases) for one in braces_expanded(path.removeprefix("./")))


@functools.cache
def script_text(name):
    """The text of one of the repository's own scripts, or None where `name` is none."""
    path = ROOT / name
    return path.read_text(errors="replace") if name.split("/")[0] in SCRIPT_FOLDERS and path.is_file() else None


@functools.cache
def all_scripts():
    files = itertools.chain.from_iterable((ROOT / folder).rglob("*") for folder in SCRIPT_FOLDERS)
    return "\n".join(path.read_text() for path in files if path.is_file() and (path.suffix == ".py" or not path.suffix))


class Checker:
    def __init__(self, command):
        self.command = command
        self.subcommands = re.findall(r"^  ([a-z]+) ", self.help().split("Subcommands:")[1], re.MULTILINE)

    @functools.cache
    def help(self, *subcommand):
        return subprocess.run([self.command, *subcommand, "--help"], check=True, capture_output=True, text=True).stdout

    def flags(self, *subcommand):
        return set(FLAG.findall(self.help(*subcommand)))

    def faults(self, document):
        for number, language, code in code_of(document.read_text()):
            if language is None or language in SHELL:
                for fault in self.code_faults(code, language, document):
                    yield f"{os.path.relpath(document)}:{number}: {fault}"

    def code_faults(self, code, language, document):
        for command in re.split(r"&&|\|\||[|;]", code.removeprefix("$ ").split(" # ")[0]):
            try:
                words = shlex.split(command, posix=True)
            except ValueError:
                words = command.split()
            while words and re.fullmatch(r"[A-Z_]+=.*|sudo|time|python3?|[\w./]*/python", words[0]):
                words.pop(0)
            if words:
                yield from self.flag_faults(words, language)
        yield from self.path_faults(code, document)

    def flag_faults(self, words, language):
        flags = [flag for word in words for flag in FLAG.findall(word.split("=")[0])]
        name = words[0]
        if name.rsplit("/", 1)[-1] == "lanner" and len(words) > 1:
            subcommand = words[1]
            if subcommand.startswith("-"):
                known, where = self.flags(), "lanner --help"
            elif subcommand in self.subcommands:
                known, where = self.flags(subcommand), f"lanner {subcommand} --help"
            elif re.fullmatch(r"[a-z][a-z-]*", subcommand):
                yield f"'lanner {subcommand}' is no subcommand; there are {', '.join(self.subcommands)}"
                return
            else:
                return
            for flag in flags:
                if flag not in known:
                    yield f"{flag} is not in '{where}'"
        elif script := script_text(name.removeprefix("./")):
            for flag in flags:
                if flag not in script and flag != "--help":
                    yield f"{name} has no {flag}"
        elif language is None and name.startswith("--"):
            known = self.flags().union(*(self.flags(subcommand) for subcommand in self.subcommands))
            for flag in flags:
                if flag not in known and flag not in all_scripts():
                    yield f"{flag} is a flag of no subcommand and no script"

    def path_faults(self, code, document):
        previous = ""
        for word in code.split():
            word, before, previous = word.strip("'\"()[],:;"), previous, word
            if before in OUTPUT_OPTIONS or "://" in word or not PATH.fullmatch(word):
                continue
            if NOT_OURS.match(KNOWN_CAPITALS.sub("", word)) or exists(word, document):
                continue
            yield f"{word} does not exist"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: README.md and docs/*.md")
    parser.add_argument("--command", type=Path, default=ROOT / "build" / "release" / "bin" / "lanner")
    arguments = parser.parse_args()
    files = arguments.files or [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
    checker = Checker(arguments.command)
    faults = [fault for path in files for fault in checker.faults(path.resolve())]
    print("\n".join(faults) or f"{len(files)} documents name only what exists")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
