"""Everything that mounttool raises on purpose.

::

    MounttoolError                 exit code 1
    ├── InputError                 exit code 2: the user's words; names the file, key, value and expectation
    │   ├── ConfigError            mounttool.toml
    │   ├── QuantityError          "12 parsecs" where bytes or seconds were expected
    │   ├── SecretError            a reference that leads nowhere
    │   └── ResultsError           rows that cannot be read or compared
    ├── UnsupportedError           this node cannot do what the mount needs
    ├── HostError                  a node could not be reached, or did not answer within its deadline
    ├── StepError                  a step failed on a node; carries the command and its last lines
    ├── AwsError                   AWS refused a call, or could not be reached
    └── LabError                   the lab could not do what was asked

Data is in attributes; ``str()`` is one line for people. Only the command line turns an error into an exit code.
"""

from __future__ import annotations


class MounttoolError(Exception):
    """Base of all. ``hint`` says what to try next; empty when there is nothing to say."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(MounttoolError):
    """What the user gave cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A value in the configuration.

    ``key`` is dotted (``mount.checkpoints.mount_point``); ``value`` is shown as given, unless it is a secret.
    """

    def __init__(self, file: str, key: str, value: object, expected: str, *, hint: str = "") -> None:
        shown = "" if value is None else f" = {value!r}"
        super().__init__(f"{file}: {key}{shown}: expected {expected}", hint=hint)
        self.file = file
        self.key = key
        self.value = value
        self.expected = expected


class QuantityError(InputError):
    """A text that is not a size, a duration or a rate."""


class SecretError(InputError):
    """A secret's reference that leads nowhere. Never carries the secret."""


class ResultsError(InputError):
    """Results that cannot be read, or must not be compared."""


class UnsupportedError(MounttoolError):
    """The node lacks what a mount needs, and no step can bring it."""


class HostError(MounttoolError):
    """A node could not be reached, or did not answer in time.

    ``phase`` is connect, login, sudo or run; ``reason`` is the message without host and phase.
    """

    def __init__(self, host: str, phase: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{host}: {phase}: {message}", hint=hint)
        self.host = host
        self.phase = phase
        self.reason = message


class StepError(MounttoolError):
    """A step failed on a node. ``last_lines`` are at most ten lines of the command's own output."""

    def __init__(self, host: str, step: str, command: str, last_lines: tuple[str, ...], *, hint: str = "") -> None:
        super().__init__(f"{host}: {step}: {last_lines[-1] if last_lines else 'failed'}", hint=hint)
        self.host = host
        self.step = step
        self.command = command
        self.last_lines = last_lines


class AwsError(MounttoolError):
    """AWS refused a call, or could not be reached."""


class LabError(MounttoolError):
    """The lab could not do what was asked."""
