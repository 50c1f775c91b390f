# Copyright: inference.host contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which instances a roll-out takes, and what the services are to be when a model goes back to an earlier release."""

from __future__ import annotations

from ansible_collections.inference.host.plugins.module_utils.checks import kind, suggestion
from ansible_collections.inference.host.plugins.module_utils.errors import PlanError
from ansible_collections.inference.host.plugins.module_utils.release import default_release


def rollout_instances(plan, service=None):
    """Return the plan's instances of a service, or of all. Raises PlanError for a service that is not there."""
    names = [instance["service"] for instance in plan["instances"]]
    if service is not None and service not in names:
        raise PlanError("service is %s, of which the plan has no instance; %s" % (
            kind(service), suggestion(service, names)))
    return [instance for instance in plan["instances"] if service in (None, instance["service"])]


def rolled_back(services, service, releases, release=None):
    """Return inference_services with a service's model at an earlier release that the host still has.

    service: its name. releases: {model name: installed releases, the newest first} as module model_releases returns
    them. release: the name of the one wanted; None takes the one that was installed last before the current one.
    Services that share the model go back with it. Raises PlanError where there is none to go back to.
    """
    found = [one for one in services if one.get("name") == service]
    if not found:
        raise PlanError("service is %s, which is none of inference_services; %s" % (
            kind(service), suggestion(service, [one.get("name") for one in services])))
    name = (found[0].get("model") or {}).get("name")
    chosen = earlier(name, (releases or {}).get(name, []), release)
    return [dict(one, model=at_release(one["model"], chosen)) if (one.get("model") or {}).get("name") == name else one
            for one in services]


def earlier(name, releases, release):
    """Return which of a model's installed releases to go back to."""
    there = ", ".join(one["release"] for one in releases) or "none"
    if release is not None:
        for one in releases:
            if one["release"] == release:
                return one
        raise PlanError("release is %s, which this host does not have of model %s; it has %s." % (
            kind(release), name, there))
    current = [index for index, one in enumerate(releases) if one["current"]]
    before = releases[current[0] + 1:] if current else []
    if not before:
        raise PlanError("model %s has no release that was installed before the current one; it has %s: name one with "
                        "-e release=." % (name, there))
    return before[0]


def at_release(model, release):
    """Return a service's model with the files of an installed release, which are asked of no source."""
    kept = {key: value for key, value in model.items() if key not in ("source", "sha256", "files", "filename", "check")}
    files = release["files"]
    # Of one file that was wished by its checksum alone the release bears that name.
    alone = [sha256 for sha256 in files.values() if default_release(sha256) == release["release"]]
    of_files = {"sha256": alone[0]} if len(files) == 1 and alone else {"files": files}
    if release["opened"]:
        of_files["filename"] = release["opened"]
    return dict(kept, source=release["source"], check=release["check"], **of_files)
