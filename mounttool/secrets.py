"""A secret is a type: it prints as ``****`` and is read from where it is kept as late as possible.

The configuration holds references, never values. Two kinds are read on the machine that runs mounttool: ``env:NAME``,
an environment variable, and ``file:PATH`` (one trailing newline is dropped). Two are read by the node itself, with its
instance's role, and never seen here: ``ssm:NAME`` in SSM Parameter Store, and ``secretsmanager:NAME``, of which
``#KEY`` takes one value of a JSON object; both NAMEs may be ARNs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NoReturn

from mounttool.errors import SecretError

HIDDEN = "****"
#: What is expected where a reference stands.
FORMS = "env:NAME, file:PATH, ssm:NAME or secretsmanager:NAME[#KEY]"

_FORMS = {
    "env": r".+",
    "file": r".+",
    # With the version or label that Parameter Store takes after a name.
    "ssm": r"(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]+:parameter)?[A-Za-z0-9_./][A-Za-z0-9_./-]*(:[A-Za-z0-9_.-]+)?",
    "secretsmanager": r"(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]+:secret:)?[A-Za-z0-9/_+=.@][A-Za-z0-9/_+=.@-]*"
    r"(#[^\x00-\x1f\x7f]+)?",
}


class Secret:
    """A password or key, known by its reference.

    Two secrets are equal when their references are. ``repr`` and ``str`` give ``****``; pickling is refused, so that
    no cache or log can hold one by accident.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        scheme, _, rest = reference.partition(":")
        if scheme not in _FORMS or not re.fullmatch(_FORMS[scheme], rest, re.DOTALL):
            # The value is not shown: people paste the password itself here.
            raise SecretError(f"a secret is given as a reference: {FORMS}")
        self.reference = reference

    @property
    def is_on_node(self) -> bool:
        """Whether the node reads it itself, so that nobody here ever sees it."""
        return self.reference.startswith(("ssm:", "secretsmanager:"))

    def reveal(self) -> str:
        """Return the value itself, read now.

        Raises:
            SecretError: the variable is not set, the file cannot be read, or it is empty; or only nodes read it.

        """
        scheme, _, rest = self.reference.partition(":")
        if self.is_on_node:
            raise SecretError(f"{self.reference}: it is read on the node, never here: expected env:NAME or file:PATH")
        if scheme == "env":
            value = os.environ.get(rest, "")
        else:
            try:
                value = Path(rest).expanduser().read_text(encoding="utf-8").removesuffix("\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8 text"
                raise SecretError(f"{self.reference}: {reason}") from None
        if not value:
            raise SecretError(f"{self.reference}: empty or not set")
        if not _is_text(value):
            # systemd drops such a line of an environment file without a word, and shells drop NUL.
            raise SecretError(f"{self.reference}: expected UTF-8 text without control characters")
        return value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


def _is_text(value: str) -> bool:
    """Whether every byte of it survives a shell and an environment file; a surrogate stands for what is not UTF-8."""
    return not any(
        (ord(character) < 32 and character not in "\t\n") or character == "\x7f" or "\ud800" <= character <= "\udfff"
        for character in value
    )
