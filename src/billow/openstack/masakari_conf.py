# SPDX-License-Identifier: Apache-2.0
"""What each option of masakari.conf and masakarimonitors.conf comes to (Masakari 22.0.0).

The table is the knowledge; the code only walks it. Defaults of Masakari are not imported: an
operator's own words are.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from billow.errors import Invalid
from billow.openstack.exported import Conf, flag
from billow.openstack.imported import Remark, Setting

_PROOF: Final = (
    "nothing is started before the host's death is proved; the proof is waited for, not a time"
)
_JOURNAL: Final = "an incident is journalled and goes on where it stood; nothing is polled for"
_ONE: Final = "a repeated sign joins the host's open incident"
_GUEST: Final = "single guests are not restarted by themselves: Billow tells of them"
_TASKS: Final = "what is done is fixed, and can be read beforehand; no tasks are plugged in"
_RING: Final = "Billow's own agents are heard on three networks; no Pacemaker is asked"
_TOLD: Final = "the service's reason names the incident"
_RETRY: Final = "what was heard is kept until it is answered; there is no notification to resend"

OTHERWISE: Final[Mapping[tuple[str, str], str]] = {
    ("DEFAULT", "wait_period_after_service_update"): _PROOF,
    ("DEFAULT", "wait_period_after_evacuation"): "each rebuild is followed in Nova's own records",
    ("DEFAULT", "duplicate_notification_detection_interval"): _ONE,
    ("DEFAULT", "verify_interval"): "rebuilds are followed by one look at all of them",
    ("DEFAULT", "process_unfinished_notifications_interval"): _JOURNAL,
    ("DEFAULT", "retry_notification_new_status_interval"): _JOURNAL,
    ("DEFAULT", "check_expired_notifications_interval"): _JOURNAL,
    ("DEFAULT", "notifications_expired_interval"): _JOURNAL,
    ("DEFAULT", "host_failure_recovery_threads"): "all are asked for at once, by bands of priority",
    ("host_failure", "service_disable_reason"): _TOLD,
    ("process_failure", "service_disable_reason"): _TOLD,
    ("host", "monitoring_interval"): "agents beat every `ha_beat_s` (0.2 s)",
    ("host", "monitoring_samples"): "`ha_beats_missed` beats (5), by a majority of controllers",
    ("host", "disable_ipmi_check"): "proof of death is always asked for: `billow ha readiness`",
    ("host", "monitoring_driver"): _RING,
    ("host", "restrict_to_remotes"): _RING,
    ("host", "tcpdump_timeout"): _RING,
    ("host", "corosync_multicast_interfaces"): _RING,
    ("host", "corosync_multicast_ports"): _RING,
    ("host", "pacemaker_node_type"): _RING,
    ("host", "api_retry_max"): _RETRY,
    ("host", "api_retry_interval"): _RETRY,
    ("process", "check_interval"): "the agent's probes run by themselves",
}  # fmt: skip
"""Options whose purpose Billow reaches in another way."""

NOTHING: Final[Mapping[tuple[str, str], str]] = {
    ("DEFAULT", "wait_period_after_power_off"): _GUEST,
    ("DEFAULT", "wait_period_after_power_on"): _GUEST,
    ("DEFAULT", "notification_driver"): _TASKS,
    ("host_failure", "ha_enabled_instance_metadata_key"):
        "all servers are recovered; metadata `billow_priority` says who comes first",
    ("host_failure", "ignore_instances_in_error_state"): "instances in error are recovered, too",
    ("host_failure", "add_reserved_host_to_aggregate"): "aggregates are not changed",
    ("instance_failure", "process_all_instances"): _GUEST,
    ("instance_failure", "ha_enabled_instance_metadata_key"): _GUEST,
    ("consul", "matrix_config_file"):
        "the decision table is built in: 192 rows, the row is named in each incident",
    ("process", "restart_retries"): "processes of a host are their service manager's business",
    ("process", "restart_interval"): "processes of a host are their service manager's business",
    ("process", "process_list_path"): "processes of a host are their service manager's business",
    ("introspectiveinstancemonitor", "guest_monitoring_interval"): _GUEST,
    ("introspectiveinstancemonitor", "guest_monitoring_timeout"): _GUEST,
    ("introspectiveinstancemonitor", "guest_monitoring_failure_threshold"): _GUEST,
    ("introspectiveinstancemonitor", "qemu_guest_agent_sock_path"): _GUEST,
}  # fmt: skip
"""Options without an equivalent."""

FLOWS: Final = "taskflow_driver_recovery_flows"
CONSUL: Final = {"agent_manage": "management", "agent_tenant": "tenant", "agent_storage": "storage"}
PLUMBING: Final = frozenset(
    {
        *("database", "taskflow", "keystone_authtoken", "wsgi", "oslo_messaging_rabbit", "api"),
        *("oslo_messaging_notifications", "oslo_middleware", "oslo_policy", "cors", "ssl"),
        *("libvirt", "healthcheck", "oslo_concurrency", "coordination", "osapi_v1", "callback"),
        *("profiler", "oslo_reports", "oslo_versionedobjects", "upgrade_levels"),
    }
)  # fmt: skip
"""Sections that say how Masakari itself is run."""
_OWN: Final = frozenset({"DEFAULT", "host_failure", "instance_failure", "process_failure", "host",
                         "consul", "process", "introspectiveinstancemonitor", FLOWS})  # fmt: skip
_IPMI: Final = ("ipmi_timeout", "ipmi_retry_max", "ipmi_retry_interval")
_MOST_BMC_S: Final = 600.0


def settings_of(conf: Conf) -> Iterator[Setting]:
    """Yield the settings that options come to. Raises Invalid for what is no number."""
    agents = {place: _url(conf["consul", option]) for option, place in CONSUL.items()
              if conf.get(("consul", option))}  # fmt: skip
    if agents:
        yield Setting(("ha_consul",), agents, "[consul] agent_*: a second source of evidence")
    given = [name for name in ("stonith_wait", *_IPMI) if ("host", name) in conf]
    if given:
        names = ", ".join(given)
        why = f"[host] {names}: how long a management controller may take"
        yield Setting(("policy", "ha", "bmc_s"), _bmc_s(conf), why)


def remarks_of(conf: Conf) -> tuple[list[Remark], list[Remark]]:
    """Return what is done otherwise, and what has no equivalent, of what is set."""
    otherwise: list[Remark] = []
    nothing: list[Remark] = []
    for (section, option), value in conf.items():
        subject = f"[{section}] {option} = {value}"
        if (section, option) in OTHERWISE:
            otherwise.append(Remark(subject, OTHERWISE[section, option]))
        elif (section, option) == ("host_failure", "evacuate_all_instances"):
            same = "all are recovered here, too; metadata `billow_priority` says who comes first"
            only = "only some were; Billow recovers all, by metadata `billow_priority`"
            (otherwise if flag(value) else nothing).append(
                Remark(subject, same if flag(value) else only)
            )
        elif (section, option) in NOTHING:
            nothing.append(Remark(subject, NOTHING[section, option]))
        elif section == FLOWS:
            nothing.append(Remark(f"[{section}] {option}", _TASKS))
        elif section in _OWN - {"DEFAULT"} and not _is_taken(section, option):
            nothing.append(Remark(subject, "Masakari 22 does not know it"))
    return otherwise, nothing + _plumbing(conf)


def _plumbing(conf: Conf) -> list[Remark]:
    """Return one remark on the sections that say how Masakari itself is run."""
    found = sorted({section for section, _ in conf if section not in _OWN})
    if not found:
        return []
    how = "how Masakari itself is run; clouds.yaml says how Billow reaches the cloud"
    unknown = ", ".join(f"[{name}]" for name in found if name not in PLUMBING)
    more = f" (not looked into: {unknown})" if unknown else ""
    return [Remark(", ".join(f"[{name}]" for name in found), how + more)]


def _is_taken(section: str, option: str) -> bool:
    return (section == "consul" and option in CONSUL) or (
        section == "host" and option in ("stonith_wait", *_IPMI)
    )


def _bmc_s(conf: Conf) -> float:
    wait = _number(conf, "stonith_wait", 30)
    timeout, tries, pause = (
        _number(conf, name, default) for name, default in zip(_IPMI, (5, 3, 10), strict=True)
    )
    return min(max(wait, tries * timeout + (tries - 1) * pause, 1.0), _MOST_BMC_S)


def _number(conf: Conf, option: str, default: float) -> float:
    text = conf.get(("host", option), "")
    try:
        return float(text) if text else float(default)
    except ValueError:
        raise Invalid(
            f"[host] {option} is no number: {text!a}", fix="correct masakarimonitors.conf"
        ) from None


def _url(address: str) -> str:
    return address if "://" in address else f"http://{address}"
