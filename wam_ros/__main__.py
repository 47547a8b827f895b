# SPDX-License-Identifier: Apache-2.0
"""``wam``, and ``python -m wam_ros``: the command line from its first import on, which may lack a package or be interrupted."""

from __future__ import annotations

import sys

from wam_ros.core.requirements import told


def main() -> int:
    """Run one command; see :func:`wam_ros.cli.main` for what is returned."""
    try:
        from wam_ros import cli
    except ImportError as error:
        print(f"wam: {told(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("wam: interrupted", file=sys.stderr)
        return 130
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
