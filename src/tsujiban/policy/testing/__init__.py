"""Policy tests as code: flows and the verdicts expected of them, and whether any would notice a change."""
