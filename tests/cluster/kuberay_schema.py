"""The schema of KubeRay's RayJob and RayService, strict about fields it does not know.

Written from the field tables of KubeRay v1.6.2's API reference (docs/reference/api.md) and, for pods, from
those of Kubernetes core/v1. KubeRay's own parts are whole but for what is marked; of pods, which the
resource definitions repeat in full, there are only the fields that a template of ours may use.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {
    "anyOf": [
        {"type": "integer"},
        {"type": "string", "pattern": r"^[+-]?\d+(\.\d*)?([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$"},
    ]
}
UNUSED: Schema = {"not": {}}
"""A field that exists, and that no template uses: its inside is not written out here."""


def one_of(*values: str) -> Schema:
    """Text out of a few."""
    return {"enum": list(values)}


def listed(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def record(*required: str, **fields: Schema) -> Schema:
    """A mapping with these fields and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": fields,
        "additionalProperties": False,
    }


METADATA = record(name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)

_QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}
_SECRET_KEY = record("key", name=TEXT, key=TEXT, optional=FLAG)
_SOURCE = record(name=TEXT, optional=FLAG)
_CONTAINER = record(
    "name",
    name=TEXT,
    image=TEXT,
    imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
    command=listed(TEXT),
    args=listed(TEXT),
    env=listed(record("name", name=TEXT, value=TEXT, valueFrom=record(secretKeyRef=_SECRET_KEY))),
    envFrom=listed(record(prefix=TEXT, secretRef=_SOURCE, configMapRef=_SOURCE)),
    resources=record(requests=_QUANTITIES, limits=_QUANTITIES),
    volumeMounts=listed(record("name", "mountPath", name=TEXT, mountPath=TEXT, readOnly=FLAG, subPath=TEXT)),
)
POD = record(
    metadata=METADATA,
    spec=record(
        "containers",
        containers={**listed(_CONTAINER), "minItems": 1},
        serviceAccountName=TEXT,
        nodeSelector=TEXTS,
        volumes=listed(
            record(
                "name", name=TEXT, persistentVolumeClaim=record("claimName", claimName=TEXT, readOnly=FLAG)
            )
        ),
    ),
)

CLUSTER = record(
    "headGroupSpec",
    upgradeStrategy=record(type=one_of("Recreate", "None")),
    authOptions=record(mode=one_of("disabled", "token"), secretName=TEXT, enableK8sTokenAuth=FLAG),
    suspend=FLAG,
    managedBy=TEXT,
    autoscalerOptions=record(
        resources=record(requests=_QUANTITIES, limits=_QUANTITIES),
        image=TEXT,
        imagePullPolicy=TEXT,
        securityContext=UNUSED,
        idleTimeoutSeconds=WHOLE,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        version=one_of("v1", "v2"),
        env=UNUSED,
        envFrom=UNUSED,
        volumeMounts=UNUSED,
    ),
    headServiceAnnotations=TEXTS,
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=UNUSED,
    headGroupSpec=record(
        "template",
        template=POD,
        headService=UNUSED,
        enableIngress=FLAG,
        resources=TEXTS,
        labels=TEXTS,
        rayStartParams=TEXTS,
        serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    ),
    rayVersion=TEXT,
    workerGroupSpecs=listed(
        record(
            "groupName",
            "minReplicas",
            "maxReplicas",
            "template",
            suspend=FLAG,
            groupName=TEXT,
            replicas=WHOLE,
            minReplicas=WHOLE,
            maxReplicas=WHOLE,
            idleTimeoutSeconds=WHOLE,
            resources=TEXTS,
            labels=TEXTS,
            rayStartParams=TEXTS,
            template=POD,
            scaleStrategy=record(workersToDelete=listed(TEXT)),
            numOfHosts=WHOLE,
        )
    ),
)

RAY_JOB = record(
    "apiVersion",
    "kind",
    "spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=METADATA,
    spec=record(
        activeDeadlineSeconds=WHOLE,
        backoffLimit=WHOLE,
        rayClusterSpec=CLUSTER,
        submitterPodTemplate=POD,
        metadata=TEXTS,
        clusterSelector=TEXTS,
        submitterConfig=record(backoffLimit=WHOLE),
        managedBy=TEXT,
        deletionStrategy=UNUSED,
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
        entrypointResources=TEXT,
        entrypointNumCpus=NUMBER,
        entrypointNumGpus=NUMBER,
        ttlSecondsAfterFinished=WHOLE,
        preRunningDeadlineSeconds={"type": "integer", "minimum": 1},
        shutdownAfterJobFinishes=FLAG,
        suspend=FLAG,
    ),
)

RAY_SERVICE = record(
    "apiVersion",
    "kind",
    "spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayService"},
    metadata=METADATA,
    spec=record(
        rayClusterDeletionDelaySeconds=COUNT,
        serviceUnhealthySecondThreshold=WHOLE,
        deploymentUnhealthySecondThreshold=WHOLE,
        serveService=UNUSED,
        upgradeStrategy=record(
            type=one_of("NewCluster", "NewClusterWithIncrementalUpgrade", "None"),
            clusterUpgradeOptions=UNUSED,
        ),
        managedBy=TEXT,
        serveConfigV2=TEXT,
        rayClusterConfig=CLUSTER,
        excludeHeadPodFromServeSvc=FLAG,
    ),
)

SCHEMAS = {"rayjob": RAY_JOB, "rayservice": RAY_SERVICE}
"""By template."""
