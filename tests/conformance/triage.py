"""Runs the conformance suite, each case in a process of its own, and says what fails and why.

    python tests/conformance/triage.py [GLOB...]      prints failures by reason
    python tests/conformance/triage.py --write        also rewrites expected_failures.txt: what fails now, with the
                                                      reasons it had, or those found now

A crash or a case that takes more than a minute is a failure like others.
"""

import argparse
import collections
import fnmatch
import os
import re
import select
import signal
import warnings

import cases
import lanner

SECONDS = 60


def reason_of(error: Exception) -> str:
    if isinstance(error, lanner.Error):
        text = error.message.strip().splitlines()[0]
        if error.reason == "op.unsupported":
            return "no kernel: " + re.sub(r" \(×\d+\)", "", text.partition(": ")[2])
        operator = re.search(r"in (\w+)", error.context or "") if isinstance(error.context, str) else None
        return f"[{error.reason}] {text}" + (f" ({operator[1]})" if operator else "")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, AssertionError):
        return "differs: " + "; ".join(lines[:4])[:160]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]


def run_apart(run) -> str | None:
    """Why the case fails, or None."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            run()
            text = ""
        except Exception as error:
            text = reason_of(error)
        os.write(write, text.encode()[:4000])
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], SECONDS)
    if not ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if not ready:
        return f"takes more than {SECONDS} s"
    if os.WIFSIGNALED(status):
        return f"crashes: {signal.Signals(os.WTERMSIG(status)).name}"
    return text or None


def lines_of(failures: dict[str, dict[str, str]], known: list[cases.Entry]) -> list[str]:
    lines = []
    for name in sorted(failures):
        forms = failures[name]
        wanted = [("", next(iter(forms.values())))] if len(forms) == len(cases.FORMS) else [
            ("@" + form, reason) for form, reason in forms.items()]
        for form, reason in wanted:
            listed = next((entry.reason for entry in known if entry.covers(form[1:] or "native", name)), None)
            lines.append(f"{name}{form}  {listed or reason}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("globs", nargs="*", default=["*"])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--fresh", action="store_true", help="with --write: reasons as found now")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    unsupported = cases.read_list("unsupported.txt")
    failures = collections.defaultdict(dict)  # name -> form -> reason
    passed = collections.Counter()
    for form in cases.FORMS:
        for name, run in cases.functions(form).items():
            if not any(fnmatch.fnmatchcase(name, glob) for glob in arguments.globs):
                continue
            if cases.find(unsupported, form, name):
                continue
            reason = run_apart(run)
            if reason is None:
                passed[form] += 1
            else:
                failures[name][form] = reason

    by_reason = collections.defaultdict(list)
    for name, forms in failures.items():
        for form, reason in forms.items():
            by_reason[reason].append(f"{name}@{form}")
    for reason, names in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        print(f"{len(names):5}  {reason}\n         {' '.join(names)}")
    print({form: f"{passed[form]} passed" for form in cases.FORMS}, f"{len(failures)} cases fail in some form")

    if arguments.write:
        path = cases.FOLDER / "expected_failures.txt"
        known = cases.read_list(path.name)
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        untouched = [f"{entry.pattern}{'@' if entry.form else ''}{entry.form}  {entry.reason}" for entry in known
                     if not any(fnmatch.fnmatchcase(entry.pattern, glob) for glob in arguments.globs)]
        found = lines_of(failures, [] if arguments.fresh else known)
        path.write_text("\n".join(header + sorted(untouched + found)) + "\n")


if __name__ == "__main__":
    main()
