"""The process: gunicorn's worker, its connections and threads, its logs, its shutdown."""
