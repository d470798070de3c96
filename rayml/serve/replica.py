"""The one Ray Serve deployment: preprocessing and model in each of its replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.registry.store import Registry
from rayml.serve.access.guard import make_guard
from rayml.serve.access.hosts import Hosts
from rayml.serve.access.keys import Key
from rayml.serve.access.site import Site
from rayml.serve.app.app import EndpointApp
from rayml.serve.app.routes import ROUTES, Route, Router
from rayml.serve.grpc.service import App, InferenceService
from rayml.serve.http.paths import FEEDBACK, METRICS
from rayml.serve.model.serving import OneVersion, Serving
from rayml.serve.observe.recorder import make_recorder
from rayml.serve.observe.replica_log import start_log
from rayml.serve.rayserve.bypass import bypass_to
from rayml.serve.rayserve.internal_port import keep_internal_port_closed
from rayml.serve.rayserve.printing import restore_print
from rayml.serve.rayserve.uvicorn_protocol import write_answers_at_once
from rayml.serve.release.counted_rows import CountedRows
from rayml.serve.release.feedback import Feedback
from rayml.serve.release.follower import Follower, Load
from rayml.settings.serve import ReplicaSettings, ServeSettings

# Room for health checks beside the requests that the app itself admits, so that it is the app,
# with an error in its own form, that refuses what is too much.
_HEALTH_REQUESTS = 32


class Replica(InferenceService):
    """The app of one replica process, and its models; Serve makes it and calls its app.

    Args:
        folder: of the bundle.
        version: of the model in the registry.
        settings: of the endpoint.
        keys: that are accepted besides those of the file.
        follows: whether the bundle is in a registry, whose release is served from then on.
        trust: whose code bundles may name, and whose signatures they need.
    """

    def __init__(
        self,
        folder: str,
        version: str,
        settings: ServeSettings,
        keys: tuple[Key, ...],
        follows: bool,
        trust: Trust = ONLY_OWN,
    ) -> None:
        import torch
        from ray import serve

        name = serve.get_replica_context().replica_id.unique_id
        start_log(settings.log, name)
        restore_print()
        keep_internal_port_closed()
        write_answers_at_once()
        # With several threads the order of a sum may depend on the load of the machine.
        alone = settings.batch_invariant
        torch.set_num_threads(1 if alone else max(1, int(settings.replicas.cpu)))
        recorder = make_recorder(name, settings)
        load = _loader(settings, trust, measured=follows)
        self._follower: Follower | None = None
        serving: Serving
        routes = [*ROUTES, Route("GET", METRICS, recorder.page, scope="admin")]
        if follows:
            registry, model = Registry.of_version(Path(folder), trust)
            beside = None if settings.state_folder is None else Path(settings.state_folder)
            self._follower = Follower(
                registry, model, load, requests=recorder.counts, beside=beside
            )
            serving = self._follower.serving
            feedback = Feedback(serving, CountedRows(registry.folder(model)).claim)
            routes.append(Route("POST", FEEDBACK, feedback, predicts=True, scope="feedback"))
            self._follower.start()
        else:
            serving = OneVersion(load(Path(folder), version))
        self._app = EndpointApp(
            serving,
            settings=settings,
            router=Router(routes),
            guard=make_guard(settings.keys.file, keys, settings.rate),
            site=Site(Hosts(bound=settings.host, names=settings.hosts), settings.origins),
            observe=recorder.observe,
            close=recorder.close,
        )
        recorder.start(self._app.load)
        if not settings.ray_metrics:
            bypass_to(self._app, self)

    def __del__(self) -> None:
        """Remove the status of this replica."""
        follower = getattr(self, "_follower", None)
        if follower is not None:
            follower.close()

    def __serve_build_asgi_app__(self) -> App:
        """Give Serve the app; called once in each replica."""
        return self._app


def _loader(settings: ServeSettings, trust: Trust, *, measured: bool) -> Load:
    """Make a function that loads a version of the folder of its bundle."""
    from rayml.serve.model.served import ServedModel
    from rayml.serve.predict.predictor import Predictor

    def load(bundle: Path, version: str) -> ServedModel:
        predictor = Predictor.load(
            bundle,
            device="cuda" if settings.replicas.gpu else "cpu",
            warn=settings.unknown != "ignore",
            batch_invariant=settings.batch_invariant,
            trust=trust,
        )
        return ServedModel(predictor, version=version, settings=settings, measured=measured)

    return load


def application(
    folder: Path,
    *,
    version: str,
    settings: ServeSettings,
    keys: tuple[Key, ...] = (),
    follows: bool = False,
    machine: str | None = None,
    trust: Trust = ONLY_OWN,
) -> Any:
    """Make the Serve application that answers for a bundle.

    Args:
        folder: of the bundle.
        version: of the model in the registry.
        settings: of the endpoint.
        keys: that are accepted besides those of the file.
        follows: whether the bundle is in a registry, whose release is served from then on.
        machine: address of the one that replicas run on; None lets Ray choose.
        trust: whose code bundles may name, and whose signatures they need.
    """
    from ray import serve

    # Each machine of a cluster has one of a resource with its address as a name.
    place = {} if machine is None else {"resources": {f"node:{machine}": 0.001}}
    replicas = settings.replicas
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name="predict",
        max_ongoing_requests=settings.max_ongoing_requests
        + settings.max_queued_requests
        + _HEALTH_REQUESTS,
        max_queued_requests=settings.max_queued_requests,
        backpressure_config={"status_code": 503, "retry_after_s": 1},
        ray_actor_options={"num_cpus": replicas.cpu, "num_gpus": replicas.gpu, **place},
        # A bundle that does not load will not load the next time either.
        max_constructor_retry_count=1,
        # A replica that has died is replaced when this finds it.
        health_check_period_s=1,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=settings.request_timeout_s,
        **_scaling(replicas),
    )
    return deployment.bind(str(folder.resolve()), version, settings, keys, follows, trust)


def _scaling(replicas: ReplicaSettings) -> dict[str, Any]:
    if replicas.min == replicas.max:
        return {"num_replicas": replicas.max}
    return {
        "autoscaling_config": {
            "min_replicas": replicas.min,
            "max_replicas": replicas.max,
            "target_ongoing_requests": replicas.target_ongoing_requests,
            "upscale_delay_s": replicas.upscale_delay_s,
            "downscale_delay_s": replicas.downscale_delay_s,
            # Serve looks at the load every 10 s by default, which would defeat any shorter
            # delay. It calls the key deprecated, but the variables that it names
            # instead are read nowhere in Ray 2.60.
            "metrics_interval_s": 0.5,
            "look_back_period_s": 2.0,
        }
    }
