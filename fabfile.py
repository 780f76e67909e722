"""The commands of mounttool, for ``fab`` in a checkout."""

import sys

from mounttool.tasks import commands

namespace = commands(sys.argv[1:])
