/** The service of systemd, as text. Source of the keys: systemd.unit(5), systemd.service(5), systemd.exec(5). */
import { UserError } from '../plugin-api/answer.ts'

export const unitName = 'weft.service'
export const unitPath = `/etc/systemd/system/${unitName}`
/** Units that start weft with them. docker.service: also when the engine is started by its socket or by hand. */
export const wantedBy = ['multi-user.target', 'docker.service'] as const

export interface UnitSettings {
  /** Absolute path of the directory that holds bin/. */
  readonly checkout: string
  /** Settings file, when it is not the default one. */
  readonly config?: string
}

/** Throws UserError for paths that would need quoting: systemd has a different grammar for it in each key. */
export function unitText({ checkout, config }: UnitSettings): string {
  const start = [`${plainPath(checkout)}/bin/weftd`, ...(config === undefined ? [] : ['--config', plainPath(config)])]
  return `# Written by "weft install", removed by "weft uninstall".
[Unit]
Description=weft, container networking for the Docker Engine
# The engine asks its plugins while it starts, and weft never needs the engine. Firewalls flush when they start.
Before=docker.service
After=nftables.service firewalld.service ufw.service netfilter-persistent.service systemd-sysctl.service
RequiresMountsFor=${checkout} /var/lib/weft
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=${start.join(' ')}
Restart=always
RestartSec=1
TimeoutStartSec=60
TimeoutStopSec=10
# Children that serve the data path outlive the daemon, as links and rules do.
KillMode=process
StateDirectory=weft
RuntimeDirectory=weft
UMask=0077
# A published port is a descriptor.
LimitNOFILE=1048576
OOMScoreAdjust=-500

# Nothing here may give the service a mount namespace of its own (ProtectSystem=, ProtectHome=, PrivateTmp=,
# ProtectKernelTunables=, ...): namespaces that weft mounts would vanish with it, and /proc/sys must be writable.
# RestrictNamespaces= would forbid setns, MemoryDenyWriteExecute= the compiler of JavaScript.
NoNewPrivileges=yes
# Links, rules, sysctls; namespaces (SYS_ADMIN, SYS_CHROOT, SYS_PTRACE to open those of processes); low ports;
# sockets and directories of other owners.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SYS_ADMIN CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_DAC_OVERRIDE
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=${wantedBy.join(' ')}
`
}

function plainPath(path: string): string {
  if (/^\/[\w/.+@~-]*$/.test(path)) return path
  throw new UserError('BAD_PATH', `${JSON.stringify(path)} cannot stand in a unit file`, {
    hint: 'use a path of letters, digits and / . _ + @ ~ -',
  })
}
