"""The command line: arguments in, one call out, one line on stderr on an error.

Exit codes: 0 done, 1 it ran and failed, 2 the arguments or the configuration are wrong; 75, under systemd alone:
the service was asked to start again.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from detector import __version__
from detector.core.errors import RESTART_CODE, DetectorError
from detector.core.logs import mask_tracebacks
from detector.core.redact import redact

from . import (
    bench,
    build,
    capture_set,
    check,
    compiling,
    demo,
    detect,
    evaluate,
    export,
    init,
    models,
    optimize,
    prune,
    quantize,
    replay,
    run,
    specialise,
    tune,
)

app = typer.Typer(
    name="detector",
    help="On-device, real-time person detection: camera in, MQTT alert out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"detector {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """On-device, real-time person detection: camera in, MQTT alert out."""


app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("check")(check.check)
app.command("init")(init.init)
app.command("detect")(detect.detect)
app.command("replay")(replay.replay)
app.add_typer(models.app, name="models")
app.command("evaluate")(evaluate.evaluate)
app.command("compile")(compiling.compile_model)
app.command("export")(export.export)
app.command("build")(build.build)
app.command("quantize")(quantize.quantize)
app.command("prune")(prune.prune)
app.command("specialise")(specialise.specialise)
app.command("tune")(tune.tune)
app.command("capture-set")(capture_set.capture_set)
app.command("optimize")(optimize.optimize)
app.command("bench")(bench.bench)


def _print(message: str) -> None:
    typer.echo(f"detector: {' '.join(redact(message).split())}", err=True)


def call(arguments: list[str]) -> int:
    """Run one command and return its exit code; a user's mistake gives one line, no traceback."""
    try:
        result = app(arguments, prog_name="detector", standalone_mode=False)
    except DetectorError as error:
        _print(str(error))
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _print("stopped")
        return 130
    except BrokenPipeError:
        # The reader (head, less) was closed; keep the interpreter from reporting that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # Typer's own errors, whichever click it carries, know how to format themselves.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        if message := error.format_message():  # "" after a help text
            _print(f"{message} (see detector --help)")
        return 2
    return result if isinstance(result, int) else 0


def main() -> None:
    """The console script."""
    mask_tracebacks()
    code = call(sys.argv[1:])
    if code == RESTART_CODE and "NOTIFY_SOCKET" not in os.environ:  # systemd starts it again itself
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this very program
    sys.exit(code)
