"""The schema of KubeRay's RayJob and RayService, strict about fields it does not know.

Compared field by field with version v1 in KubeRay's resource definitions, ray.io_rayjobs.yaml and
ray.io_rayservices.yaml in ray-operator/config/crd/bases: names, types, required lists, enums, patterns,
minimums, defaults, keys of lists, and rules in CEL. The copy read is that of the fork gangli113/kuberay at
commit 79cf0e5793186f1c4006c17eeb356f4f03398c70 (controller-gen v0.16.5). KubeRay's own parts of it have the
fields of KubeRay v1.6.2's API reference and one more, the fork's headGroupSpec.enableShadowHead, left out
here. Read were all of those parts, and the pod template of the head (see pod_schema.py); the other pod
templates were not.

Of KubeRay's own parts there was also read helm-chart/kuberay-operator/crds/ray.io_rayservices.yaml of
ray-project/kuberay at commit 02a80a6f2abf691f2f4e89e4b7c47672bc259b5c, newer than v1.6. It has all that is
here, though it no longer requires `redisAddress`, and more, which is refused here: templates are for
KubeRay 1.6 or newer.

Not here: `status`; the inside of what is marked UNUSED, each a Service of Kubernetes; of pods, what
pod_schema.py says; in CEL, that `managedBy` stays what it was. Asked here and not by the definitions: what
is `asked_later`, that a pod has a container, and that there is a `spec`.
"""

from tests.cluster.support.crd_schema import Schema, resource
from tests.cluster.support.pod_schema import (
    ENV,
    ENV_FROM,
    FLAG,
    INT32,
    NUMBER,
    POD,
    RESOURCES,
    SECURITY_CONTEXT,
    TEXT,
    TEXTS,
    UNUSED,
    VALUE_FROM,
    VOLUME_MOUNT,
    asked_later,
    listed,
    one_of,
    record,
)


def _defaults_to(value: object, schema: Schema) -> Schema:
    return {**schema, "default": value}


def _has(*names: str) -> Schema:
    return {"required": list(names)}


_COUNT: Schema = {**INT32, "minimum": 0}
_MANAGED_BY: Schema = {
    **TEXT,
    "x-kubernetes-validations": [
        {"rule": "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']"}
    ],
}
_CREDENTIAL = record(value=TEXT, valueFrom=VALUE_FROM)

CLUSTER = record(
    "headGroupSpec",
    upgradeStrategy=record(type=one_of("Recreate", "None")),
    authOptions=record(mode=one_of("disabled", "token"), secretName=TEXT, enableK8sTokenAuth=FLAG),
    suspend=FLAG,
    managedBy=_MANAGED_BY,
    autoscalerOptions=record(
        resources=RESOURCES,
        image=TEXT,
        imagePullPolicy=asked_later("Always", "IfNotPresent", "Never"),
        securityContext=SECURITY_CONTEXT,
        idleTimeoutSeconds=INT32,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        version=one_of("v1", "v2"),
        env=listed(ENV),
        envFrom=listed(ENV_FROM),
        volumeMounts=listed(VOLUME_MOUNT),
    ),
    headServiceAnnotations=TEXTS,
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=record(
        "redisAddress",
        externalStorageNamespace=TEXT,
        redisAddress=TEXT,
        redisPassword=_CREDENTIAL,
        redisUsername=_CREDENTIAL,
    ),
    headGroupSpec=record(
        "template",
        template=POD,
        headService=UNUSED,
        enableIngress=FLAG,
        resources=TEXTS,
        labels=TEXTS,
        rayStartParams=TEXTS,
        serviceType=asked_later("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    ),
    rayVersion=TEXT,
    workerGroupSpecs=listed(
        record(
            "groupName",
            "maxReplicas",
            "minReplicas",
            "template",
            suspend=FLAG,
            groupName=TEXT,
            replicas=_defaults_to(0, INT32),
            minReplicas=_defaults_to(0, INT32),
            maxReplicas=_defaults_to(2**31 - 1, INT32),
            idleTimeoutSeconds=INT32,
            resources=TEXTS,
            labels=TEXTS,
            rayStartParams=TEXTS,
            template=POD,
            scaleStrategy=record(workersToDelete=listed(TEXT)),
            numOfHosts=_defaults_to(1, INT32),
        )
    ),
)

_POLICY = one_of("DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone")
_DELETION: Schema = {
    **record(
        onSuccess=record(policy=_POLICY),
        onFailure=record(policy=_POLICY),
        deletionRules={
            **listed(
                record(
                    "condition",
                    "policy",
                    policy=_POLICY,
                    condition={
                        **record(
                            jobStatus=one_of("SUCCEEDED", "FAILED"),
                            jobDeploymentStatus=one_of("Failed"),
                            ttlSeconds=_defaults_to(0, _COUNT),
                        ),
                        "oneOf": [_has("jobStatus"), _has("jobDeploymentStatus")],
                    },
                )
            ),
            "minItems": 1,
        },
    ),
    # What happens at either end, both of them, or rules; never some of each.
    "oneOf": [
        {**_has("onSuccess", "onFailure"), "not": _has("deletionRules")},
        {**_has("deletionRules"), "not": {"anyOf": [_has("onSuccess"), _has("onFailure")]}},
    ],
}

RAY_JOB = record(
    "spec",
    spec=record(
        activeDeadlineSeconds=INT32,
        backoffLimit=_defaults_to(0, INT32),
        rayClusterSpec=CLUSTER,
        submitterPodTemplate=POD,
        metadata=TEXTS,
        clusterSelector=TEXTS,
        submitterConfig=record(backoffLimit=INT32),
        managedBy=_MANAGED_BY,
        deletionStrategy=_DELETION,
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode=_defaults_to(
            "K8sJobMode", asked_later("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
        ),
        entrypointResources=TEXT,
        entrypointNumCpus=NUMBER,
        entrypointNumGpus=NUMBER,
        ttlSecondsAfterFinished=_defaults_to(0, INT32),
        preRunningDeadlineSeconds={**INT32, "minimum": 1},
        shutdownAfterJobFinishes=FLAG,
        suspend=FLAG,
    ),
)

RAY_SERVICE = record(
    "spec",
    spec=record(
        "rayClusterConfig",
        rayClusterDeletionDelaySeconds=_COUNT,
        serviceUnhealthySecondThreshold=INT32,
        deploymentUnhealthySecondThreshold=INT32,
        serveService=UNUSED,
        upgradeStrategy=record(
            type=asked_later("NewCluster", "NewClusterWithIncrementalUpgrade", "None"),
            clusterUpgradeOptions=record(
                "gatewayClassName",
                "intervalSeconds",
                "stepSizePercent",
                gatewayClassName=TEXT,
                intervalSeconds=INT32,
                maxSurgePercent=_defaults_to(100, INT32),
                stepSizePercent=INT32,
            ),
        ),
        managedBy=_MANAGED_BY,
        serveConfigV2=TEXT,
        rayClusterConfig=CLUSTER,
        excludeHeadPodFromServeSvc=FLAG,
    ),
)

SCHEMAS = {
    "rayjob": resource(RAY_JOB, "ray.io/v1", "RayJob"),
    "rayservice": resource(RAY_SERVICE, "ray.io/v1", "RayService"),
}
"""By template, for `crd_schema.admit`."""
