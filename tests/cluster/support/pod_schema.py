"""What KubeRay's schema is written with, and its pod template: Kubernetes' as KubeRay has it.

Compared with one pod template, the head's, of the definition that kuberay_schema.py names. Every field here
is one there, with its type, what it requires, its default and the keys of lists that are maps. Of a pod and
of a container the fields are those that a template of ours may use; every other one is refused here, though
KubeRay takes it: affinity, init and ephemeral containers, other kinds of volume, and more.
"""

from tests.cluster.support.crd_schema import Schema

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "default": ""}
FLAG: Schema = {"type": "boolean"}
INT32: Schema = {"type": "integer", "format": "int32"}
INT64: Schema = {"type": "integer", "format": "int64"}
NUMBER: Schema = {"type": "number"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
PORT: Schema = {"x-kubernetes-int-or-string": True}
_DIGITS = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)"
QUANTITY: Schema = {
    "x-kubernetes-int-or-string": True,
    "pattern": rf"^[+-]?{_DIGITS}([KMGTPE]i|[numkMGTPE]|[eE][+-]?{_DIGITS})?$",
}
UNUSED: Schema = {"not": {}}
"""A field that exists, and that no template uses: its inside is not written out here."""


def one_of(*values: str) -> Schema:
    """Text out of a few."""
    return {"type": "string", "enum": list(values)}


def asked_later(*values: str) -> Schema:
    """Any text to KubeRay's definitions; one of these to the operator, or to Kubernetes that makes a pod."""
    return one_of(*values)


def listed(items: Schema, *keys: str) -> Schema:
    """A list; with `keys` each item has other values of them."""
    return {"type": "array", "items": items, **({"x-kubernetes-list-map-keys": list(keys)} if keys else {})}


def record(*required: str, **fields: Schema) -> Schema:
    """A mapping with these fields and no others."""
    return {"type": "object", "properties": fields, **({"required": list(required)} if required else {})}


METADATA = record(name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS, finalizers=listed(TEXT))

_QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}
_KEY = record("key", name=NAME, key=TEXT, optional=FLAG)
_SOURCE = record(name=NAME, optional=FLAG)
VALUE_FROM = record(
    configMapKeyRef=_KEY,
    secretKeyRef=_KEY,
    fieldRef=record("fieldPath", apiVersion=TEXT, fieldPath=TEXT),
    fileKeyRef=record(
        "key",
        "path",
        "volumeName",
        key=TEXT,
        path=TEXT,
        volumeName=TEXT,
        optional={"type": "boolean", "default": False},
    ),
    resourceFieldRef=record("resource", containerName=TEXT, divisor=QUANTITY, resource=TEXT),
)
ENV = record("name", name=TEXT, value=TEXT, valueFrom=VALUE_FROM)
ENV_FROM = record(prefix=TEXT, secretRef=_SOURCE, configMapRef=_SOURCE)
RESOURCES = record(
    claims=listed(record("name", name=TEXT, request=TEXT), "name"), requests=_QUANTITIES, limits=_QUANTITIES
)
VOLUME_MOUNT = record(
    "mountPath",
    "name",
    mountPath=TEXT,
    mountPropagation=TEXT,
    name=TEXT,
    readOnly=FLAG,
    recursiveReadOnly=TEXT,
    subPath=TEXT,
    subPathExpr=TEXT,
)
SECURITY_CONTEXT = record(
    allowPrivilegeEscalation=FLAG,
    appArmorProfile=record("type", localhostProfile=TEXT, type=TEXT),
    capabilities=record(add=listed(TEXT), drop=listed(TEXT)),
    privileged=FLAG,
    procMount=TEXT,
    readOnlyRootFilesystem=FLAG,
    runAsGroup=INT64,
    runAsNonRoot=FLAG,
    runAsUser=INT64,
    seLinuxOptions=record(level=TEXT, role=TEXT, type=TEXT, user=TEXT),
    seccompProfile=record("type", localhostProfile=TEXT, type=TEXT),
    windowsOptions=record(
        gmsaCredentialSpec=TEXT, gmsaCredentialSpecName=TEXT, hostProcess=FLAG, runAsUserName=TEXT
    ),
)
_COMMAND = record(command=listed(TEXT))
_HTTP = record(
    "port",
    host=TEXT,
    httpHeaders=listed(record("name", "value", name=TEXT, value=TEXT)),
    path=TEXT,
    port=PORT,
    scheme=TEXT,
)
_SOCKET = record("port", host=TEXT, port=PORT)
_PROBE = record(
    exec=_COMMAND,
    failureThreshold=INT32,
    grpc=record("port", port=INT32, service=NAME),
    httpGet=_HTTP,
    initialDelaySeconds=INT32,
    periodSeconds=INT32,
    successThreshold=INT32,
    tcpSocket=_SOCKET,
    terminationGracePeriodSeconds=INT64,
    timeoutSeconds=INT32,
)
_HOOK = record(exec=_COMMAND, httpGet=_HTTP, sleep=record("seconds", seconds=INT64), tcpSocket=_SOCKET)
_CONTAINER = record(
    "name",
    name=TEXT,
    image=TEXT,
    imagePullPolicy=asked_later("Always", "IfNotPresent", "Never"),
    command=listed(TEXT),
    args=listed(TEXT),
    workingDir=TEXT,
    env=listed(ENV, "name"),
    envFrom=listed(ENV_FROM),
    resources=RESOURCES,
    ports=listed(
        record(
            "containerPort",
            containerPort=INT32,
            hostIP=TEXT,
            hostPort=INT32,
            name=TEXT,
            protocol={"type": "string", "default": "TCP"},
        ),
        "containerPort",
        "protocol",
    ),
    volumeMounts=listed(VOLUME_MOUNT, "mountPath"),
    securityContext=SECURITY_CONTEXT,
    lifecycle=record(postStart=_HOOK, preStop=_HOOK, stopSignal=TEXT),
    livenessProbe=_PROBE,
    readinessProbe=_PROBE,
    startupProbe=_PROBE,
)
_FILES = listed(record("key", "path", key=TEXT, mode=INT32, path=TEXT))
_VOLUME = record(
    "name",
    name=TEXT,
    persistentVolumeClaim=record("claimName", claimName=TEXT, readOnly=FLAG),
    emptyDir=record(medium=TEXT, sizeLimit=QUANTITY),
    secret=record(defaultMode=INT32, items=_FILES, optional=FLAG, secretName=TEXT),
    configMap=record(defaultMode=INT32, items=_FILES, name=NAME, optional=FLAG),
    hostPath=record("path", path=TEXT, type=TEXT),
    nfs=record("path", "server", path=TEXT, readOnly=FLAG, server=TEXT),
)
_TOLERATION = record(effect=TEXT, key=TEXT, operator=TEXT, tolerationSeconds=INT64, value=TEXT)
POD = record(
    metadata=METADATA,
    spec=record(
        "containers",
        # That there is one is the operator's wish.
        containers={**listed(_CONTAINER, "name"), "minItems": 1},
        imagePullSecrets=listed(record(name=NAME), "name"),
        nodeSelector=TEXTS,
        priorityClassName=TEXT,
        restartPolicy=TEXT,
        runtimeClassName=TEXT,
        serviceAccountName=TEXT,
        terminationGracePeriodSeconds=INT64,
        tolerations=listed(_TOLERATION),
        volumes=listed(_VOLUME, "name"),
    ),
)
