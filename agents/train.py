"""Train an agent with maskable PPO on generated hosts, one scenario, or a host of one's own.

    python -m agents.train --out runs/first
    python -m agents.train --config more.toml --out runs/second --choices 2000000
    python -m agents.train --out runs/first --resume

A run's folder holds ``config.toml`` (the whole configuration), ``agent/`` (the agent so far; at
the end, the trained one), the checkpoint, ``scores.json`` and ``tensorboard/``.
"""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import msgspec

from agents import artifact, config
from agents.config import TrainConfig
from envs.errors import InputError, TunerError
from envs.hosts.locate import kind_of


class Stopped(TunerError):
    """A person stopped the run; what it had learned is saved."""

    exit_code = 130


def train(settings: TrainConfig, out: Path, *, resume: bool = False) -> Path:
    """Train as configured and return the folder of the agent.

    Raises InputError where ``out`` holds another run, or none to resume, or cannot be written;
    Stopped on Ctrl-C and SIGTERM, once what was learned is saved and a live host is put back.
    """
    from agents.run import Run  # noqa: PLC0415 (imports torch, which takes seconds)

    if resume:
        settings = config.load(out / "config.toml")
    elif (out / "config.toml").exists():
        raise InputError(f"{out}: holds a run already: add --resume, or choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror}") from error
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run = Run(settings, out, resume=resume)
        try:
            (out / "config.toml").write_text(config.render(settings), encoding="utf-8")
            run.learn()
        except KeyboardInterrupt:
            run.save()
            raise Stopped(
                f"stopped; go on with: python -m agents.train --out {out} --resume"
            ) from None
        finally:
            run.close()
    finally:
        signal.signal(signal.SIGTERM, terminated)
    return out / "agent"


def _options() -> Iterator[click.Option]:
    """One option for each key of the configuration."""
    hints = get_type_hints(TrainConfig, include_extras=True)
    for field in msgspec.structs.fields(TrainConfig):
        kind, about = get_args(hints[field.name])
        default = "" if field.default is None else f" [default: {field.default}]"
        yield click.Option(
            [f"--{field.encode_name.replace('_', '-')}"],
            type=next(k for k in (int, float, str) if k in (get_args(kind) or (kind,))),
            help=f"{about.description}{default}",
        )


def command(out: str, config_path: str | None, resume: bool, **overrides: Any) -> None:  # noqa: ANN401 (one option per setting)
    """Run ``train`` from the command line."""
    given: Mapping[str, Any] = overrides
    path = Path(config_path) if config_path else None
    try:
        settings = config.load(path, given)
        if settings.host and kind_of(settings.host) not in ("lab", "sim"):
            raise InputError(
                f"{settings.host}: here nothing would put it back if this is killed:"
                " use tuner train --host"
            )
        folder = train(settings, Path(out), resume=resume)
    except TunerError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    about = artifact.load(folder).about
    click.echo(f"{folder}: {', '.join(f'{k} {v:.3f}' for k, v in about.scores.items())}")


main = click.Command(
    "agents.train",
    callback=command,
    params=[
        click.Option(["--out"], required=True, help="folder of the run"),
        click.Option(["--config", "config_path"], help="TOML file; the options below override it"),
        click.Option(["--resume"], is_flag=True, help="go on in the folder, as configured there"),
        *_options(),
    ],
    help="Train an agent: on generated hosts, on one scenario, or on a host.",
)

if __name__ == "__main__":
    main()
