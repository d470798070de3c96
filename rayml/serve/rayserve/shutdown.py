"""Shuts Ray Serve down."""

from __future__ import annotations

import time

from rayml.serve.rayserve.private_names import Private


def shut_down(timeout_s: float = 60.0) -> None:
    """Shut Serve down, and wait until its controller is gone.

    Serve's own function waits inside a call of the controller, which ends by killing itself,
    and Ray prints that call as a failure.

    Args:
        timeout_s: seconds after which the controller is killed.
    """
    import ray
    from ray import serve

    deadline = time.monotonic() + timeout_s
    name, namespace = Private.CONTROLLER_NAME.find(), Private.CONTROLLER_NAMESPACE.find()
    try:
        controller = ray.get_actor(name, namespace=namespace)
        ray.get(controller.graceful_shutdown.remote(wait=False))
        while time.monotonic() < deadline:
            ray.get_actor(name, namespace=namespace)
            time.sleep(0.05)
    except (ValueError, ray.exceptions.RayActorError):
        pass  # it is gone
    # Forgets the controller, and kills it if it still runs.
    serve.shutdown()
