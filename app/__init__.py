"""The review application: people decide about the regions a model cannot be trusted on. Never imports torch."""
