import type { TenantConfig } from '../../config/config.ts'

/** Whose host names are whose: exact, then a wildcard for the first label, then whoever has the rest. */
export class HostOwners {
  readonly #owners = new Map<string, string>()
  readonly #tenants: readonly TenantConfig[]

  constructor(tenants: readonly TenantConfig[]) {
    this.#tenants = tenants
    for (const { id, hosts } of tenants) for (const host of hosts) this.#owners.set(host, id)
  }

  /** Id of the tenant that a host name, or all hosts of a wildcard, belong to. */
  ownerOf(name: string): string | undefined {
    const exact = this.#owners.get(name)
    if (exact !== undefined) return exact
    const dot = name.indexOf('.')
    const wildcard =
      dot > 0 && !name.startsWith('*') ? this.#owners.get(`*${name.slice(dot)}`) : undefined
    return wildcard ?? this.#owners.get('*')
  }

  /** Of the names of a certificate those that this tenant may have answered by it. */
  namesOf(tenant: string, names: readonly string[]): string[] {
    const own = new Set<string>()
    for (const name of names) {
      if (this.ownerOf(name) === tenant) own.add(name)
      else if (name.startsWith('*.')) {
        for (const host of this.#hostsOf(tenant)) {
          const dot = host.indexOf('.')
          if (dot > 0 && host.slice(dot) === name.slice(1)) own.add(host)
        }
      }
    }
    return [...own]
  }

  #hostsOf(tenant: string): readonly string[] {
    return this.#tenants.find(({ id }) => id === tenant)?.hosts ?? []
  }
}
