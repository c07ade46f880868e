"""The compute daemon's side: verbs that flows ask for, and questions that the API asks."""
