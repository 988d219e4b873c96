"""deploy/*.yaml and compose*.yaml: by their schemas, and what they start by the trainer's rules."""

import copy
import importlib.resources
import json
import os
import re
import signal
import subprocess

import pytest
import yaml

from alexnet_common import signals
from alexnet_tf.devices import cluster
from tests.helpers.trainer_arguments import check_several_workers

# Oldest that has all that the manifests use, and newer ones.
KUBERNETES = ("1.31", "1.34", "1.37")


def documents(repository, name):
    text = (repository / "deploy" / name).read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def plain(repository):
    return documents(repository, "kubernetes.yaml")


@pytest.fixture(scope="module")
def jobset(repository):
    return documents(repository, "jobset.yaml")["JobSet"]


@pytest.fixture(scope="module", params=["kubernetes.yaml", "jobset.yaml"])
def job(request, plain, jobset):
    """The spec of the Indexed Job, and how its pods are called."""
    if request.param == "kubernetes.yaml":
        metadata, spec = plain["Job"]["metadata"], plain["Job"]["spec"]
        return spec, f"{metadata['name']}-{{}}.{spec['template']['spec']['subdomain']}"
    (replicated,) = jobset["spec"]["replicatedJobs"]
    assert replicated["replicas"] == 1
    # As JobSet's field enableDNSHostnames is described: JOBSET-REPLICATEDJOB-JOB-POD.SUBDOMAIN.
    name = f"{jobset['metadata']['name']}-{replicated['name']}-0"
    return replicated["template"]["spec"], f"{name}-{{}}.{jobset['spec']['network']['subdomain']}"


@pytest.fixture(scope="module")
def container(job):
    (found,) = job[0]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_schemas(plain, version):
    schemas = pytest.importorskip("kubernetes_validate")
    assert set(plain) == {"Service", "PersistentVolumeClaim", "Job"}
    for document in plain.values():
        schemas.validate(document, version, strict=True)
    broken = copy.deepcopy(plain["Job"])
    broken["spec"]["completion_mode"] = broken["spec"].pop("completionMode")
    with pytest.raises(schemas.ValidationError):
        schemas.validate(broken, version, strict=True)


def test_jobset_schema(jobset, job):
    models = pytest.importorskip("kubeflow_trainer_api.models.jobset_v1alpha2_job_set")
    schemas = pytest.importorskip("kubernetes_validate")

    def read_and_written(document):
        return models.JobsetV1alpha2JobSet.from_dict(document).to_dict()

    # What the schema does not have is not written again.
    assert read_and_written(jobset) == jobset
    broken = copy.deepcopy(jobset)
    broken["spec"]["failurePolicy"]["maxRestart"] = broken["spec"]["failurePolicy"].pop(
        "maxRestarts"
    )
    assert read_and_written(broken) != broken
    # The Job inside, by Kubernetes' own schema.
    inside = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job[0]}
    schemas.validate(inside, KUBERNETES[-1], strict=True)


def test_the_pods_are_one_job_that_starts_together(job, container):
    spec, _ = job
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    assert {"name": "WORKERS", "value": str(spec["completions"])} in container["env"]


def test_the_service_finds_pods_before_they_are_ready(plain, jobset):
    service, job = plain["Service"], plain["Job"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    network = jobset["spec"]["network"]
    assert network["enableDNSHostnames"] is network["publishNotReadyAddresses"] is True


def environment_of_pod(container, index, workers):
    """What the entry command sets: it is run with `env` in place of the trainer."""
    found = subprocess.run(
        [*container["command"], "env"],
        env={
            "PATH": os.environ["PATH"],
            "WORKERS": str(workers),
            "JOB_COMPLETION_INDEX": str(index),
        },
        check=True,
        capture_output=True,
        text=True,
    )
    lines = dict(line.split("=", 1) for line in found.stdout.splitlines() if "=" in line)
    return cluster.resolve(lines)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_entry_command_sets_tf_config(job, container, workers):
    (port,) = (port["containerPort"] for port in container["ports"])
    for index in range(workers):
        found = environment_of_pod(container, index, workers)
        assert found.index == index
        assert found.workers == tuple(f"{job[1].format(n)}:{port}" for n in range(workers))


def test_the_entry_command_becomes_the_trainer(container):
    """SIGTERM reaches the process itself, not a shell in front of it."""
    process = subprocess.Popen(
        [*container["command"], "sleep", "60"],
        env={"PATH": os.environ["PATH"], "WORKERS": "1", "JOB_COMPLETION_INDEX": "0"},
    )
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM


def test_the_trainer_understands_its_arguments(container):
    assert container["args"][:2] == ["alexnet-tf", "train"]
    check_several_workers(container["args"][2:])


def actions(job):
    rules = job["podFailurePolicy"]["rules"]
    return {
        status: rule["action"]
        for rule in rules
        for status in rule.get("onExitCodes", {}).get("values", [])
    }


def test_lost_pods_come_back_and_wrong_usage_does_not(plain, jobset):
    spec = plain["Job"]["spec"]
    # Kubernetes accepts a podFailurePolicy with this restart policy only.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert actions(spec) == {signals.EXIT_STATUS: "Ignore", 2: "FailJob"}
    assert any("onPodConditions" in rule for rule in spec["podFailurePolicy"]["rules"])
    inside = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert actions(inside) == {2: "FailJob"} and inside["backoffLimit"] == 0
    (rule,) = jobset["spec"]["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0


def test_the_volumes_are_there(job, container, plain):
    pod = job[0]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    paths = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(paths.values()) == set(volumes)
    # With a read-only root, all that is written to.
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {"/runs", "/tmp", "/cuda-cache", "/dev/shm"} < set(paths)
    claim = volumes[paths["/runs"]]["persistentVolumeClaim"]["claimName"]
    assert claim == plain["PersistentVolumeClaim"]["metadata"]["name"]
    assert plain["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.fixture(scope="module")
def compose(repository):
    return yaml.safe_load((repository / "compose.yaml").read_text())


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_schema(repository, name):
    pytest.importorskip("check_jsonschema")
    jsonschema = pytest.importorskip("jsonschema")
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    document = yaml.safe_load((repository / name).read_text())
    assert list(validator.iter_errors(document)) == []
    document["services"]["serve"]["port"] = "8501"
    assert len(list(validator.iter_errors(document))) == 1


def test_two_workers_of_compose(compose):
    workers = [compose["services"][f"worker-{index}"] for index in range(2)]
    for index, worker in enumerate(workers):
        place = cluster.resolve(worker["environment"])
        assert place.index == index
        # A service's name is the name of its host.
        assert place.workers == ("worker-0:2222", "worker-1:2222")
        assert worker["command"] == workers[0]["command"]
    name, *arguments = workers[0]["command"]
    assert name == "train"
    check_several_workers([plain_value(argument) for argument in arguments])


def plain_value(text):
    """A value of compose's with its variables at their defaults: ${NAME:-default}."""
    while "${" in text:
        before, _, rest = text.partition("${")
        inside, _, after = rest.partition("}")
        text = before + inside.partition(":-")[2] + after
    return text


def test_compose_goes_from_training_to_a_server(compose):
    services = compose["services"]
    finished = {"condition": "service_completed_successfully"}
    assert services["worker-0"]["depends_on"] == {"dataset": finished}
    assert services["export"]["depends_on"] == {"worker-0": finished}
    assert services["serve"]["depends_on"] == {"export": finished}
    exported = [a for a in services["export"]["command"] if a.startswith("--output_dir=")]
    assert services["serve"]["command"][1].partition("=")[2] == exported[0].partition("=")[2]
    for name in ("serve", "tensorboard"):
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])


@pytest.mark.parametrize(
    ("data", "there", "status", "drawn"),
    [("", False, 0, True), ("/photos", False, 2, False), ("/photos", True, 0, False)],
)
def test_the_demos_pictures_are_drawn_where_no_data_is_named(
    compose, tmp_path, data, there, status, drawn
):
    """Never into a folder of the user's, which would be trained on as if it were theirs."""
    (tmp_path / "data").mkdir()
    if there:
        (tmp_path / "data" / "dataset.json").touch()
    stand_in = tmp_path / "alexnet-tf"
    stand_in.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/called\n')
    stand_in.chmod(0o755)
    service = compose["services"]["dataset"]
    assert service["environment"] == {"DATA": "${DATA:-}"}
    script = re.sub(r"/data\b", str(tmp_path / "data"), service["command"][0].replace("$$", "$"))
    result = subprocess.run(
        [*service["entrypoint"], script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "DATA": data},
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stderr
    called = tmp_path / "called"
    names = called.read_text().split() if called.exists() else []
    assert names == (["make-demo-images", "build-tfrecords"] if drawn else [])
    assert result.stderr == ("error: DATA=/photos has no dataset.json\n" if status else "")


def test_compose_writes_to_volumes_alone(compose):
    for name, service in compose["services"].items():
        assert service["read_only"] and service["tmpfs"] == ["/tmp"], name
        assert service["cap_drop"] == ["ALL"], name


def test_the_gpu_file_changes_services_that_are_there(repository, compose):
    document = yaml.safe_load((repository / "compose.gpu.yaml").read_text())
    assert set(document["services"]) == set(compose["services"])
    devices = [
        document["services"][f"worker-{index}"]["deploy"]["resources"]["reservations"]["devices"]
        for index in range(2)
    ]
    assert [device["device_ids"] for (device,) in devices] == [["0"], ["1"]]
