"""deploy/kubernetes: every document is valid, and agrees with the service, the images and the other documents."""

import copy
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import metrics
from service.config import Config, variable_of
from tests.manifests import FOLDER, build, errors_of, folders, needs_kubectl, needs_kubeflow, one, pod_templates
from tests.processes import ROOT
from training.commands import cli
from training.retraining.config import NightlyConfig

SETTINGS = {variable_of(field.name) for field in fields(Config)}
OF_WORKERS = {"WORKERS", "WORKER"}  # for the command line of a training
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
OF_THE_IMAGE = dict(re.findall(r"(\w+)=([^\s\"]+)", re.findall(r"^ENV CHARLOOM_.*$", DOCKERFILE, re.MULTILINE)[0]))
EXIT_S = 20  # from the end of the drain to the end of the process (docs/http.md)

POD = "spec.template.spec.replicatedJobs.0.template.spec.template.spec"  # of a TrainingRuntime

pytestmark = needs_kubectl
built = cache(build)


def containers(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each container of each pod, and the part of a TrainJob that overrides one."""
    for document in documents:
        for template in pod_templates(document):
            yield from template["spec"]["containers"]
        if document["kind"] == "TrainJob":
            yield document["spec"]["trainer"]


def environments(documents: list[dict[str, Any]]) -> Iterator[dict[str, str | None]]:
    """The environment of each container; None: the value is known in the cluster only."""
    maps = {document["metadata"]["name"]: document["data"] for document in documents if document["kind"] == "ConfigMap"}
    for container in containers(documents):
        environment = {variable["name"]: variable.get("value") for variable in container.get("env", [])}
        for source in container.get("envFrom", []):
            environment |= maps[source["configMapRef"]["name"]]
        yield environment


def templates_with(folder: str, selector: dict[str, Any]) -> list[dict[str, Any]]:
    """The templates of the pods that a selector selects."""
    wanted = selector.get("matchLabels", selector).items()
    templates = [template for document in built(folder) for template in pod_templates(document)]
    return [template for template in templates if wanted <= template["metadata"]["labels"].items()]


def ports_of(templates: list[dict[str, Any]]) -> set[str | int]:
    """The names and numbers of the ports of pods."""
    each = [container for template in templates for container in template["spec"]["containers"]]
    ports = [port for container in each for port in container.get("ports", [])]
    return {value for port in ports for value in (port["name"], port["containerPort"])}


def service_of(folder: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, str | None]]:
    """The pod and the container of the service, and its environment with that of its image."""
    pod = one([document for document in built(folder) if document["metadata"]["name"] == "charloom"], "Deployment")
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    environment = next(found for found in environments(built(folder)) if "CHARLOOM_ENGINES" in found)
    return pod["spec"]["template"]["spec"], container, OF_THE_IMAGE | environment


@pytest.mark.parametrize("folder", folders())
def test_every_document_is_valid(folder: str) -> None:
    assert {document["kind"]: errors for document in built(folder) if (errors := errors_of(document))} == {}


@pytest.mark.parametrize(
    ("folder", "kind", "path", "value"),
    [
        ("base", "Deployment", "spec.template.spec.terminationGracePeriod", 340),  # …Seconds
        ("base", "Deployment", "spec.template.spec.terminationGracePeriodSeconds", "340"),
        ("base", "HorizontalPodAutoscaler", "kind", "HorizontalAutoscaler"),
        ("base", "CronJob", "apiVersion", "batch/v1beta1"),
        ("overlays/keda", "ScaledObject", "spec.maxReplicas", 10),  # maxReplicaCount
        ("overlays/keda", "ScaledObject", "spec.triggers.0.type", "promotheus"),
        ("overlays/keda", "ScaledObject", "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaledown", {}),
        ("overlays/keda", "ScaledObject", "kind", "ScaledObjekt"),
        ("overlays/trainjob", "TrainJob", "kind", "TrainJobs"),
        ("overlays/trainjob", "TrainingRuntime", f"{POD}.restartpolicy", "Never"),
        ("overlays/trainjob", "TrainingRuntime", f"{POD}.containers.0.ports.0.containerPort", "2222"),
        pytest.param("overlays/trainjob", "TrainJob", "spec.trainer.nodes", 2, marks=needs_kubeflow),  # numNodes
        pytest.param("overlays/trainjob", "TrainJob", "spec.trainer.numNodes", "2", marks=needs_kubeflow),
        pytest.param(
            "overlays/trainjob",
            "TrainingRuntime",
            "spec.template.spec.failurePolicy.restarts",
            20,
            marks=needs_kubeflow,
        ),  # maxRestarts
    ],
)
def test_the_check_finds_a_wrong_field_value_or_kind(folder: str, kind: str, path: str, value: object) -> None:
    document = copy.deepcopy(one(built(folder), kind))
    assert errors_of(document) == []
    *parents, name = path.split(".")
    inner: Any = document
    for key in parents:
        inner = inner[int(key)] if key.isdigit() else inner[key]
    inner[name] = value
    assert errors_of(document) != []


@pytest.mark.parametrize("folder", folders())
def test_every_variable_is_a_setting(folder: str) -> None:
    names = {name for environment in environments(built(folder)) for name in environment}
    assert names - SETTINGS - OF_WORKERS == set()


@pytest.mark.parametrize("folder", ["base", "overlays/keda", "overlays/rate-limit"])
def test_the_service_accepts_its_settings(folder: str, tmp_path: Path) -> None:
    _, _, environment = service_of(folder)
    (tmp_path / "keys").write_text("a-key")
    here = {"CHARLOOM_MODELS": str(tmp_path), "CHARLOOM_API_KEYS_FILE": str(tmp_path / "keys")}
    config = Config.from_env({name: str(value) for name, value in (environment | here).items()})
    assert (config.engines, config.admin_port) == (2, 8001)
    assert (config.rate() is not None) == (folder == "overlays/rate-limit")


def test_ports_paths_and_users_are_those_of_the_service_and_its_image() -> None:
    pod, container, environment = service_of("base")
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert ports == {"http": environment["PORT"], "admin": environment["CHARLOOM_ADMIN_PORT"]}
    template = one([document for document in built("base") if document["metadata"]["name"] == "charloom"], "Deployment")
    annotations = template["spec"]["template"]["metadata"]["annotations"]
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == (ports["admin"], "/metrics")
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert {name: (get["path"], get["port"]) for name, get in paths.items()} == {
        "startup": ("/livez", "admin"), "readiness": ("/readyz", "admin"), "liveness": ("/livez", "admin"),
    }  # fmt: skip
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["models"] == environment["CHARLOOM_MODELS"]
    assert Path(str(environment["CHARLOOM_API_KEYS_FILE"])) == Path(mounts["keys"]) / "api-keys"
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE
    assert one(built("base"), "Service")["spec"]["ports"][0]["targetPort"] == "http"


def fill(store: Path, models: Path, first_in_path: str = "") -> int:
    """Run the script that fills a volume; returns its exit code."""
    pod, _, _ = service_of("base")
    (script,) = pod["initContainers"][0]["args"]
    command = script.replace("/models/", f"{models}/").replace("/store", str(store))
    environment = {"PATH": f"{first_in_path}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-c", command], env=environment, stderr=subprocess.DEVNULL, check=False).returncode


def test_an_empty_volume_gets_the_included_models_and_any_other_stays_as_it_is(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for folder in (ROOT / "models", tmp_path / "absent"):
        assert fill(store, folder) == 0
        assert {path.name for path in store.iterdir()} == {path.name for path in (ROOT / "models").glob("*/")}
        assert list((store / "shakespeare").glob("*/saved_model.pb"))


def test_the_next_pod_completes_the_volume_of_one_that_was_killed(tmp_path: Path) -> None:
    store, models = tmp_path / "store", tmp_path / "models"
    store.mkdir()
    for name in ("a", "b"):
        (models / name / "1").mkdir(parents=True)
    (tmp_path / "mv").write_text('#!/bin/sh\n/bin/mv "$@"; kill -9 $PPID\n')
    (tmp_path / "mv").chmod(0o755)
    assert fill(store, models, first_in_path=str(tmp_path)) == -signal.SIGKILL
    assert [path.name for path in store.glob("*/1")] == ["1"]
    assert fill(store, models) == 0
    assert sorted(path.name for path in store.iterdir()) == ["a", "b"]


def test_a_pod_has_time_to_drain() -> None:
    pod, container, environment = service_of("base")
    before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed_s = before_s + int(str(environment["CHARLOOM_DRAIN_SECONDS"])) + EXIT_S
    assert needed_s < pod["terminationGracePeriodSeconds"] <= 600  # after which the cluster autoscaler kills


@pytest.mark.parametrize("folder", folders())
def test_every_container_is_locked_down(folder: str) -> None:
    for document in built(folder):
        for template in pod_templates(document):
            pod = template["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            for container in pod["containers"] + pod.get("initContainers", []):
                context = container["securityContext"]
                assert context["readOnlyRootFilesystem"]
                assert context["allowPrivilegeEscalation"] is False
                assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("folder", folders())
def test_every_image_has_a_tag_and_is_from_the_registry_or_public(folder: str) -> None:
    images = {
        container["image"]
        for document in built(folder)
        for template in pod_templates(document)
        for container in template["spec"]["containers"] + template["spec"].get("initContainers", [])
    }
    assert all(
        re.fullmatch(r"registry\.example\.org/charloom-\w+:latest|redis:[\d.]+-alpine", image) for image in images
    )


@pytest.mark.parametrize("folder", folders())
def test_names_lead_to_documents(folder: str) -> None:
    documents = built(folder)
    names = {(document["kind"], document["metadata"]["name"]) for document in documents + built("base")}
    for document in documents:
        spec = document.get("spec", {})
        if selector := spec.get("selector", spec.get("podSelector")):
            assert templates_with(folder, selector), document
        if target := spec.get("scaleTargetRef"):
            assert ("Deployment", target["name"]) in names
    for template in templates_with(folder, {}):
        for volume in template["spec"]["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names
            if settings := volume.get("configMap"):
                assert ("ConfigMap", settings["name"]) in names


@pytest.mark.parametrize("folder", folders())
def test_services_and_network_policies_lead_to_ports_of_pods(folder: str) -> None:
    for document in built(folder):
        spec = document.get("spec", {})
        if document["kind"] == "Service":
            named = {port.get("targetPort", port["port"]) for port in spec["ports"]}
            assert named <= ports_of(templates_with(folder, spec["selector"]))
        if document["kind"] != "NetworkPolicy":
            continue
        for direction, peers_of in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                named = {port["port"] for port in rule["ports"]}
                selectors = [peer["podSelector"] for peer in rule.get(peers_of, []) if "podSelector" in peer]
                assert all(templates_with(folder, selector) for selector in selectors), rule
                for listening in [spec["podSelector"]] if direction == "ingress" else selectors:
                    assert named <= ports_of(templates_with(folder, listening)), rule


@pytest.mark.parametrize("folder", folders())
def test_names_within_a_pod_and_its_job_are_defined_there(folder: str) -> None:
    for template in templates_with(folder, {}):
        pod = template["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"] + pod.get("initContainers", []):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            probes = [container[key] for key in container if key.endswith("Probe")]
            assert {probe["httpGet"]["port"] for probe in probes if "httpGet" in probe} <= ports_of([template])
    for document in built(folder):
        spec = document.get("spec", {})
        job = spec.get("jobTemplate", document)["spec"] if document["kind"] in ("CronJob", "Job") else {}
        for rule in job.get("podFailurePolicy", {}).get("rules", []):
            if codes := rule.get("onExitCodes"):
                assert codes["containerName"] in {each["name"] for each in job["template"]["spec"]["containers"]}


def test_the_autoscalers_read_a_metric_of_the_service_and_aim_at_half_of_its_slots() -> None:
    _, _, environment = service_of("base")
    slots = int(str(environment["CHARLOOM_ENGINES"])) * Config.slots // 2
    (metric,) = one(built("base"), "HorizontalPodAutoscaler")["spec"]["metrics"]
    pods = metric["pods"]
    assert pods["target"] == {"type": "AverageValue", "averageValue": str(slots)}
    adapter = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text(encoding="utf-8"))
    (rule,) = adapter["rules"]["custom"]
    assert rule["seriesQuery"].startswith(pods["metric"]["name"] + "{")
    assert not any(document["kind"] == "HorizontalPodAutoscaler" for document in built("overlays/keda"))
    trigger = one(built("overlays/keda"), "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert trigger["threshold"] == str(slots)
    used = {pods["metric"]["name"], *re.findall(r"charloom_\w+", trigger["query"])}
    assert used == {family.name for gauge in (metrics.RUNNING, metrics.WAITING) for family in gauge.describe()}


@pytest.mark.parametrize(("folder", "kind"), [("training", "Job"), ("overlays/trainjob", "TrainJob")])
def test_the_list_of_workers_names_every_pod(folder: str, kind: str) -> None:
    document = one(built(folder), kind)
    name, spec = document["metadata"]["name"], document["spec"]
    (workers,) = (found["WORKERS"] for found in environments(built(folder)) if "WORKERS" in found)
    if kind == "Job":
        assert spec["completions"] == spec["parallelism"]
        count, pod, domain = spec["completions"], name, spec["template"]["spec"]["subdomain"]
        service = one(built(folder), "Service")
        assert (service["metadata"]["name"], service["spec"]["clusterIP"]) == (domain, "None")
    else:
        runtime = one(built(folder), "TrainingRuntime")
        (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        assert spec["runtimeRef"]["name"] == runtime["metadata"]["name"]
        count, pod, domain = spec["trainer"]["numNodes"], f"{name}-{job['name']}-0", name
    assert workers == ",".join(f"{pod}-{index}.{domain}:2222" for index in range(count))
    template = next(template for document in built(folder) for template in pod_templates(document))
    assert template["spec"]["containers"][0]["ports"] == [{"containerPort": 2222, "name": "worker"}]


def test_commands_have_the_flags_that_are_used() -> None:
    known = {
        name: {flag for option in command.params for flag in option.opts} for name, command in cli.commands.items()
    }
    scripts = [" ".join(each.get("args", [])) for folder in folders() for each in containers(built(folder))]
    found = [(command, script) for script in scripts for command in re.findall(r"\bcharloom (\w+)", script)]
    assert {command for command, _ in found} == {"retrain", "train"}
    for command, script in found:  # a script may collect flags in lines before its command
        assert set(re.findall(r"--[\w-]+", script)) <= known[command]


def test_the_list_of_models_to_retrain_is_valid() -> None:
    (job,) = NightlyConfig.read(FOLDER / "base/nightly.toml").model
    container = one(built("base"), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/config", "/models", "/runs", "/corpora"} <= mounts
    assert job.name == "mine"


def test_every_folder_and_the_secret_are_documented() -> None:
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    assert [folder for folder in folders() if f"deploy/kubernetes/{folder}" not in page] == []
    pod, _, _ = service_of("base")
    (secret,) = (volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
    assert f"kubectl create secret generic {secret} --from-file=api-keys" in page
