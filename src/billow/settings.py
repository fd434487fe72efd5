# SPDX-License-Identifier: Apache-2.0
"""What an operator sets: one typed model from `billow.toml`, `BILLOW_*` and the command line.

A later source wins over an earlier one. Unknown settings are errors, so that a typo is never a
silent default.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from billow.state_folder import default_state_dir


class Settings(BaseSettings):
    """Every setting, with its unit, default and range."""

    model_config = SettingsConfigDict(
        env_prefix="BILLOW_", toml_file="billow.toml", extra="forbid", frozen=True
    )

    engine: str = Field(
        "qemu",
        pattern=r"^(sim|qemu|libvirt|openstack|ipmi|redfish)"
        r"(\+(sim|qemu|libvirt|openstack|ipmi|redfish))*$",
        description="Where the pool lives: `qemu`, `libvirt`, `openstack`, `sim`, or several as "
        "one pool, `qemu+libvirt`; `ipmi` and `redfish` add the power of its hosts, "
        "`libvirt+redfish`.",
    )
    state_dir: Path = Field(
        default_factory=default_state_dir, description="Folder for everything that must survive."
    )
    database: str = Field(
        "", description="SQLAlchemy URL of the store; empty for SQLite in the state folder."
    )
    listen: str = Field("127.0.0.1", description="Address of the API and the console.")
    port: int = Field(8520, ge=0, le=65535, description="Port of both; 0 takes a free one.")
    names: frozenset[str] = Field(
        frozenset(),
        description="Host names by which clients call it, besides localhost and addresses.",
    )
    pool: str = Field(
        "billow", pattern="^[a-z0-9]{1,8}$", description="Name of the pool on this machine."
    )
    hosts: int = Field(3, ge=1, le=100_000, description="Hosts of a pool made here.")
    host_cpus: int = Field(0, ge=0, le=4096, description="CPUs per host; 0 shares this machine.")
    host_memory_mib: int = Field(0, ge=0, le=2**30, description="MiB per host; 0 shares likewise.")
    pool_file: Path | None = Field(None, description="File with the pool that `sim` begins with.")
    faults: Path | None = Field(None, description="Script of faults for `sim`.")
    usage_trace: Path | None = Field(
        None,
        description="Recorded use for `sim`: its own CSV, PlanetLab's or Bitbrains' form, .gz too.",
    )
    arrivals: Path | None = Field(
        None, description="CSV of requests that come to `sim` by themselves, and go."
    )
    libvirt_uris: tuple[str, ...] = Field(
        (),
        description='Hosts of `libvirt`: `["h1=qemu+ssh://root@10.0.0.1/system", ...]`; without '
        "`NAME=` a host is called as its URI calls it.",
    )
    libvirt_peer_uri: str = Field(
        "",
        description="Where libvirt hosts find each other for migrations, `{host}` being a name, "
        "like `qemu+tls://{host}/system`; empty for where Billow finds them.",
    )
    libvirt_storage: str = Field(
        "default", description="libvirt storage pool of images and disks, on each host."
    )
    libvirt_storage_shared: bool = Field(
        False, description="Whether that is one storage for all hosts: disks then stay in a move."
    )
    libvirt_network: str = Field(
        "",
        description="Network of new `libvirt` instances: a libvirt network, `bridge:NAME`, or "
        "empty for none.",
    )
    cloud: str = Field(
        "",
        max_length=255,
        description="Cloud of `openstack`, by its name in clouds.yaml; empty for the one that "
        "`OS_CLOUD` or the other `OS_*` variables describe.",
    )
    allow_changes: bool = Field(
        False, description="Whether `openstack` may change the cloud; it only looks otherwise."
    )
    cloud_calls_at_once: int = Field(
        16, ge=1, le=256, description="Calls of the cloud's APIs that are under way at one time."
    )
    cloud_calls_per_s: float = Field(
        200.0, ge=0.1, le=10_000, description="Calls of the cloud's APIs per second, at most."
    )
    cloud_network: str = Field(
        "auto",
        max_length=255,
        description="Network of new `openstack` servers: `auto`, `none`, or a network by name "
        "or id.",
    )
    cloud_shared_disks: bool = Field(
        False,
        description="Whether servers made from images have their disks on storage that all hosts "
        "of `openstack` reach (Ceph, NFS): Nova does not say, and rebuilds them otherwise.",
    )
    metrics_url: str = Field(
        "",
        description="Prometheus that measures the hosts and servers of `openstack`; empty for the "
        "cloud's own Gnocchi, which knows servers, or nobody: Nova itself measures nothing.",
    )
    bmc_file: Path | None = Field(
        None,
        description="File of the hosts' management controllers, for `ipmi` and `redfish`; "
        "`bmc.toml` in the state folder otherwise.",
    )
    seed: int = Field(1, ge=0, description="Seed of pools that `sim` generates.")
    speed: float = Field(1.0, gt=0, le=10_000, description="Simulated seconds per real second.")
    cpu_model: str = Field(
        "",
        max_length=4096,
        description="CPU that new guests see under KVM, as `billow pool cpu-baseline` names it; "
        "empty for all that the host has.",
    )
    sense_every_s: float = Field(5.0, gt=0, le=3600, description="Time between looks at the pool.")
    lease_s: float = Field(
        3.0,
        ge=1,
        le=600,
        description="How long a silent writer keeps its right: so long nobody acts when it dies.",
    )
    steps_at_once: int = Field(32, ge=1, le=10_000, description="Steps under way at one time.")
    migrations_at_once_per_host: int = Field(
        0,
        ge=0,
        le=1000,
        description="Migrations that one host sends or receives at one time, at most; "
        "0 for as many as fill its links.",
    )
    migration_downtime_s: float = Field(
        0.3,
        ge=0.02,
        le=60,
        description="How long an instance may stand still at the end of a live migration.",
    )
    migration_timeout_s: float = Field(
        900.0, ge=1, le=86_400, description="A live migration that takes longer is taken back."
    )
    migration_stall_s: float = Field(
        30.0,
        ge=1,
        le=3600,
        description="A live migration through which nothing flows for so long is taken back.",
    )
    migration_kept_mib: int = Field(
        256,
        ge=0,
        le=65_536,
        description="Memory that a host may take during a live migration to keep what it sent: of "
        "a page that is written again it then sends only what changed. 0 sends pages whole.",
    )
    migration_tls: bool = Field(
        True, description="Encrypt live migrations between hosts; a pipe of one machine needs none."
    )
    failures_allowed: int = Field(
        0, ge=0, description="Failed steps of a run before no further step starts."
    )
    ha_management: str = Field(
        "",
        description="`ADDRESS:PORT` on which agents are heard on the management network. With none "
        "of the three no agent is heard; with one of them, all are needed, and networks that "
        "share a wire may have the same.",
    )
    ha_tenant: str = Field("", description="Likewise on the tenant network.")
    ha_storage: str = Field("", description="Likewise on the storage network.")
    ha_name: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,63}$",
        description="How agents know this controller; empty for its machine's name.",
    )
    ha_controllers: int = Field(
        1,
        ge=1,
        le=9,
        description="Controllers that there are; a majority of them must miss a host. Three or "
        "five, on one PostgreSQL.",
    )
    ha_beat_s: float = Field(0.2, ge=0.05, le=60, description="How often an agent says it lives.")
    ha_beats_missed: int = Field(
        5, ge=2, le=100, description="Beats in a row before a host is missed on a network."
    )
    ha_consul: dict[Literal["management", "tenant", "storage"], str] = Field(
        {},
        description="URLs of this controller's own Consul agents, one per network: a second source "
        'of evidence, as `{management = "http://10.0.0.1:8500"}`; empty for none.',
    )
    ha_consul_token: str = Field("", repr=False, description="Token with the right to see members.")
    ha_webhook: str = Field("", description="URL to which alarms are posted; empty for none.")
    ha_webhook_token: str = Field("", repr=False, description="Bearer token of the webhook.")
    ha_cmdb: str = Field("", description="URL of a CMDB to which alarms are posted; see how-to.")
    ha_cmdb_token: str = Field("", repr=False, description="Bearer token of the CMDB.")
    ha_mail_server: str = Field(
        "",
        repr=False,
        description="Mail server for alarms: `smtp://HOST:PORT` or `smtps://USER:PASSWORD@HOST`.",
    )
    ha_mail_from: str = Field("", description="Address from which alarms are sent.")
    ha_mail_to: tuple[str, ...] = Field((), description="Addresses to which alarms are sent.")
    standing: dict[str, Annotated[float, Field(ge=0, le=31_536_000)]] = Field(
        {"placement": 0.0},
        description="Capabilities that look at the pool by themselves, and every how many seconds; "
        "0 for whenever something else than a measurement has changed.",
    )
    history_step_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Recorded use is averaged over so long; 288 such steps are kept.",
    )
    approved: frozenset[str] = Field(
        frozenset(),
        description="Capabilities whose plans are carried out without a person's word.",
    )
    policy: dict[str, dict[str, Any]] = Field(
        {},
        description='Knobs of capabilities, as `[policy.placement]` with `strategy = "pack"`; '
        "`billow policy NAME` lists them.",
    )
    frozen: bool = Field(False, description="While true, plans are made but none is carried out.")
    protected: frozenset[str] = Field(
        frozenset(), description="Ids of instances and hosts that no plan may touch."
    )

    @property
    def database_url(self) -> str:
        """The store's URL."""
        return self.database or f"sqlite:///{self.state_dir / 'billow.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: command line, environment, file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
