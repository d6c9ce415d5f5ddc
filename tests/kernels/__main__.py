"""`python -m tests.kernels [KERNEL...]`: see scripts/matrix."""

from __future__ import annotations

import sys

from tests.kernels import matrix


def main() -> int:
    kernels = sys.argv[1:] or [*matrix.KERNELS, matrix.HOST]
    columns = matrix.run(kernels, said=lambda text: print(text, file=sys.stderr))
    failed = False
    for column in columns:
        if column.error:
            print(f"== {column.kernel}: {column.error}")
            failed = failed or not column.outcomes
        for outcome in column.outcomes:
            if outcome.result == "failed":
                failed = True
                print(f"== {column.release}: {outcome.case}\n{outcome.text}")
    if len(sys.argv) == 1:
        (matrix.ROOT / "docs/kernels.md").write_text(matrix.document([c for c in columns if c.outcomes]))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
