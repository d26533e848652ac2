"""Flow records: what each post decided about each flow, joined and kept."""
