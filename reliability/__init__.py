"""Which pixels of a prediction can be trusted: scores, selection methods and how good they are; torch only."""
