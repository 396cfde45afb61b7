"""The nightly job: learns new text, judges the result, publishes or refuses it."""
