"""The manifests of deploy/kubernetes as kustomize builds them, and a strict check of each document."""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tests.processes import ROOT

FOLDER = ROOT / "deploy/kubernetes"
KUBERNETES = "1.37"  # whose API the documents are checked with

needs_kubeflow = pytest.mark.skipif(
    importlib.util.find_spec("kubeflow_trainer_api") is None, reason="needs the package kubeflow-trainer-api"
)
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


def folders() -> list[str]:
    """Every folder with a kustomization, relative to `FOLDER`."""
    return sorted(str(file.parent.relative_to(FOLDER)) for file in FOLDER.rglob("kustomization.yaml"))


def build(folder: str) -> list[dict[str, Any]]:
    """The documents that `kubectl apply -k` would send."""
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only document of a kind."""
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def pod_templates(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The templates of pods in a document, at any depth."""
    for key, value in document.items():
        if key == "template" and "containers" in value.get("spec", {}):
            yield value
        elif isinstance(value, dict):
            yield from pod_templates(value)
        elif isinstance(value, list):
            for item in value:
                yield from pod_templates(item) if isinstance(item, dict) else ()


def errors_of(document: dict[str, Any]) -> list[str]:
    """The reasons for which a cluster would refuse the document or ignore a part of it."""
    if check := CUSTOM.get((document["apiVersion"], document["kind"])):
        return check(document)
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:  # which the command only warns of
        return [error.message]
    return []


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Target(_Strict):
    name: str
    apiVersion: str = ""  # noqa: N815
    kind: str = ""


class _Fallback(_Strict):
    failureThreshold: int  # noqa: N815
    replicas: int


class _Trigger(_Strict):
    type: Literal["prometheus"]
    metricType: Literal["AverageValue", "Value"]  # noqa: N815
    metadata: dict[Literal["serverAddress", "query", "threshold"], str]


class _ScaledObject(_Strict):
    """The part that the overlay uses of KEDA's reference (keda.sh/docs/2.22/reference/scaledobject-spec)."""

    scaleTargetRef: _Target  # noqa: N815
    pollingInterval: int  # noqa: N815
    minReplicaCount: int  # noqa: N815
    maxReplicaCount: int  # noqa: N815
    fallback: _Fallback
    advanced: dict[Literal["horizontalPodAutoscalerConfig"], dict[Literal["behavior"], dict[str, Any]]]
    triggers: list[_Trigger]


def _scaled_object_errors(document: dict[str, Any]) -> list[str]:
    try:
        spec = _ScaledObject.model_validate(document["spec"])
    except ValidationError as error:
        return [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()]
    # KEDA copies this part into a HorizontalPodAutoscaler.
    autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": document["metadata"]}
    behavior = spec.advanced["horizontalPodAutoscalerConfig"]["behavior"]
    target = {"kind": "Deployment", "name": spec.scaleTargetRef.name}
    return errors_of(autoscaler | {"spec": {"scaleTargetRef": target, "maxReplicas": 1, "behavior": behavior}})


def _kubeflow_errors(document: dict[str, Any]) -> list[str]:
    """Errors of the Jobs in the document and, where Kubeflow's models are installed, of the fields that they drop."""
    jobs = document["spec"].get("template", {}).get("spec", {}).get("replicatedJobs", [])
    job = {"apiVersion": "batch/v1", "kind": "Job"}
    errors = [error for each in jobs for error in errors_of(job | each["template"])]
    if errors or importlib.util.find_spec("kubeflow_trainer_api") is None:
        return errors
    models = importlib.import_module("kubeflow_trainer_api.models")
    model = getattr(models, f"TrainerV1alpha1{document['kind']}")
    try:
        kept = model.from_dict(document).to_dict()
    except ValidationError as error:
        return [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()]
    return _differences(document, kept)


def _differences(given: Any, kept: Any, path: str = "") -> list[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        return [error for key in given for error in _differences(given[key], kept.get(key), f"{path}.{key}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = enumerate(zip(given, kept, strict=True))
        return [error for index, (one, other) in pairs for error in _differences(one, other, f"{path}.{index}")]
    return [] if given == kept else [f"{path[1:]}: {given!r} is not a field or value of the API"]


CUSTOM: dict[tuple[str, str], Callable[[dict[str, Any]], list[str]]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): _scaled_object_errors,
    ("trainer.kubeflow.org/v1alpha1", "TrainJob"): _kubeflow_errors,
    ("trainer.kubeflow.org/v1alpha1", "TrainingRuntime"): _kubeflow_errors,
}
