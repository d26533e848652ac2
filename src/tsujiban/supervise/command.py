"""The command line that puts a process into its namespace and takes its rights away.

Pure: util-linux does the work (`nsenter`, `setpriv`), in processes that exec each other, so the
supervisor forks nothing of its own and the privileges of a process can be read off its argv.
"""

from __future__ import annotations

from tsujiban.supervise.spec import ProcessSpec


def command_line(spec: ProcessSpec) -> list[str]:
    """argv that enters the namespace, drops privileges, changes directory, then execs `spec.argv`."""
    argv: list[str] = []
    if spec.netns:
        argv += ["nsenter", f"--net={spec.netns}", "--"]
    argv += setpriv(spec)
    if spec.cwd not in ("", "/"):
        argv += ["env", f"--chdir={spec.cwd}", "--"]
    return argv + list(spec.argv)


def setpriv(spec: ProcessSpec) -> list[str]:
    """The `setpriv` prefix of `spec`; empty when there is nothing to take away."""
    options: list[str] = []
    if spec.uid is not None:
        options += [f"--reuid={spec.uid}", f"--regid={spec.gid}", "--clear-groups"]
    if spec.no_new_privs:
        options.append("--no-new-privs")
    if spec.bounding is not None:
        options.append("--bounding-set=" + _only(spec.bounding))
    if spec.ambient or spec.bounding is not None or spec.uid is not None:
        options.append("--inh-caps=" + _only(spec.ambient))
    if spec.ambient:
        options.append("--ambient-caps=" + _only(spec.ambient))
    return ["setpriv", *options, "--"] if options else []


def _only(capabilities: tuple[str, ...]) -> str:
    return ",".join(["-all", *(f"+{name}" for name in capabilities)])
