"""Write apps.yaml: the ConfigMap that carries the programs in apps/ into the pods.

`python3 bundle.py > apps.yaml`; a test fails when apps.yaml is older than apps/.
"""

import pathlib

APPS = pathlib.Path(__file__).parent / "apps"
HEAD = """\
# Made by `python3 bundle.py > apps.yaml` from apps/. Edit there.
apiVersion: v1
kind: ConfigMap
metadata:
  name: bank-apps
  namespace: default
data:
"""


def bundle() -> str:
    """The ConfigMap, every file a literal block."""
    parts = [HEAD]
    for path in sorted(APPS.iterdir()):
        if path.is_file():
            parts.append(f"  {path.name}: |\n")
            for line in path.read_text(encoding="utf-8").splitlines():
                parts.append(f"    {line}\n" if line else "\n")
    return "".join(parts)


if __name__ == "__main__":
    print(bundle(), end="")
