from __future__ import annotations

import hypothesis

# A loaded machine is no reason to fail, and what failed must fail again.
hypothesis.settings.register_profile("mounttool", deadline=None, derandomize=True, print_blob=False)
hypothesis.settings.load_profile("mounttool")
