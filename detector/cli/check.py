"""`detector check`: validates a config and tries what it names."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from .load import JsonOption
from .run import ConfigOption, find_config


def check(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    notify: Annotated[bool, typer.Option("--notify", help="Send a test message to each notification target.")] = False,
) -> int:
    """Validate the config, then try each camera, the model and the broker. Exit 1 if one fails."""
    from detector.config import document
    from detector.service.preflight import check as try_all

    settings = document.load(find_config(config))
    findings = try_all(settings, notify=notify)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(title="the config is valid; tried:", title_justify="left")
        for column in ("what", "works", "result"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            table.add_row(finding.what, "yes" if finding.ok else "NO", finding.detail)
        Console().print(table)
    failed = [finding.what for finding in findings if not finding.ok]
    if failed:
        typer.echo(f"detector: does not work: {', '.join(failed)}; see the table above", err=True)
    return 1 if failed else 0
