"""The commands of mounttool, for ``fab`` in a checkout."""

from mounttool.tasks import namespace

__all__ = ["namespace"]
