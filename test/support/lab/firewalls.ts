/**
 * The real firewalld and ufw in a host of the lab: Debian's packages of the engine's suite, unpacked over its root. No
 * script of theirs runs; what those would have set up is done here. Nothing is installed on the machine.
 */
import { firewallsTar, type Engine } from '../../../scripts/engines.ts'
import { eventually } from './eventually.ts'
import type { Host } from './host.ts'
import { run, type Daemon } from './process.ts'

/** Once, before firewalld or ufw is used. Answers their versions, e.g. `firewalld 2.5.2, ufw 0.36.2`. */
export async function bringFirewalls(host: Host, engine: Engine): Promise<string> {
  const tar = await firewallsTar(engine, console.error)
  // By the machine's own tar: not every engine root has one.
  await run(['tar', '-x', '-C', host.path('/'), '--keep-directory-symlink', '-f', tar])
  return host.sh(`
    grep -q messagebus /etc/passwd || echo 'messagebus:x:101:101::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
    grep -q messagebus /etc/group || echo 'messagebus:x:101:' >>/etc/group
    cp -n /usr/share/ufw/iptables/*.rules /usr/share/ufw/*.init /usr/share/ufw/ufw.conf /etc/ufw/
    echo "firewalld $(firewall-offline-cmd --version), ufw $(ufw version | head -1 | cut -d ' ' -f 2)"`)
}

/** Starts the system bus and firewalld, and waits until its rules are loaded. The host's eth0 is in zone public. */
export async function startFirewalld(host: Host): Promise<Daemon> {
  await host.sh(`
    mkdir -p /run/dbus
    [ -S /run/dbus/system_bus_socket ] || dbus-daemon --system --fork --nopidfile
    grep -q 'interface name="eth0"' /etc/firewalld/zones/public.xml 2>/dev/null ||
      firewall-offline-cmd -q --zone=public --add-interface=eth0`)
  const daemon = await host.start('firewalld', 'firewalld --nofork --nopid')
  await eventually('firewalld runs', async () => (await host.run('firewall-cmd --state')) === 'running', {
    timeoutMs: 60_000,
    pauseMs: 200,
  })
  return daemon
}
