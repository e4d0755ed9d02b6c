"""When and why things run: Prefect flows, the DAG they read from dvc.yaml, and the workflow's commands."""
